using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>A system that has less memory than the budget: the store answers Full and goes on, as it does at its limit.</summary>
public unsafe class RefusedMemoryTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, int.MaxValue).Select(k => (ulong)k).Where(k => Mix.Segment(k, 1) == 0).Take(20_000)];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_store_whose_system_has_no_more_is_full_and_goes_on_when_it_has(int admitAfterSightings)
    {
        ScarceMemory memory = new();
        MemoryBudget budget = new(long.MaxValue, memory);
        using (TableRows table = new(4, UpdateRule.Add, 0, budget, new RowLifetime { AdmitAfterSightings = admitAfterSightings }))
        {
            SegmentRows rows = table.OpenSegment(0, 1);
            int refusals = 0;

            // Each allocation is refused once or more: whichever of sketch, rows and index it is for, what was there before must stand.
            foreach (ulong[] keys in Keys.Chunk(500))
            {
                float[] ones = [.. Enumerable.Repeat(1f, 4 * keys.Length)];
                for (int sighting = 1; sighting <= admitAfterSightings; sighting++)
                {
                    long before = rows.Rows;
                    memory.RefusesNext = true;
                    while (rows.Apply(keys, ones, RowOperation.Update) == StoreResult.Full)
                    {
                        refusals++;
                        Assert.True(budget.SystemHasNoMore);
                        Assert.Equal((memory.Bytes, before), (budget.Used, rows.Rows));
                        memory.RefusesNext = refusals % 3 == 0;
                    }

                    memory.RefusesNext = false;
                    Assert.Equal(memory.Bytes, budget.Used);
                }
            }

            Assert.False(budget.SystemHasNoMore);
            Assert.InRange(refusals, 10, int.MaxValue);
            float[] read = new float[4 * Keys.Length];
            int found = rows.ReadFound(Keys, read, new byte[Keys.Length / 8]);
            if (admitAfterSightings == 1)
            {
                // Admission counts about; without it every push stands, and stands once.
                Assert.Equal(Keys.Length, found);
                Assert.All(read, value => Assert.Equal(1, value));
            }

            Assert.InRange(found, Keys.Length / 2, Keys.Length);
        }

        Assert.Equal(0, memory.Bytes);
        Assert.Equal(0, budget.Used);
    }

    /// <summary>Refuses the next allocation where it was told so.</summary>
    private sealed class ScarceMemory : IMemory
    {
        public bool RefusesNext { get; set; }

        public long Bytes { get; private set; }

        public byte* Allocate(long bytes)
        {
            if (RefusesNext)
            {
                RefusesNext = false;
                throw new InsufficientMemoryException("refused");
            }

            Bytes += bytes;
            return PlainMemory.Instance.Allocate(bytes);
        }

        public void Discard(byte* from, long bytes)
        {
        }

        public void Free(byte* memory, long bytes)
        {
            Bytes -= bytes;
            PlainMemory.Instance.Free(memory, bytes);
        }
    }
}
