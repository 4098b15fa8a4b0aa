using Weir.World;

namespace Weir.Store;

/// <summary>
/// Brings rows and an update rule together. Rows are changed where they lie where the rule can do that for many at once, or where they
/// have 32 floats or more; others are copied into one run, so that the rule sees many floats at once, and copied back. Not thread-safe: the run's buffer is shared by all calls.
/// </summary>
internal sealed unsafe class RowRuns
{
    // At 32 floats a call the interface costs nothing (0.37 ns a float against 0.31 in runs of 256), so copying would.
    private const int InPlaceFloats = 32;
    private const int RunFloats = 1024;

    // The rows of a run are still in the first-level cache when they are written back.
    private const int MostRunRows = 256;

    // The addresses of a batch are 4 KiB on the stack.
    private const int BatchRows = 256;

    private readonly IUpdateRule _rule;
    private readonly RowSlabs _slabs;
    private readonly int _width;
    private readonly int _planes;
    private readonly int _scalars;
    private readonly int _stateWidth;
    private readonly bool _inPlace;
    private readonly int _runRows;
    private readonly float[] _values;
    private readonly float[] _state;

    public RowRuns(IUpdateRule rule, int width, RowSlabs slabs)
    {
        _rule = rule;
        _slabs = slabs;
        _width = width;
        (_planes, _scalars) = (rule.Planes, rule.Scalars);
        _stateWidth = rule.StateWidth(width);
        _inPlace = rule.RunsInPlace(width);
        _runRows = _inPlace || width >= InPlaceFloats ? 0 : Math.Min(MostRunRows, RunFloats / width);
        // Pinned at birth: rows are copied by address.
        _values = GC.AllocateArray<float>(_runRows * width, pinned: true);
        _state = GC.AllocateArray<float>(_runRows * _stateWidth, pinned: true);
    }

    /// <summary>Puts <paramref name="pushed"/> on the rows, which are distinct: D floats for each.</summary>
    public void Apply(ReadOnlySpan<uint> rows, ReadOnlySpan<float> pushed, RowOperation operation)
    {
        Invariant.That(pushed.Length == (long)rows.Length * _width, "every row gets as many floats as it is wide");
        if (_inPlace)
        {
            ApplyInBatches(rows, pushed, operation);
            return;
        }

        if (_runRows == 0)
        {
            ApplyOneByOne(rows, pushed, operation);
            return;
        }

        PrefetchFirst(rows);
        for (int first = 0; first < rows.Length; first += _runRows)
        {
            int count = Math.Min(_runRows, rows.Length - first);
            Span<float> values = _values.AsSpan(0, count * _width), state = _state.AsSpan(0, count * _stateWidth);
            Gather(rows, first, count);
            Call(values, state, pushed.Slice(first * _width, count * _width), operation);
            Scatter(rows.Slice(first, count));
        }
    }

    private void ApplyInBatches(ReadOnlySpan<uint> rows, ReadOnlySpan<float> pushed, RowOperation operation)
    {
        Span<nint> values = stackalloc nint[BatchRows + Prefetch.RowDistance], state = stackalloc nint[BatchRows + Prefetch.RowDistance];
        PrefetchFirst(rows);
        for (int first = 0; first < rows.Length; first += BatchRows)
        {
            int count = Math.Min(BatchRows, rows.Length - first), known = Math.Min(values.Length, rows.Length - first);
            for (int i = 0; i < known; i++)
            {
                uint row = rows[first + i];
                values[i] = (nint)_slabs.Values(row);
                state[i] = (nint)_slabs.State(row);
            }

            RowAddresses addresses = new(values[..known], state[..known], count);
            _rule.RunInPlace(addresses, pushed.Slice(first * _width, count * _width), _width, operation);
        }
    }

    private void ApplyOneByOne(ReadOnlySpan<uint> rows, ReadOnlySpan<float> pushed, RowOperation operation)
    {
        PrefetchFirst(rows);
        for (int i = 0; i < rows.Length; i++)
        {
            PrefetchAhead(rows, i);
            Span<float> values = new(_slabs.Values(rows[i]), _width), state = new(_slabs.State(rows[i]), _stateWidth);
            Call(values, state, pushed.Slice(i * _width, _width), operation);
        }
    }

    private void Call(Span<float> values, Span<float> state, ReadOnlySpan<float> pushed, RowOperation operation)
    {
        if (operation == RowOperation.Update)
        {
            _rule.Apply(values, state, pushed, _width);
        }
        else
        {
            _rule.Assign(values, state, pushed, _width);
        }
    }

    private void Gather(ReadOnlySpan<uint> rows, int first, int count)
    {
        fixed (float* values = _values, states = _state)
        {
            for (int i = 0; i < count; i++)
            {
                PrefetchAhead(rows, first + i);
                uint row = rows[first + i];
                Copy(_slabs.Values(row), values + (i * _width), _width);
                float* from = _slabs.State(row);
                float* plane = states + (i * _width);
                for (int p = 0; p < _planes; p++, from += _width, plane += count * _width)
                {
                    Copy(from, plane, _width);
                }

                float* scalar = states + (_planes * count * _width) + i;
                for (int s = 0; s < _scalars; s++, scalar += count)
                {
                    *scalar = from[s];
                }
            }
        }
    }

    private void Scatter(ReadOnlySpan<uint> rows)
    {
        int count = rows.Length;
        fixed (float* values = _values, states = _state)
        {
            for (int i = 0; i < count; i++)
            {
                uint row = rows[i];
                Copy(values + (i * _width), _slabs.Values(row), _width);
                float* to = _slabs.State(row);
                float* plane = states + (i * _width);
                for (int p = 0; p < _planes; p++, to += _width, plane += count * _width)
                {
                    Copy(plane, to, _width);
                }

                float* scalar = states + (_planes * count * _width) + i;
                for (int s = 0; s < _scalars; s++, scalar += count)
                {
                    to[s] = *scalar;
                }
            }
        }
    }

    private static void Copy(float* from, float* to, int floats)
    {
        if (floats == 1)
        {
            *to = *from;
        }
        else
        {
            new ReadOnlySpan<float>(from, floats).CopyTo(new Span<float>(to, floats));
        }
    }

    private void PrefetchFirst(ReadOnlySpan<uint> rows)
    {
        foreach (uint row in rows[..Math.Min(rows.Length, Prefetch.RowDistance)])
        {
            PrefetchRow(row);
        }
    }

    private void PrefetchAhead(ReadOnlySpan<uint> rows, int i)
    {
        if (i + Prefetch.RowDistance < rows.Length)
        {
            PrefetchRow(rows[i + Prefetch.RowDistance]);
        }
    }

    private void PrefetchRow(uint row)
    {
        Prefetch.Row((byte*)_slabs.Values(row), _width * sizeof(float));
        if (_stateWidth > 0)
        {
            Prefetch.Row((byte*)_slabs.State(row), _stateWidth * sizeof(float));
        }
    }
}
