using System.Runtime.CompilerServices;
using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// Which row each key of one segment has. It grows and shrinks little by little: a second table of the new size is filled in key order,
/// a bounded number of entries for each key that a call touches, so that no call pays for the whole. Keys below the border are in the
/// new table, all others in the old one. Not thread-safe.
/// </summary>
internal sealed class KeyIndex(int segment, int segmentBits, MemoryBudget budget) : IDisposable
{
    /// <summary>
    /// Entries moved for each key that a call touches. While a table of load 0.77 is emptied at this rate, inserts add at most a 16th to
    /// it: it stays below load 0.82, and probes stay short.
    /// </summary>
    public const int MovesPerKey = 16;

    /// <summary>Slots seen for each touched key while moving: sparse tables are emptied in bounded steps too.</summary>
    private const int SlotsPerKey = 4 * MovesPerKey;

    private const int SmallestCapacity = 8;

    // Fewer keys say little of how those to come will lie, and cost little wherever they do.
    private const int LeastSpread = 256;

    // Who chooses keys by their hash can have so many times the slots that they need, and no more.
    private const int MostSpread = 256;
    private const int ChunkSlots = 64;

    // 4 MiB, so that each stretch that is given back holds a whole huge page of the system wherever it begins.
    private const int DiscardSlots = (4 << 20) / Slot.Bytes;

    private OrderedSlots? _current;
    private OrderedSlots? _draining;
    private ulong _border;
    private int _discarded;
    private ulong _lowest = ulong.MaxValue;
    private ulong _highest;

    /// <summary>The keys of this index's segment in hash order.</summary>
    public KeyRange Range { get; } = KeyRange.OfSegment(segment, segmentBits);

    /// <summary>The keys that have a row.</summary>
    public long Count { get; private set; }

    /// <summary>The native bytes of the index.</summary>
    public long Bytes => BytesOf(_current) + BytesOf(_draining);

    /// <summary>All entries ever moved from a table to its successor: what growth has cost so far.</summary>
    public long EntriesMoved { get; private set; }

    /// <summary>The row of a key, or <see cref="Slot.NoRow"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint Find(ulong mixed)
    {
        OrderedSlots? holder = Holder(mixed);
        return holder is null ? Slot.NoRow : holder.Find(mixed);
    }

    /// <summary>Asks for the cache line of a key's slot.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void PrefetchSlot(ulong mixed) => Holder(mixed)?.PrefetchSlot(mixed);

    /// <summary>Goes on with a move that is under way, by as much as a call that touches <paramref name="keys"/> keys pays for.</summary>
    public void MoveSome(int keys)
    {
        if (_draining is not null)
        {
            Move((long)keys * MovesPerKey, (long)keys * SlotsPerKey);
        }
    }

    /// <summary>New keys are about to come that lie from <paramref name="lowest"/> to <paramref name="highest"/> in hash order.</summary>
    public void Expect(ulong lowest, ulong highest) => (_lowest, _highest) = (Math.Min(_lowest, lowest), Math.Max(_highest, highest));

    /// <summary>Whether the keys lie closer than <paramref name="more"/> keys of the whole segment would.</summary>
    public bool IsCrowded(int more) => Spread(Count + more) > Count + more;

    /// <summary>The capacity of the table that <paramref name="more"/> new keys need, or 0 where they fit in what there is.</summary>
    /// <param name="more">New keys.</param>
    /// <param name="spreads">
    /// Have them lie as far apart as they would if the rest of the segment were to come: a copy, a restore or an import brings keys in hash order. In
    /// a table of just their number they would fill its first slots without a gap, and every further key would walk and move them all.
    /// </param>
    public int CapacityFor(int more, bool spreads)
    {
        long wanted = spreads ? Spread(Count + more) : Count + more;
        if (_current is not null && wanted <= MostEntries(_current.Capacity))
        {
            return 0;
        }

        // A call that outgrows a table which is still being filled has paid for finishing that move, see MovesPerKey.
        Move(long.MaxValue, long.MaxValue);
        // Load 0.77 / 1.4 = 0.55 after growth: at most 12 / 0.55 = 21.8 bytes a key once a move is done.
        long grown = Math.Max(SmallestCapacity, _current is null ? 0 : (_current.Capacity * 7L / 5) + 1);
        return (int)Math.Min(int.MaxValue - 1, Math.Max(grown, (wanted * 5 / 3) + 1));
    }

