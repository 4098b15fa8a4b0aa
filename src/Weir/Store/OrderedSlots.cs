using System.Runtime.CompilerServices;
using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// A linear-probing table of fixed capacity whose entries stand in ascending <c>Mix</c> order (the ordered hash table of Amble and Knuth
/// 1974). The home slot of a key grows with its mixed key, so the order costs an insert no more than moving the rest of its run by one;
/// in return a search for an absent key ends early, a removal leaves no tombstone, and a scan is a walk. Not thread-safe.
/// </summary>
/// <remarks>
/// Entries that run over the end go on at the start: the first <c>_wrapped</c> slots hold them. A position counts through: below the
/// capacity it is a slot, from the capacity on it is a wrapped slot. Entries ascend over the positions [_wrapped, capacity + _wrapped),
/// and between an entry's home (or _wrapped, where that is greater) and its position no slot is empty.
/// </remarks>
internal sealed unsafe class OrderedSlots : IDisposable
{
    /// <summary>The slots that a search looks at in any case.</summary>
    private const int Ahead = 4;

    private readonly KeyRange _range;
    private readonly int _segmentBits;
    private readonly IMemory _memory;
    private Slot* _slots;
    private int _wrapped;

    /// <summary>An empty table for the keys of one segment. The caller has taken <see cref="BytesOf"/> from the budget.</summary>
    public OrderedSlots(int capacity, int segment, int segmentBits, IMemory memory)
    {
        Capacity = capacity;
        _range = KeyRange.OfSegment(segment, segmentBits);
        _segmentBits = segmentBits;
        _memory = memory;
        // Some more: an empty slot after the last stops every search. Zeros are empty slots.
        _slots = (Slot*)memory.Allocate(BytesOf(capacity));
    }

    /// <summary>The slots that may hold an entry; one at least stays empty.</summary>
    public int Capacity { get; }

    /// <summary>The entries now.</summary>
    public int Count { get; private set; }

    /// <summary>The native bytes of a table of this capacity.</summary>
    public static long BytesOf(int capacity) => ((long)capacity + Ahead) * Slot.Bytes;

    /// <summary>The row of a key, or <see cref="Slot.NoRow"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Find(ulong mixed)
    {
        Slot* slot = _slots + Start(mixed);
        // Greater keys and empty slots follow lesser keys, so counting those says how far to go. A loop that ends at the first would be
        // mispredicted for every other key, which costs more than four comparisons.
        int lesser = Bit(slot[0].Mixed < mixed) + Bit(slot[1].Mixed < mixed) + Bit(slot[2].Mixed < mixed) + Bit(slot[3].Mixed < mixed);
        slot += lesser;
        if (lesser == Ahead)
        {
            while (slot->Mixed < mixed)
            {
                slot++;
            }
        }

        if (slot != _slots + Capacity)
        {
            return slot->Mixed == mixed ? slot->Row : Slot.NoRow;
        }

        return _wrapped == 0 ? Slot.NoRow : FindWrapped(mixed);
    }

    /// <summary>Asks for the cache lines in which a search for the key most likely ends.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void PrefetchSlot(ulong mixed)
    {
        byte* home = (byte*)(_slots + Home(mixed));
        Prefetch.Line(home);
        Prefetch.Line(home + (Ahead * Slot.Bytes) - 1);
    }

    /// <summary>Adds a key that has no entry, where fewer than capacity - 1 entries are.</summary>
    public void Insert(ulong mixed, uint row)
    {
        Invariant.That(Count < Capacity - 1, "an index keeps an empty slot");
        int at = LowerBound(mixed);
        int empty = at < Capacity ? FirstEmpty(at) : Capacity;
        Count++;
        if (empty < Capacity)
        {
            Move(at, at + 1, empty - at);
            _slots[at] = new Slot(mixed, row);
            return;
        }

        // The run reaches the end, so one more entry wraps: the entries at the start first make room for it.
        Move(_wrapped, _wrapped + 1, FirstEmpty(_wrapped) - _wrapped);
        if (at < Capacity)
        {
            Move(0, 1, _wrapped);
            _slots[0] = _slots[Capacity - 1];
            Move(at, at + 1, Capacity - 1 - at);
            _slots[at] = new Slot(mixed, row);
        }
        else
        {
            Move(at - Capacity, at - Capacity + 1, Capacity + _wrapped - at);
            _slots[at - Capacity] = new Slot(mixed, row);
        }

        _wrapped++;
    }

    /// <summary>Takes a key's entry out and gives its row, or <see cref="Slot.NoRow"/> where it has none.</summary>
    public uint Remove(ulong mixed)
    {
        int at = LowerBound(mixed);
        if (at == Capacity + _wrapped || At(at)->Mixed != mixed || At(at)->Row == Slot.NoRow)
        {
            return Slot.NoRow;
        }

        uint row = At(at)->Row;
        Count--;
        if (at < Capacity)
        {
            CloseHole(at);
        }
        else
        {
            Move(at - Capacity + 1, at - Capacity, Capacity + _wrapped - at - 1);
            _wrapped--;
            CloseHole(_wrapped);
        }

        return row;
    }

