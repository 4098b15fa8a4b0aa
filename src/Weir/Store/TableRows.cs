using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// The rows of one table on one node: their memory, the update rule, and what its segments share. Not thread-safe: a node is one loop.
/// </summary>
internal sealed unsafe class TableRows : IDisposable
{
    /// <summary>Slots looked at before the next piece of rows is given back: a piece takes microseconds however few of them are filled.</summary>
    private const int PieceSlots = 256;

    private const int PieceRows = 64;

    private readonly List<SegmentRows> _segments = [];
    private readonly Queue<KeyIndex> _closed = new();
    private ulong _closedFrom;
    private long _closedRows;
    private readonly float[] _newValues;
    private readonly float[] _newState;
    private uint[] _rows = [];
    private float[] _values = [];

    /// <summary>A table without rows.</summary>
    /// <param name="width">Floats a row, at least 1.</param>
    /// <param name="rule">What a push does to a row.</param>
    /// <param name="initialValue">Every float of a row that was never pushed or assigned.</param>
    /// <param name="budget">Pays for all native memory.</param>
    /// <param name="lifetime">Admission and expiry; null for rows at the first push and for ever.</param>
    public TableRows(int width, UpdateRule rule, float initialValue, MemoryBudget budget, RowLifetime? lifetime = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        Lifetime = lifetime ?? RowLifetime.Default;
        if (Lifetime.Validate() is { Count: > 0 } faults)
        {
            throw new ArgumentException(string.Join("; ", faults), nameof(lifetime));
        }

        IUpdateRule arithmetic = UpdateRules.Create(rule);
        Width = width;
        Budget = budget;
        Slabs = new RowSlabs(width, arithmetic.StateWidth(width), Lifetime.KeepsLastClock, budget);
        Runs = new RowRuns(arithmetic, width, Slabs);
        // A new row is the initial value assigned over a state of zeros; it is made once here and copied from then on.
        _newValues = new float[width];
        _newState = new float[arithmetic.StateWidth(width)];
        float[] initial = new float[width];
        Array.Fill(initial, initialValue);
        arithmetic.Assign(_newValues, _newState, initial, width);
    }

    /// <summary>Floats a row.</summary>
    public int Width { get; }

    /// <summary>When keys get rows, and what rows know of their age.</summary>
    public RowLifetime Lifetime { get; }

    /// <summary>The bytes of a row: values, optimizer state, and its last clock where the table keeps it.</summary>
    public long RowBytes => Slabs.RowBytes;

    /// <summary>Floats of a row: its values and its optimizer state.</summary>
    public int ImageFloats => Width + _newState.Length;

    /// <summary>Rows of all segments.</summary>
    public long Rows => Slabs.Rows - _closedRows;

    /// <summary>Rows of the segments that are <see cref="SegmentRows.IsCounted"/>.</summary>
    public long CountedRows { get; internal set; }

    /// <summary>What a row takes of a quota: its values, state and clock, and one slot of the index. What is free in slabs and indexes is the node's matter.</summary>
    public long CountedBytesOfRow => RowBytes + Slot.Bytes;

    /// <summary>The native bytes of the rows of all segments, free ones included, and of the segments' indexes and sketches.</summary>
    public long Bytes => Slabs.Bytes + _segments.Sum(segment => segment.IndexBytes + segment.SketchBytes) + _closed.Sum(index => index.Bytes);

    internal MemoryBudget Budget { get; }

    internal RowSlabs Slabs { get; }

    internal RowRuns Runs { get; }

    /// <summary>Opens a segment without rows. It is closed by its own Dispose, or with the table.</summary>
    /// <param name="segment">Which of the 2^<paramref name="segmentBits"/> segments; open at most once at a time.</param>
    /// <param name="segmentBits">1 to 32.</param>
    public SegmentRows OpenSegment(int segment, int segmentBits)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(segmentBits, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(segmentBits, 32);
        Invariant.That(segment >= 0 && segment < 1L << segmentBits, "a segment's number is below 2^segmentBits");
        SegmentRows opened = new(this, segment, segmentBits);
        _segments.Add(opened);
        return opened;
    }

    /// <summary>Closes the open segments and frees all rows.</summary>
    public void Dispose()
    {
        foreach (SegmentRows segment in _segments.ToArray())
        {
            segment.CloseWithTable();
        }

        foreach (KeyIndex index in _closed)
        {
            index.Dispose();
        }

        _closed.Clear();
        Slabs.Dispose();
    }

    /// <summary>
    /// Gives back rows of segments that were closed, about so many and as many that only looking for them takes no longer: a node that drops a copy of
    /// millions of rows does so between requests, and keeps none waiting.
    /// </summary>
    /// <param name="rows">Above 0.</param>
    /// <returns>Whether there were any.</returns>
    public bool GiveBack(int rows)
    {
        if (_closed.Count == 0)
        {
            return false;
        }

        Span<Slot> piece = stackalloc Slot[PieceRows];
        for (long left = rows; left > 0 && _closed.TryPeek(out KeyIndex? index); left -= PieceRows)
        {
            int count = index.Walk(_closedFrom, piece, PieceSlots, out _closedFrom, out bool end);
            foreach (Slot slot in piece[..count])
            {
                Slabs.Release(slot.Row);
            }

            _closedRows -= count;
            if (end)
            {
                _closed.Dequeue().Dispose();
                _closedFrom = 0;
            }
        }

        return true;
    }

    /// <summary>A segment is closed: its rows are given back in time, and its index with the last of them.</summary>
    internal void GiveBack(KeyIndex index)
    {
        _closedRows += index.Count;
        _closed.Enqueue(index);
    }

    internal void Closed(SegmentRows segment) => _segments.Remove(segment);

    /// <summary>A row with the table's initial value. Room was made before.</summary>
    internal uint NewRow()
    {
        uint row = Slabs.Take();
        _newValues.CopyTo(new Span<float>(Slabs.Values(row), Width));
        _newState.CopyTo(new Span<float>(Slabs.State(row), _newState.Length));
        if (Slabs.KeepsLastClock)
        {
            *Slabs.LastClock(row) = 0;
        }

        return row;
    }

    /// <summary>Room for the values of those keys of a call that have rows, overwritten by the next.</summary>
    internal Span<float> ValueBuffer(int floats)
    {
        if (_values.Length < floats)
        {
            // A part fits a frame of 1 MiB, and so does this.
            _values = new float[Math.Max(floats, Math.Min(2 * floats, 1 << 18))];
        }

        return _values.AsSpan(0, floats);
    }

    /// <summary>Room for the row numbers of a call, overwritten by the next.</summary>
    internal Span<uint> RowBuffer(int keys)
    {
        if (_rows.Length < keys)
        {
            // Twice what is asked for, up to the keys of a frame: a batch that grows slowly does not allocate at each call.
            _rows = new uint[Math.Max(keys, Math.Min(2 * keys, 1 << 17))];
        }

        return _rows.AsSpan(0, keys);
    }
}
