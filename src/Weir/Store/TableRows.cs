using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// The rows of one table on one node: their memory, the update rule, and what its segments share. Not thread-safe: a node is one loop.
/// </summary>
internal sealed unsafe class TableRows : IDisposable
{
    private readonly List<SegmentRows> _segments = [];
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
    public long Rows => Slabs.Rows;

    /// <summary>The native bytes of the rows of all segments, free ones included, and of the segments' indexes and sketches.</summary>
    public long Bytes => Slabs.Bytes + _segments.Sum(segment => segment.IndexBytes + segment.SketchBytes);

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

        Slabs.Dispose();
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