    /// <summary>
    /// Copies entries in ascending order from <paramref name="from"/> on, a key of the segment's range, until the span is full or
    /// <paramref name="mostSlots"/> slots were seen (both at least 1).
    /// </summary>
    /// <param name="from">The least mixed key to copy.</param>
    /// <param name="into">Gets the entries.</param>
    /// <param name="mostSlots">Bounds the cost where the table is sparse.</param>
    /// <param name="next">Where to go on: above all copied entries and at most the next one. Undefined at the end.</param>
    /// <param name="end">No entry is left.</param>
    /// <returns>The entries copied.</returns>
    public int Walk(ulong from, Span<Slot> into, int mostSlots, out ulong next, out bool end)
    {
        int count = 0;
        int at = LowerBound(from);
        int last = Capacity + _wrapped;
        int stop = (int)Math.Min(last, (long)at + mostSlots);
        bool filled = false;
        while (at < stop && count < into.Length)
        {
            Slot slot = *At(at++);
            filled = slot.Row != Slot.NoRow;
            if (filled)
            {
                into[count++] = slot;
            }
        }

        end = at >= last || (filled && into[count - 1].Mixed == _range.Last);
        // After an empty slot come only keys whose home is not before it; after an entry, only greater keys.
        next = end ? 0 : filled ? into[count - 1].Mixed + 1 : FirstMixedOf(at);
        return count;
    }

    /// <summary>
    /// Says that no key below <paramref name="border"/> will be asked for again, so that the system may have the pages back. The wrapped
    /// entries stay.
    /// </summary>
    /// <param name="discarded">The slots for which this was said before.</param>
    /// <param name="border">A key of the segment's range.</param>
    /// <param name="leastSlots">Nothing is done for fewer slots than these.</param>
    /// <returns>The slots for which it has been said now.</returns>
    public int DiscardBelow(ulong border, int discarded, int leastSlots)
    {
        int first = Math.Max(discarded, _wrapped), end = Home(border);
        if (end - first < leastSlots)
        {
            return discarded;
        }

        _memory.Discard((byte*)(_slots + first), (long)(end - first) * Slot.Bytes);
        return end;
    }

    /// <summary>Frees the memory. The caller gives the bytes back to the budget.</summary>
    public void Dispose()
    {
        if (_slots is not null)
        {
            _memory.Free((byte*)_slots, BytesOf(Capacity));
            _slots = null;
        }
    }

    // A setcc, not a branch.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Bit(bool condition) => condition ? 1 : 0;

    private uint FindWrapped(ulong mixed)
    {
        int at = LowerBound(mixed);
        return at < Capacity + _wrapped && At(at)->Mixed == mixed ? At(at)->Row : Slot.NoRow;
    }

    /// <summary>The first position from the key's home on that is empty or holds a key not less; the end where there is none.</summary>
    private int LowerBound(ulong mixed)
    {
        int at = Start(mixed);
        while (_slots[at].Mixed < mixed)
        {
            at++;
        }

        if (at < Capacity)
        {
            return at;
        }

        int wrapped = 0;
        while (wrapped < _wrapped && _slots[wrapped].Mixed < mixed)
        {
            wrapped++;
        }

        return Capacity + wrapped;
    }

    private int FirstEmpty(int at)
    {
        while (at < Capacity && _slots[at].Row != Slot.NoRow)
        {
            at++;
        }

        return at;
    }

    /// <summary>Moves the entries after a free slot back by one, as far as each stays at or after its home.</summary>
    private void CloseHole(int at)
    {
        while (true)
        {
            int next = at + 1;
            while (next < Capacity && _slots[next].Row != Slot.NoRow && Home(_slots[next].Mixed) < next)
            {
                next++;
            }

            Move(at + 1, at, next - at - 1);
            _slots[next - 1] = default;
            if (next < Capacity || _wrapped == 0)
            {
                return;
            }

            // The run went to the end: its first wrapped entry comes back, and the hole is now behind the wrapped ones.
            _slots[Capacity - 1] = _slots[0];
            Move(1, 0, _wrapped - 1);
            _wrapped--;
            at = _wrapped;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Home(ulong mixed) => (int)Math.BigMul(mixed << _segmentBits, (ulong)Capacity, out _);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private int Start(ulong mixed) => Math.Max(Home(mixed), _wrapped);

    /// <summary>The least mixed key whose home is <paramref name="slot"/> or after: the inverse of <see cref="Home"/>.</summary>
    private ulong FirstMixedOf(int slot)
    {
        UInt128 scaled = (((UInt128)(uint)slot << 64) + (UInt128)(uint)(Capacity - 1)) / (uint)Capacity;
        return _range.First + (ulong)((scaled + (UInt128.One << _segmentBits) - 1) >> _segmentBits);
    }

    private Slot* At(int position) => _slots + (position < Capacity ? position : position - Capacity);

    private void Move(int from, int to, int count) =>
        Buffer.MemoryCopy(_slots + from, _slots + to, (long)count * Slot.Bytes, (long)count * Slot.Bytes);
}
