using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// The memory of a table's rows: slabs of about 64 KiB, each with the values of its rows in front and their optimizer state behind, so
/// that a pull touches values alone. A row keeps its number and its address for life; numbers of deleted rows are used again. Slabs
/// belong to the table and serve all its segments, so that memory stays near what rows need however many segments there are; they are
/// freed with the table. Not thread-safe.
/// </summary>
internal sealed unsafe class RowSlabs : IDisposable
{
    // Small enough that a table of few rows costs little, large enough that the list of slabs stays in cache at 10^8 rows.
    private const int SlabTargetBytes = 64 * 1024;
    private const int AlignmentBytes = 64;

    private readonly int _width;
    private readonly int _stateWidth;
    private readonly int _slabBits;
    private readonly uint _slabMask;
    private readonly long _slabBytes;
    private readonly MemoryBudget _budget;
    private nint[] _slabs = new nint[4];
    private int _slabCount;
    private uint _issued;
    private uint _firstFree = Slot.NoRow;
    private uint _free;

    /// <summary>No rows yet, of <paramref name="width"/> floats of value and <paramref name="stateWidth"/> of state each.</summary>
    public RowSlabs(int width, int stateWidth, MemoryBudget budget)
    {
        _width = width;
        _stateWidth = stateWidth;
        _budget = budget;
        RowBytes = ((long)width + stateWidth) * sizeof(float);
        _slabBits = BitOperations.Log2((uint)Math.Max(1, SlabTargetBytes / RowBytes));
        _slabMask = (1u << _slabBits) - 1;
        _slabBytes = RowBytes << _slabBits;
    }

    /// <summary>The bytes of a row, values and state.</summary>
    public long RowBytes { get; }

    /// <summary>Rows in use.</summary>
    public long Rows => _issued - _free;

    /// <summary>The native bytes of all slabs, free rows included.</summary>
    public long Bytes => _slabCount * _slabBytes;

    /// <summary>A row's values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* Values(uint row) => (float*)_slabs[row >> _slabBits] + ((row & _slabMask) * (nint)_width);

    /// <summary>A row's optimizer state.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float* State(uint row) =>
        (float*)_slabs[row >> _slabBits] + (((nint)_width << _slabBits) + ((row & _slabMask) * (nint)_stateWidth));

    /// <summary>The bytes that room for <paramref name="rows"/> more rows takes from the budget: 0 where free rows suffice.</summary>
    public long GrowthBytes(int rows) => SlabsToAdd(rows) * _slabBytes;

    /// <summary>True where the table has numbers left for <paramref name="rows"/> more rows.</summary>
    public bool HasNumbers(int rows) => ((_slabCount + SlabsToAdd(rows)) << _slabBits) <= Slot.NoRow;

    /// <summary>Makes room for <paramref name="rows"/> more rows. The caller has taken <see cref="GrowthBytes"/> from the budget.</summary>
    public void Grow(int rows)
    {
        for (long more = SlabsToAdd(rows); more > 0; more--)
        {
            if (_slabCount == _slabs.Length)
            {
                Array.Resize(ref _slabs, _slabCount * 2);
            }

            _slabs[_slabCount++] = (nint)NativeMemory.AlignedAlloc((nuint)_slabBytes, AlignmentBytes);
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
        for (int slab = 0; slab < _slabCount; slab++)
        {
            NativeMemory.AlignedFree((void*)_slabs[slab]);
        }

        _budget.Give(Bytes);
        _slabs = [];
        _slabCount = 0;
        _issued = _free = 0;
        _firstFree = Slot.NoRow;
    }

    private long SlabsToAdd(int rows)
    {
        long room = _free + ((long)_slabCount << _slabBits) - _issued;
        return rows <= room ? 0 : (rows - room + _slabMask) >> _slabBits;
    }
}