    /// <summary>
    /// Begins to move to a table of <paramref name="capacity"/>, whose bytes the caller has taken from the budget, and moves as much as
    /// <paramref name="more"/> new keys pay for.
    /// </summary>
    /// <exception cref="OutOfMemoryException">The system has no more; the index is what it was.</exception>
    public void Grow(int capacity, int more)
    {
        Invariant.That(_draining is null, "an index moves to one new table at a time");
        OrderedSlots larger = new(capacity, segment, segmentBits, budget.Memory);
        (_draining, _current) = (_current, larger);
        _border = Range.First;
        _discarded = 0;
        MoveSome(more);
    }

    /// <summary>Gives a key that has no row one. Room was made before.</summary>
    public void Insert(ulong mixed, uint row)
    {
        Holder(mixed)!.Insert(mixed, row);
        Count++;
    }

    /// <summary>Takes a key out and gives its row, or <see cref="Slot.NoRow"/> where it has none.</summary>
    public uint Remove(ulong mixed)
    {
        uint row = Holder(mixed)?.Remove(mixed) ?? Slot.NoRow;
        Count -= row == Slot.NoRow ? 0 : 1;
        return row;
    }

    /// <summary>Begins to move to a smaller table where most slots are empty and the budget has room for it meanwhile.</summary>
    public void ShrinkIfSparse()
    {
        if (_current is null || _draining is not null || Count > _current.Capacity / 8)
        {
            return;
        }

        if (Count == 0)
        {
            Free(ref _current);
            return;
        }

        int capacity = (int)Math.Max(SmallestCapacity, Count * 2);
        if (capacity >= _current.Capacity || !budget.TryTake(OrderedSlots.BytesOf(capacity)))
        {
            return;
        }

        try
        {
            Grow(capacity, 0);
        }
        catch (OutOfMemoryException)
        {
            budget.Give(OrderedSlots.BytesOf(capacity));
        }
    }

    /// <summary>As <see cref="OrderedSlots.Walk"/>, over both tables; it may copy nothing and yet not be at the end.</summary>
    public int Walk(ulong from, Span<Slot> into, int mostSlots, out ulong next, out bool end)
    {
        from = Math.Max(from, Range.First);
        if (_current is null || from > Range.Last)
        {
            next = 0;
            end = true;
            return 0;
        }

        if (_draining is null || from < _border)
        {
            int count = _current.Walk(from, into, mostSlots, out next, out end);
            if (_draining is not null && (end || next > _border))
            {
                // What lies above the border in the new table is empty for now: those keys are still in the old one.
                next = _border;
                end = false;
            }

            return count;
        }

        return _draining.Walk(from, into, mostSlots, out next, out end);
    }

    /// <summary>Frees both tables and gives their bytes back.</summary>
    public void Dispose()
    {
        Free(ref _current);
        Free(ref _draining);
        Count = 0;
    }

    // A search at load 0.77 sees two to three slots on average, within one or two cache lines.
    private static long MostEntries(int capacity) => capacity * 77L / 100;

    /// <summary>So many keys, or as many as there will be where these are all of a part of the segment and the rest is like it.</summary>
    private long Spread(long keys)
    {
        double part = (_highest - _lowest) / (double)(Range.Last - Range.First);
        double all = keys < LeastSpread ? keys : Math.Min(keys / Math.Max(part, 1e-9), (double)keys * MostSpread);

        // Keys that come in any order leave a little at either end, too.
        return all > keys * 1.25 ? (long)Math.Min(all, int.MaxValue / 2) : keys;
    }

    private static long BytesOf(OrderedSlots? slots) => slots is null ? 0 : OrderedSlots.BytesOf(slots.Capacity);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private OrderedSlots? Holder(ulong mixed) => _draining is not null && mixed >= _border ? _draining : _current;

    private void Move(long entries, long slots)
    {
        Span<Slot> chunk = stackalloc Slot[ChunkSlots];
        while (_draining is not null && entries > 0 && slots > 0)
        {
            int most = (int)Math.Min(entries, ChunkSlots), mostSlots = (int)Math.Min(slots, 2 * ChunkSlots);
            int count = _draining.Walk(_border, chunk[..most], mostSlots, out ulong next, out bool end);
            foreach (Slot slot in chunk[..count])
            {
                _current!.Insert(slot.Mixed, slot.Row);
            }

            // The entries stay behind in the old table, below the border, where no search looks: clearing them would cost a pass.
            EntriesMoved += count;
            entries -= count;
            slots -= mostSlots;
            _border = next;
            if (end)
            {
                Free(ref _draining);
            }
            else
            {
                _discarded = _draining.DiscardBelow(_border, _discarded, DiscardSlots);
            }
        }
    }

    private void Free(ref OrderedSlots? slots)
    {
        budget.Give(BytesOf(slots));
        slots?.Dispose();
        slots = null;
    }
}
