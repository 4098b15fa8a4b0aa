using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>An index over memory that takes discarded stretches away at once and watches what is freed.</summary>
public unsafe class IndexMemoryTests
{
    [Fact]
    public void AnIndexThatGrowsGivesBackWhatItHasEmptiedAndMissesNoKey()
    {
        WatchedMemory memory = new();
        MemoryBudget budget = new(long.MaxValue, memory);
        using (TableRows table = new(1, UpdateRule.Assign, 0, budget))
        {
            SegmentRows rows = table.OpenSegment(1, 1);
            KeyRange range = KeyRange.OfSegment(1, 1);
            Rng rng = new(3);
            // A crowd at the end of the range, so that entries wrap around to the slots that are given back first.
            List<ulong> keys = [.. Enumerable.Range(0, 3000).Select(i => Mix.Inverse(range.Last - (ulong)i))];
            rows.Apply(keys.ToArray(), new float[keys.Count], RowOperation.Update);
            while (memory.Discards < 8)
            {
                ulong[] some = [.. Enumerable.Range(0, 1000).Select(_ => Mix.Inverse((rng.Next() >> 1) | (1UL << 63)))];
                Assert.Equal(StoreResult.Ok, rows.Apply(some, new float[some.Length], RowOperation.Update));
                keys.AddRange(some);
                Assert.True(keys.Count < 4_000_000, "an index of megabytes gives back while it moves");
            }

            // It is in the middle of a move: keys are in both tables.
            foreach (ulong[] some in keys.Chunk(1000))
            {
                Assert.Equal(some.Length, rows.ReadFound(some, new float[some.Length], new byte[125]));
            }

            Assert.Equal(keys.Count, rows.Rows);
            Assert.Equal(memory.Bytes, budget.Used);
            foreach (ulong[] some in keys.Chunk(1000))
            {
                Assert.Equal(some.Length, rows.Delete(some));
            }

            Assert.Equal((0L, 0L), (rows.Rows, rows.IndexBytes));
        }

        Assert.Equal(0, memory.Bytes);
    }

    private sealed class WatchedMemory : IMemory
    {
        private readonly Dictionary<nint, long> _allocated = [];

        public int Discards { get; private set; }

        public long Bytes => _allocated.Values.Sum();

        public byte* Allocate(long bytes)
        {
            byte* memory = PlainMemory.Instance.Allocate(bytes);
            _allocated.Add((nint)memory, bytes);
            return memory;
        }

        public void Discard(byte* from, long bytes)
        {
            Assert.Contains(_allocated, one => (nint)from >= one.Key && (nint)from + bytes <= one.Key + one.Value);
            new Span<byte>(from, (int)bytes).Clear();
            Discards++;
        }

        public void Free(byte* memory, long bytes)
        {
            Assert.True(_allocated.Remove((nint)memory, out long had) && had == bytes);
            PlainMemory.Instance.Free(memory, bytes);
        }
    }
}
