using System.Numerics;
using System.Runtime.CompilerServices;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// The memory of a table's rows: slabs of about 64 KiB, each with the values of its rows in front, then their optimizer state, then the
/// clock of each row's last push where the table keeps it, so that a pull touches values alone. A row keeps its number and its address
/// for life; numbers of deleted rows are used again. Slabs belong to the table and serve all its segments, so that memory stays near
/// what rows need however many segments there are; they are freed with the table. Not thread-safe.
/// </summary>
/// <remarks>
/// A small table takes its slabs one by one. One that has grown takes regions of several slabs, large enough for huge pages and never
/// more than a sixteenth of what it has.
/// </remarks>
internal sealed unsafe class RowSlabs : IDisposable
{
    // Small enough that a table of few rows costs little, large enough that the list of slabs stays in cache at 10^8 rows.
    private const int SlabTargetBytes = 64 * 1024;
    private const int AlignmentBytes = 64;

    // A region of 2 MiB holds one huge page; 32 MiB amortises the call for it, and is nothing against what a table then has.
    private const long SmallestRegionBytes = 2L << 20;
    private const long LargestRegionBytes = 32L << 20;
    private const int RegionShare = 16;

    private readonly int _width;
    private readonly int _stateWidth;
    private readonly int _slabBits;
    private readonly uint _slabMask;
    private readonly long _slabBytes;
    private readonly nint _stateOffset;
    private readonly nint _clockOffset;
    private readonly MemoryBudget _budget;
    private readonly List<(nint Memory, long Bytes)> _regions = [];
    private nint[] _slabs = new nint[4];
    private int _slabCount;
    private uint _issued;
    private uint _firstFree = Slot.NoRow;
    private uint _free;

    /// <summary>No rows yet, of <paramref name="width"/> floats of value and <paramref name="stateWidth"/> of state each.</summary>
    public RowSlabs(int width, int stateWidth, bool keepsLastClock, MemoryBudget budget)
    {
        _width = width;
        _stateWidth = stateWidth;
        _budget = budget;
        KeepsLastClock = keepsLastClock;
        RowBytes = (((long)width + stateWidth) * sizeof(float)) + (keepsLastClock ? sizeof(uint) : 0);
        _slabBits = BitOperations.Log2((uint)Math.Max(1, SlabTargetBytes / RowBytes));
        _slabMask = (1u << _slabBits) - 1;
        _stateOffset = (nint)width << _slabBits;
        _clockOffset = ((nint)width + stateWidth) << _slabBits;
        _slabBytes = ((RowBytes << _slabBits) + AlignmentBytes - 1) / AlignmentBytes * AlignmentBytes;
    }

    /// <summary>True where each row has the clock of its last push.</summary>
    public bool KeepsLastClock { get; }

    /// <summary>The bytes of a row: values, state and clock.</summary>
    public long RowBytes { get; }

    /// <summary>Rows in use.</summary>
    public long Rows => _issued - _free;

    /// <summary>The native bytes of all slabs, free rows included.</summary>
    public long Bytes { get; private set; }

    /// <summary>A row's values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Values(uint row) => (float*)_slabs[row >> _slabBits] + ((row & _slabMask) * (nint)_width);

    /// <summary>A row's optimizer state.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* State(uint row) =>
        (float*)_slabs[row >> _slabBits] + (_stateOffset + ((row & _slabMask) * (nint)_stateWidth));

    /// <summary>The clock of a row's last push. Only where <see cref="KeepsLastClock"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint* LastClock(uint row) => (uint*)((float*)_slabs[row >> _slabBits] + (_clockOffset + (nint)(row & _slabMask)));

    /// <summary>The bytes that room for <paramref name="rows"/> more rows takes from the budget: 0 where free rows suffice.</summary>
    public long GrowthBytes(int rows)
    {
        long bytes = 0;
        for (long missing = SlabsToAdd(rows); missing > 0;)
        {
            long slabs = RegionSlabs(Bytes + bytes);
            bytes += slabs * _slabBytes;
            missing -= slabs;
        }

        return bytes;
    }

    /// <summary>True where the table has numbers left for <paramref name="rows"/> more rows.</summary>
    public bool HasNumbers(int rows) =>
        (_slabCount + SlabsToAdd(rows) + (LargestRegionBytes / _slabBytes)) << _slabBits <= Slot.NotAdmitted;

    /// <summary>Makes room for <paramref name="rows"/> more rows. The caller has taken <see cref="GrowthBytes"/> from the budget.</summary>
    /// <exception cref="OutOfMemoryException">The system has no more; some of the room may have been made, and is counted in <see cref="Bytes"/>.</exception>
    public void Grow(int rows)
    {
        for (long missing = SlabsToAdd(rows); missing > 0;)
        {
            int slabs = RegionSlabs(Bytes);
            long bytes = slabs * _slabBytes;
            nint region = (nint)_budget.Memory.Allocate(bytes);
            _regions.Add((region, bytes));
            if (_slabCount + slabs > _slabs.Length)
            {
                Array.Resize(ref _slabs, Math.Max(_slabCount + slabs, _slabCount * 2));
            }

            for (int i = 0; i < slabs; i++)
            {
                _slabs[_slabCount++] = region + (nint)(i * _slabBytes);
            }

            Bytes += bytes;
            missing -= slabs;
        }
    }

    /// <summary>A row whose floats hold anything. Room was made before.</summary>
    public uint Take()
    {
        if (_firstFree == Slot.NoRow)
        {
            Invariant.That(_issued < (long)_slabCount << _slabBits, "room for rows is made before they are taken");
            return _issued++;
        }

        uint row = _firstFree;
        _firstFree = *(uint*)Values(row);
        _free--;
        return row;
    }

    /// <summary>Gives a row back. Its first value links it to the row that was free before.</summary>
    public void Release(uint row)
    {
        *(uint*)Values(row) = _firstFree;
        _firstFree = row;
        _free++;
    }

    /// <summary>Frees all rows and gives their bytes back to the budget.</summary>
    public void Dispose()
    {
        foreach ((nint memory, long bytes) in _regions)
        {
            _budget.Memory.Free((byte*)memory, bytes);
        }

        _budget.Give(Bytes);
        _regions.Clear();
        _slabs = [];
        _slabCount = 0;
        Bytes = 0;
        _issued = _free = 0;
        _firstFree = Slot.NoRow;
    }

    /// <summary>How many slabs the next region has, where the table has <paramref name="bytes"/> already.</summary>
    private int RegionSlabs(long bytes)
    {
        long share = Math.Min(bytes / RegionShare, LargestRegionBytes);
        return share < SmallestRegionBytes ? 1 : (int)Math.Max(1, share / SmallestRegionBytes * SmallestRegionBytes / _slabBytes);
    }

    private long SlabsToAdd(int rows)
    {
        long room = _free + ((long)_slabCount << _slabBits) - _issued;
        return rows <= room ? 0 : (rows - room + _slabMask) >> _slabBits;
    }
}
