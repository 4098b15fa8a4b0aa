using CsCheck;
using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>Admission and expiry against plain dictionaries of counts and clocks.</summary>
public class RowLifetimeTests
{
    private const int PoolKeys = 120;

    private static readonly ulong[] Pool = Keys(new Rng(21), PoolKeys);

    private static readonly Gen<(int Kind, int[] Picks, int Clock)[]> Operations = Gen.Select(
        Gen.Int[0, 9], Gen.Int[0, PoolKeys - 1].Array[1, 40], Gen.Int[0, 20]).Array[1, 60];

    [Fact]
    public void RowsOlderThanTheClockExpireAndNoOthers() => Operations.Sample(operations =>
    {
        MemoryBudget budget = new(long.MaxValue);
        using TableRows table = new(2, UpdateRule.Adagrad(0.1f), 0, budget, new RowLifetime { KeepsLastClock = true });
        SegmentRows rows = table.OpenSegment(1, 1);
        Dictionary<ulong, long> model = [];
        ulong next = 0;
        foreach ((int kind, int[] picks, int clock) in operations)
        {
            ulong[] keys = [.. picks.Distinct().Select(pick => Pool[pick])];
            if (kind < 5)
            {
                Assert.Equal(StoreResult.Ok, rows.Apply(keys, new float[keys.Length * 2], kind == 4 ? RowOperation.Assign : RowOperation.Update, clock));
                Array.ForEach(keys, key => model[key] = Math.Max(clock, model.GetValueOrDefault(key)));
            }
            else if (kind == 5)
            {
                Assert.Equal(keys.Count(model.Remove), rows.Delete(keys));
            }
            else if (kind < 9)
            {
                // One step of a walk whose steps other calls come between.
                ulong from = next;
                ulong[] expired = new ulong[1 + (picks.Length / 2)];
                int count = rows.FindOlderThan(clock, from, 1 + picks[0], expired, out next, out bool done);
                Assert.Equal(count, rows.Delete(expired.AsSpan(0, count)));
                ulong end = done ? ulong.MaxValue : next - 1;
                ulong[] due = [.. model.Where(row => row.Value < clock).Select(row => Mix.Of(row.Key)).Where(mixed => mixed >= from && mixed <= end).Order()];
                Assert.Equal(due, expired[..count].Select(key => Mix.Of(key)));
                Array.ForEach(expired[..count], key => Assert.True(model.Remove(key)));
            }
            else
            {
                ExpireAll(rows, clock);
                foreach (ulong key in model.Where(row => row.Value < clock).Select(row => row.Key).ToArray())
                {
                    model.Remove(key);
                }
            }

            Assert.Equal(model.Count, rows.Rows);
        }

        Assert.All(Pool, key => Assert.Equal(model.TryGetValue(key, out long last) ? last : null, rows.LastClock(key)));
        Assert.Equal(table.Bytes, budget.Used);
    });

    [Fact]
    public void AWalkForOldRowsLooksAtNoMoreSlotsThanItMay()
    {
        using TableRows table = new(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue), new RowLifetime { KeepsLastClock = true });
        SegmentRows rows = table.OpenSegment(1, 1);
        ulong[] keys = Keys(new Rng(5), 20_000);
        rows.Apply(keys, new float[keys.Length], RowOperation.Update, 7);
        int steps = 0;
        ulong next = 0;
        for (bool done = false; !done; steps++)
        {
            Assert.Equal(0, rows.FindOlderThan(7, next, 500, new ulong[10], out next, out done));
        }

        Assert.InRange(steps, 20_000 / 500, 40_000 / 500);
        Assert.Equal(10, rows.FindOlderThan(8, 0, 500, new ulong[10], out _, out _));
        Assert.Equal(20_000, rows.Rows);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public void AKeyGetsARowWithItsNthPush(int sightings) => Operations.Sample(operations =>
    {
        MemoryBudget budget = new(long.MaxValue);
        using (TableRows table = new(1, UpdateRule.Add, 0.5f, budget, new RowLifetime { AdmitAfterSightings = sightings }))
        {
            SegmentRows rows = table.OpenSegment(1, 1);
            Dictionary<ulong, int> counts = [];
            Dictionary<ulong, float> model = [];
            foreach ((int kind, int[] picks, int value) in operations)
            {
                ulong[] keys = [.. picks.Distinct().Select(pick => Pool[pick])];
                if (kind == 0)
                {
                    Assert.Equal(keys.Count(model.Remove), rows.Delete(keys));
                    continue;
                }

                RowOperation operation = kind == 1 ? RowOperation.Assign : RowOperation.Update;
                Assert.Equal(StoreResult.Ok, rows.Apply(keys, [.. keys.Select((_, i) => (float)(value + i))], operation));
                for (int i = 0; i < keys.Length; i++)
                {
                    bool known = model.TryGetValue(keys[i], out float now);
                    if (!known && operation == RowOperation.Update)
                    {
                        counts[keys[i]] = counts.GetValueOrDefault(keys[i]) + 1;
                    }

                    if (operation == RowOperation.Assign || known || counts[keys[i]] >= sightings)
                    {
                        model[keys[i]] = value + i + (operation == RowOperation.Assign ? 0 : known ? now : 0.5f);
                    }
                }
            }

            float[] values = new float[PoolKeys];
            byte[] found = new byte[(PoolKeys + 7) / 8];
            int count = rows.ReadFound(Pool, values, found);
            Assert.Equal(Pool.Where(model.ContainsKey).Select(key => model[key]), values[..count]);
            Assert.Equal(table.Bytes, budget.Used);
        }

        Assert.Equal(0, budget.Used);
    });

