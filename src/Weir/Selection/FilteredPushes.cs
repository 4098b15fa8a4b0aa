using Weir.Client;

namespace Weir.Selection;

/// <summary>
/// The pushes of one worker to one table, of which filters choose the rows that are sent. What they hold back is kept here and added to the next push of the same key; <see cref="FlushAsync"/> sends all of it, and belongs before the
/// <see cref="Worker.ClockAsync"/> of the worker's last iteration. What is held is lost with this process, as are the pushes that it never made: it is for updates that add up, gradients above all, and not for values that must all arrive.
/// Calls are filtered one at a time, in their order; they may be under way together.
/// </summary>
public sealed class FilteredPushes
{
    private readonly Lock _gate = new();
    private readonly Worker _worker;
    private readonly WeirTable _table;
    private readonly RowFilter[] _filters;
    private readonly FilteredRows[] _counts;
    private readonly HeldRows _held;
    private readonly bool _keepsKeys;
    private RowChoice[] _choices = [];
    private long _iteration;
    private bool _mayHold = true;
    private int _pushes;

    /// <summary>Filters in the order in which they see a push.</summary>
    /// <param name="worker">Who pushes.</param>
    /// <param name="table">Where to.</param>
    /// <param name="filters">The filters, for this worker and table alone. None sends every row.</param>
    /// <param name="keepsKeys">
    /// Whether a push may keep its keys, with zeros for the rows that are not sent. It does so where the table has <see cref="Filters.KeyCache"/> and <see cref="Filters.ZeroBitmap"/>: then a list of keys that a server knows
    /// and a bit for each zero are fewer bytes than the keys of a twentieth of the rows. For rules to which a push of zeros is none: Add, SGD, Adagrad and FTRL.
    /// </param>
    /// <exception cref="ArgumentException">The table's rule keeps bits in place of floats: Count, Union or Score.</exception>
    public FilteredPushes(Worker worker, WeirTable table, IReadOnlyList<RowFilter> filters, bool keepsKeys = false)
    {
        ArgumentNullException.ThrowIfNull(worker);
        ArgumentNullException.ThrowIfNull(table);
        ArgumentNullException.ThrowIfNull(filters);
        if (table.Rule.HoldsBits)
        {
            throw new ArgumentException($"table {table.Name} has rule {table.Rule.Kind}, which keeps bits in place of floats: no filter can weigh or sum its rows", nameof(table));
        }

        (_worker, _table, _filters, _keepsKeys) = (worker, table, [.. filters], keepsKeys && worker.FiltersOf(table).HasFlag(Filters.KeyCache | Filters.ZeroBitmap));
        _counts = [.. _filters.Select(f => new FilteredRows(f.Name, 0, 0))];
        _held = new HeldRows(table.Width);
    }

    private long RowBytes => sizeof(ulong) + (_table.Width * (long)sizeof(float));

    /// <summary>Rows that are held back now.</summary>
    public long Held
    {
        get
        {
            lock (_gate)
            {
                return _held.Count;
            }
        }
    }

    /// <summary>What each filter saw and let through so far, in their order. What a flush sends is in none.</summary>
    public IReadOnlyList<FilteredRows> Counts
    {
        get
        {
            lock (_gate)
            {
                return [.. _counts];
            }
        }
    }

