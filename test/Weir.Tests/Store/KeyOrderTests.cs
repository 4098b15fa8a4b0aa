using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>
/// Keys that come in the order of their hash, as a copy, a restore and an import bring them. First seen in <c>weir bench join</c>: a newcomer that copied a
/// segment of a million rows was counted as gone, for each row of a slice walked over all rows before it.
/// </summary>
public class KeyOrderTests
{
    private const int SlotBytes = 12;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Keys_in_hash_order_get_slots_as_far_apart_as_they_will_lie_when_all_have_come(bool descending)
    {
        const int Rows = 200_000;
        const int SliceRows = 10_000;
        using var table = new TableRows(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue));
        SegmentRows rows = table.OpenSegment(5, 6);
        KeyRange range = KeyRange.OfSegment(5, 6);
        ulong step = (range.Last - range.First) / Rows;
        ulong[] keys = [.. Enumerable.Range(0, Rows).Select(i => Mix.Inverse(range.First + ((ulong)i * step)))];
        if (descending)
        {
            Array.Reverse(keys);
        }

        foreach (ulong[] slice in keys.Chunk(SliceRows))
        {
            Assert.Equal(StoreResult.Ok, rows.Apply(slice, new float[slice.Length], RowOperation.Update));
            Assert.InRange(rows.IndexBytes, SlotBytes * Rows, SlotBytes * Rows * 3);
        }

        Assert.Equal(Rows, rows.Rows);
        foreach (ulong[] slice in keys.Chunk(SliceRows))
        {
            Assert.Equal(slice.Length, rows.ReadFound(slice, new float[slice.Length], new byte[(slice.Length / 8) + 1]));
        }
    }

    [Fact]
    public void A_crowd_of_keys_gets_no_more_slots_than_memory_allows_and_is_not_refused_for_those_it_does_not_need()
    {
        const int Rows = 5000;
        var budget = new MemoryBudget(1 << 20);
        using var table = new TableRows(1, UpdateRule.Add, 0, budget);
        SegmentRows rows = table.OpenSegment(5, 6);
        ulong first = KeyRange.OfSegment(5, 6).First;
        ulong[] keys = [.. Enumerable.Range(0, Rows).Select(i => Mix.Inverse(first + (ulong)i))];
        Assert.Equal(StoreResult.Ok, rows.Apply(keys, new float[Rows], RowOperation.Update));
        Assert.Equal(Rows, rows.Rows);
        Assert.InRange(budget.Used, SlotBytes * Rows, 1 << 20);
    }

    [Fact]
    public void Keys_in_any_order_get_the_slots_of_their_number()
    {
        const int Rows = 10_000;
        using var table = new TableRows(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue));
        SegmentRows rows = table.OpenSegment(1, 1);
        var random = new Rng(1);
        ulong[] keys = [.. Enumerable.Range(0, Rows).Select(_ => Mix.Inverse(random.Next() | (1UL << 63)))];
        Assert.Equal(StoreResult.Ok, rows.Apply(keys, new float[Rows], RowOperation.Update));
        Assert.InRange(rows.IndexBytes, SlotBytes * Rows, SlotBytes * Rows * 2);
    }
}
