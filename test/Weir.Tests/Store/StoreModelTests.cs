using CsCheck;
using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>A segment against a dictionary, over keys that crowd the ends of the hashed range as well as spread ones.</summary>
public class StoreModelTests
{
    private const int Width = 3;
    private const float Initial = 0.5f;

    private static readonly Gen<(int Kind, int[] Picks, int Value)[]> Operations = Gen.Select(
        Gen.Int[0, 9], Gen.Frequency((9, Gen.Int[0, 419].Array[0, 40]), (1, Gen.Int[0, 419].Array[200, 420])), Gen.Int[-8, 8])
        .Array[1, 60];

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    [InlineData(0, 3)]
    [InlineData(5, 3)]
    [InlineData(7, 3)]
    [InlineData(1023, 10)]
    public void AnyHistoryLeavesWhatADictionaryHolds(int segment, int segmentBits)
    {
        ulong[] pool = Pool(segment, segmentBits);
        Operations.Sample(operations => Replay(operations, pool, segment, segmentBits), iter: 100);
    }

    private static void Replay((int Kind, int[] Picks, int Value)[] operations, ulong[] pool, int segment, int segmentBits)
    {
        MemoryBudget budget = new(long.MaxValue);
        using (TableRows table = new(Width, UpdateRule.Add, Initial, budget))
        {
            SegmentRows rows = table.OpenSegment(segment, segmentBits);
            ScanUnderChange scan = new(rows, Width);
            Dictionary<ulong, float[]> model = [];
            foreach ((int kind, int[] picks, int value) in operations)
            {
                ulong[] keys = [.. picks.Distinct().Select(pick => pool[pick])];
                if (kind >= 8)
                {
                    scan.Step(1 + picks.Length, model.Keys);
                }
                else if (kind >= 6)
                {
                    Assert.Equal(keys.Count(model.Remove), rows.Delete(keys));
                }
                else
                {
                    Apply(rows, model, keys, value, kind == 5 ? RowOperation.Assign : RowOperation.Update);
                }

                scan.Saw(model.Keys);
                Assert.Equal(model.Count, rows.Rows);
            }

            CheckReads(rows, model, pool);
            CheckScan(rows, model);
            Assert.Equal(table.Bytes, budget.Used);
        }

        Assert.Equal(0, budget.Used);
    }

    private static void Apply(SegmentRows rows, Dictionary<ulong, float[]> model, ulong[] keys, int value, RowOperation operation)
    {
        float[] values = new float[keys.Length * Width];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = value + (i % 5);
        }

        Assert.Equal(StoreResult.Ok, rows.Apply(keys, values, operation));
        for (int i = 0; i < keys.Length; i++)
        {
            float[] row = [.. model.GetValueOrDefault(keys[i]) ?? [Initial, Initial, Initial]];
            for (int j = 0; j < Width; j++)
            {
                // Sums of small whole numbers and halves are exact in a float, so rows are compared exactly.
                row[j] = operation == RowOperation.Assign ? values[(i * Width) + j] : row[j] + values[(i * Width) + j];
            }

            model[keys[i]] = row;
        }
    }

    private static void CheckReads(SegmentRows rows, Dictionary<ulong, float[]> model, ulong[] pool)
    {
        float[] packed = new float[pool.Length * Width];
        byte[] found = new byte[(pool.Length + 7) / 8];
        Array.Fill(found, (byte)0xFF);
        Assert.Equal(model.Count, rows.ReadFound(pool, packed, found));
        int at = 0;
        for (int i = 0; i < pool.Length; i++)
        {
            bool exists = (found[i / 8] >> (i % 8) & 1) == 1;
            Assert.Equal(model.ContainsKey(pool[i]), exists);
            if (exists)
            {
                Assert.Equal(model[pool[i]], packed[(at * Width)..((at + 1) * Width)]);
                at++;
            }
        }
    }

    private static void CheckScan(SegmentRows rows, Dictionary<ulong, float[]> model)
    {
        List<ulong> scanned = [];
        ulong[] keys = new ulong[7];
        float[] values = new float[7 * Width];
        ulong next = 0;
        for (bool done = false; !done;)
        {
            int count = rows.Scan(next, keys, values, out next, out done);
            for (int i = 0; i < count; i++)
            {
                scanned.Add(keys[i]);
                Assert.Equal(model[keys[i]], values[(i * Width)..((i + 1) * Width)]);
            }
        }

        Assert.Equal(model.Keys.OrderBy(key => Mix.Of(key)), scanned);
    }

    /// <summary>420 keys of the segment: spread ones, runs of neighbours in hash order at both ends and in the middle, and 0 and 2^64-1.</summary>
    private static ulong[] Pool(int segment, int segmentBits)
    {
        KeyRange range = KeyRange.OfSegment(segment, segmentBits);
        Rng rng = new(7);
        HashSet<ulong> mixed = [];
        for (ulong i = 0; i < 90; i++)
        {
            mixed.Add(range.Last - i);
            mixed.Add(range.First + i);
            mixed.Add(range.First + ((range.Last - range.First) / 2) + i);
        }

        foreach (ulong edge in new[] { 0UL, ulong.MaxValue }.Select(key => Mix.Of(key)).Where(range.Contains))
        {
            mixed.Add(edge);
        }

        while (mixed.Count < 420)
        {
            mixed.Add(range.First + (rng.Next() % (range.Last - range.First)));
        }

        return [.. mixed.Select(Mix.Inverse)];
    }
}