    /// <summary>Pushes the rows that the filters choose, in the worker's current iteration. A call that fails has taken its rows: it is not to be made again. As <see cref="Worker.PushAsync"/>, but the memory may be used again as soon as the call returns.</summary>
    /// <exception cref="ArgumentException">Keys and values do not fit each other.</exception>
    public Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation = default)
    {
        if (values.Length != (long)keys.Length * _table.Width)
        {
            throw new ArgumentException($"{keys.Length} keys of a table of width {_table.Width} need {(long)keys.Length * _table.Width} values, not {values.Length}", nameof(values));
        }

        if (cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled(cancellation);
        }

        lock (_gate)
        {
            ulong[] sentKeys = keys.ToArray();
            float[] sentValues = values.ToArray();
            int sent = Choose(sentKeys, sentValues);
            if (_keepsKeys && sent > 0)
            {
                Spread(sentKeys, sentValues, sent, keys.Span);
                sent = keys.Length;
            }

            _worker.CountUnsent((keys.Length - sent) * RowBytes);
            return sent == 0 ? Task.CompletedTask : _worker.PushAsync(_table, sentKeys.AsMemory(0, sent), sentValues.AsMemory(0, sent * _table.Width), cancellation);
        }
    }

    /// <summary>
    /// Whether rows may be held back from now on. Where they may not, those that a filter would hold go out with their push, and with them what was held of their keys: for a last round through the keys, after which a flush has
    /// little to send and no key to name again.
    /// </summary>
    public void HoldBack(bool mayHold)
    {
        lock (_gate)
        {
            _mayHold = mayHold;
        }
    }

    /// <summary>Pushes everything that is held back, whatever the filters say.</summary>
    public Task FlushAsync(CancellationToken cancellation = default)
    {
        if (cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled(cancellation);
        }

        lock (_gate)
        {
            // In an order that does not depend on when each was held.
            ulong[] keys = [.. _held.Keys.Order()];
            float[] values = new float[keys.Length * _table.Width];
            for (int row = 0; row < keys.Length; row++)
            {
                _held.Take(keys[row], values.AsSpan(row * _table.Width, _table.Width));
            }

            // They were counted when they were held, or went as zeros.
            _worker.CountUnsent(-keys.Length * RowBytes);
            return keys.Length == 0 ? Task.CompletedTask : _worker.PushAsync(_table, keys, values, cancellation);
        }
    }

    /// <summary>Moves the rows to send to the front; gives how many there are.</summary>
    private int Choose(ulong[] keys, float[] values)
    {
        int width = _table.Width, rows = keys.Length;
        (_pushes, _iteration) = (_worker.Iteration == _iteration ? _pushes + 1 : 0, _worker.Iteration);
        for (int row = 0; row < rows && _held.Count > 0; row++)
        {
            // Of a key that comes twice the first row takes what is held.
            _held.Take(keys[row], values.AsSpan(row * width, width));
        }

        for (int filter = 0; filter < _filters.Length && rows > 0; filter++)
        {
            if (_choices.Length < rows)
            {
                _choices = new RowChoice[rows];
            }

            Span<RowChoice> choices = _choices.AsSpan(0, rows);
            choices.Clear();
            var seen = new PushedRows { Worker = _worker.Index, Iteration = _iteration, Push = _pushes, Width = width, Keys = keys.AsSpan(0, rows), Values = values.AsSpan(0, rows * width) };
            _filters[filter].Choose(seen, choices);
            int sent = Keep(choices, keys, values);
            _counts[filter] = _counts[filter] with { In = _counts[filter].In + rows, Out = _counts[filter].Out + sent };
            _worker.CountFiltered(_counts[filter].Filter, rows * RowBytes, sent * RowBytes);
            rows = sent;
        }

        return rows;
    }

    /// <summary>Puts rows that were moved to the front back among the keys that they were chosen from, and zeros beside them.</summary>
    private void Spread(ulong[] sentKeys, float[] values, int sent, ReadOnlySpan<ulong> keys)
    {
        int width = _table.Width;
        for (int row = keys.Length - 1, from = sent - 1; row > from; row--)
        {
            Span<float> floats = values.AsSpan(row * width, width);
            if (from >= 0 && sentKeys[from] == keys[row])
            {
                // They are in the order of the call, so that none is written over before it is moved.
                values.AsSpan(from * width, width).CopyTo(floats);
                from--;
            }
            else
            {
                floats.Clear();
            }
        }

        keys.CopyTo(sentKeys);
    }

    private int Keep(ReadOnlySpan<RowChoice> choices, ulong[] keys, float[] values)
    {
        int width = _table.Width, sent = 0;
        for (int row = 0; row < choices.Length; row++)
        {
            ReadOnlySpan<float> floats = values.AsSpan(row * width, width);
            if (choices[row] == RowChoice.Hold && _mayHold)
            {
                _held.Add(keys[row], floats);
            }
            else if (choices[row] != RowChoice.Drop)
            {
                keys[sent] = keys[row];
                floats.CopyTo(values.AsSpan(sent * width, width));
                sent++;
            }
        }

        return sent;
    }
}

/// <summary>What a filter did.</summary>
/// <param name="Filter">Its name.</param>
/// <param name="In">Rows that it saw.</param>
/// <param name="Out">Rows that it let through.</param>
public readonly record struct FilteredRows(string Filter, long In, long Out);