    [Fact]
    public void NoKeyIsAdmittedLateAndFewAreAdmittedEarlyWhileTheSketchIsAsFullAsItMayBe()
    {
        const int sightings = 4;
        RowLifetime lifetime = new() { AdmitAfterSightings = sightings, SketchBytes = 4096 };
        using TableRows table = new(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue), lifetime);
        SegmentRows rows = table.OpenSegment(1, 1);
        // 170 keys, three sightings each: 510 of a window of 512.
        ulong[] keys = Keys(new Rng(31), 170);
        for (int sighting = 1; sighting < sightings; sighting++)
        {
            foreach (ulong key in keys)
            {
                rows.Apply([key], [1f], RowOperation.Update);
            }
        }

        Assert.InRange(rows.Rows, 0, 5);
        rows.Apply(keys, new float[keys.Length], RowOperation.Update);
        Assert.Equal(keys.Length, rows.Rows);
    }

    [Fact]
    public void WhatIsSeenOnceFromTimeToTimeDoesNotFillTheSketch()
    {
        RowLifetime lifetime = new() { AdmitAfterSightings = 4, SketchBytes = 4096 };
        using TableRows table = new(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue), lifetime);
        SegmentRows rows = table.OpenSegment(1, 1);
        foreach (ulong[] some in Keys(new Rng(41), 100_000).Chunk(100))
        {
            rows.Apply(some, new float[some.Length], RowOperation.Update);
        }

        Assert.InRange(rows.Rows, 0, 1000);
        Assert.Equal(100_000, rows.Rows + rows.SightingsWithoutRow);
    }

    [Fact]
    public void ACopyOfTheSketchDecidesAsTheOriginal()
    {
        RowLifetime lifetime = new() { AdmitAfterSightings = 3, SketchBytes = 1024 };
        using TableRows table = new(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue), lifetime);
        using TableRows other = new(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue), lifetime);
        SegmentRows rows = table.OpenSegment(1, 1), copy = other.OpenSegment(1, 1);
        Rng rng = new(51);
        rows.Apply(Pool, new float[PoolKeys], RowOperation.Update);
        byte[] state = new byte[rows.AdmissionStateBytes];
        rows.WriteAdmissionState(state);
        Assert.False(copy.TryReadAdmissionState(state.AsSpan(1)));
        Assert.True(copy.TryReadAdmissionState(state));
        for (int call = 0; call < 200; call++)
        {
            ulong[] keys = [.. Enumerable.Range(0, 10).Select(_ => Pool[rng.Below(PoolKeys)]).Distinct(), .. Keys(rng, 5)];
            rows.Apply(keys, new float[keys.Length], RowOperation.Update);
            copy.Apply(keys, new float[keys.Length], RowOperation.Update);
            Assert.Equal(rows.Rows, copy.Rows);
        }

        byte[] after = new byte[state.Length], copied = new byte[state.Length];
        rows.WriteAdmissionState(after);
        copy.WriteAdmissionState(copied);
        Assert.Equal(after, copied);
        Assert.NotEqual(state, after);
    }

    [Fact]
    public void ACallThatDoesNotFitOrIsForeignCountsNoSighting()
    {
        RowLifetime lifetime = new() { AdmitAfterSightings = 2, SketchBytes = 1024 };
        MemoryBudget budget = new(1024 + 2000);
        using TableRows table = new(1, UpdateRule.Add, 0, budget, lifetime);
        SegmentRows rows = table.OpenSegment(1, 1);
        ulong foreign = Keys(new Rng(1), 1, 0)[0];
        Assert.Equal(StoreResult.WrongSegment, rows.Apply([Pool[0], foreign], [1f, 1f], RowOperation.Update));
        Assert.Equal(0, budget.Used);
        Assert.Equal(StoreResult.Ok, rows.Apply([Pool[0]], [1f], RowOperation.Update));
        byte[] before = new byte[rows.AdmissionStateBytes], after = new byte[rows.AdmissionStateBytes];
        rows.WriteAdmissionState(before);
        // The second sighting asks for a slab, which the budget cannot pay.
        Assert.Equal(StoreResult.Full, rows.Apply(Pool, new float[PoolKeys], RowOperation.Update));
        rows.WriteAdmissionState(after);
        Assert.Equal(before, after);
        Assert.Equal((0L, 1024L, 1L), (rows.Rows, budget.Used, rows.SightingsWithoutRow));
    }

    [Fact]
    public void AnImpossibleLifetimeIsRefusedWithAllItsFaults()
    {
        RowLifetime lifetime = new() { AdmitAfterSightings = 0, SketchBytes = 100 };
        ArgumentException refused = Assert.Throws<ArgumentException>(
            () => new TableRows(1, UpdateRule.Add, 0, new MemoryBudget(0), lifetime));
        Assert.Contains("AdmitAfterSightings is 0", refused.Message, StringComparison.Ordinal);
        Assert.Contains("SketchBytes is 100", refused.Message, StringComparison.Ordinal);
    }

    private static void ExpireAll(SegmentRows rows, long clock)
    {
        ulong next = 0;
        ulong[] old = new ulong[7];
        for (bool done = false; !done;)
        {
            int count = rows.FindOlderThan(clock, next, 16, old, out next, out done);
            rows.Delete(old.AsSpan(0, count));
        }
    }

    private static ulong[] Keys(Rng rng, int count, int segment = 1) =>
        [.. Enumerable.Range(0, count).Select(_ => Mix.Inverse((rng.Next() >> 1) | ((ulong)segment << 63)))];
}
