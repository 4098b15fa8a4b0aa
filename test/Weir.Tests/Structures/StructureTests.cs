using System.Runtime.InteropServices;
using CsCheck;
using Weir.Client;
using Weir.Keys;
using Weir.Sim;
using Weir.Structures;
using Weir.World;

namespace Weir.Tests.Structures;

/// <summary>Each structure on several servers against a plain model in this process.</summary>
public class StructureTests
{
    private const long LimitMs = 60_000;

    /// <summary>Any calls in any order, with repeated keys, sums that wrap around, and a client that would round floats.</summary>
    [Fact]
    public void PS09_counters_are_a_dictionary_of_longs() =>
        Gen.Select(Gen.ULong, Gen.Select(Gen.Int[0, 5], Gen.Select(Gen.ULong[0, 30], Gen.Long).Array[0, 20]).Array[1, 15]).Sample(
            (seed, calls) => Run(seed, async client =>
            {
                WeirCounters counters = await WeirCounters.OpenAsync(client, new CounterOptions("c"));
                Dictionary<ulong, long> model = [];
                foreach ((int kind, (ulong Key, long Amount)[] pairs) in calls)
                {
                    ulong[] keys = [.. pairs.Select(pair => pair.Key)], distinct = [.. keys.Distinct()];
                    long[] amounts = [.. pairs.Select(pair => pair.Amount)], read = new long[keys.Length];
                    switch (kind)
                    {
                        case 0:
                            await counters.SetAsync(distinct, amounts.AsMemory(0, distinct.Length));
                            Each(distinct, amounts, (key, amount) => model[key] = amount);
                            break;
                        case 1:
                            await counters.RemoveAsync(keys);
                            Each(keys, amounts, (key, _) => model.Remove(key));
                            break;
                        case 2:
                            await counters.AddAndReadAsync(keys, amounts, read);
                            Each(keys, amounts, (key, amount) => model[key] = unchecked(model.GetValueOrDefault(key) + amount));
                            Assert.Equal(keys.Select(key => model.GetValueOrDefault(key)), read);
                            break;
                        case 3:
                            Assert.Equal(distinct.Count(model.ContainsKey), await counters.ReadAsync(keys, read));
                            Assert.Equal(keys.Select(key => model.GetValueOrDefault(key)), read);
                            break;
                        default:
                            await counters.AddAsync(keys, amounts);
                            Each(keys, amounts, (key, amount) => model[key] = unchecked(model.GetValueOrDefault(key) + amount));
                            break;
                    }
                }

                long[] all = new long[31];
                await counters.ReadAsync(Enumerable.Range(0, 31).Select(key => (ulong)key).ToArray(), all);
                Assert.Equal(Enumerable.Range(0, 31).Select(key => model.GetValueOrDefault((ulong)key)), all);
            }),
            iter: 20);

    [Fact]
    public void PS09_a_ranking_is_a_dictionary_of_doubles_and_its_top_the_sorted_one() =>
        Gen.Select(Gen.ULong, Gen.Int[1, 60], Gen.Select(Gen.Int[0, 4], Gen.Select(Gen.ULong[0, 40], Gen.Int[-3, 3]).Array[0, 20]).Array[1, 15]).Sample(
            (seed, count, calls) => Run(seed, async client =>
            {
                WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("r"));
                Dictionary<ulong, double> model = [];
                foreach ((int kind, (ulong Key, int Halves)[] pairs) in calls)
                {
                    ulong[] members = [.. pairs.Select(pair => pair.Key)], distinct = [.. members.Distinct()];
                    double[] amounts = [.. pairs.Select(pair => pair.Halves / 2.0)], read = new double[members.Length];
                    switch (kind)
                    {
                        case 0:
                            await ranking.SetAsync(distinct, amounts.AsMemory(0, distinct.Length));
                            Each(distinct, amounts, (key, amount) => model[key] = amount);
                            break;
                        case 1:
                            await ranking.RemoveAsync(members);
                            Each(members, amounts, (key, _) => model.Remove(key));
                            break;
                        case 2:
                            Assert.Equal(distinct.Count(model.ContainsKey), await ranking.ReadAsync(members, read));
                            Assert.Equal(members.Select(key => model.GetValueOrDefault(key)), read);
                            break;
                        default:
                            await ranking.AddAsync(members, amounts);
                            Each(members, amounts, (key, amount) => model[key] = model.GetValueOrDefault(key) + amount);
                            break;
                    }
                }

                Assert.Equal(Top(model, count), await ranking.TopAsync(count));
            }),
            iter: 20);

    /// <summary>More members in one segment than a request goes through, so that the merge of several answers and the cursor between them count.</summary>
    [Fact]
    public void PS09_the_top_of_more_members_than_one_request_goes_through_is_the_sorted_one() => Run(3, async client =>
    {
        WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("r"));
        var random = new Rng(4);
        Dictionary<ulong, double> model = [];
        while (model.Count < 70_000)
        {
            // Hashes below 2^40 are all of segment 0.
            model[Mix.Inverse((ulong)random.Below(1L << 40))] = random.Below(20_000);
        }

        await ranking.SetAsync(model.Keys.ToArray(), model.Values.ToArray());
        foreach (int count in (int[])[1, 100, 66_000])
        {
            Assert.True(Top(model, count).SequenceEqual(await ranking.TopAsync(count)), $"the highest {count}");
        }
    });

    /// <summary>What one request goes through is bounded in floats, not in rows; and repeated members are added up as single pushes would be.</summary>
    [Fact]
    public void PS09_the_top_of_wide_rows_is_found_and_scores_stop_at_the_largest_number() => Run(6, async client =>
    {
        const int Width = 65_536, Members = 20;
        WeirTable wide = await client.OpenTableAsync(new TableOptions { Name = "wide", Width = Width, Rule = UpdateRule.Score });
        for (ulong member = 0; member < Members; member++)
        {
            float[] row = new float[Width];
            MemoryMarshal.Cast<float, double>(row.AsSpan())[0] = member * 1.5;
            await client.PushAsync(wide, new[] { member }, row);
        }

        var highest = new HighestScores(3);
        await client.OfferHighestAsync(wide, highest, CancellationToken.None);
        Assert.Equal([(19ul, 28.5), (18ul, 27.0), (17ul, 25.5)], highest.Descending().ToArray());

        WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("huge"));
        await ranking.AddAsync(new ulong[] { 1, 1, 2 }, new[] { 1e308, 1e308, 4 });
        double[] scores = new double[2];
        await ranking.ReadAsync(new ulong[] { 1, 2 }, scores);
        Assert.Equal([double.MaxValue, 4], scores);
    });

    [Fact]
    public void PS09_a_set_has_what_was_added_and_about_as_many_others_as_it_says() => Run(5, async client =>
    {
        WeirSet set = await WeirSet.OpenAsync(client, new SetOptions("s", 20_000) { FalsePositiveRate = 0.02 });
        ulong[] members = [.. Enumerable.Range(0, 20_000).Select(i => (ulong)i * 3)], others = [.. Enumerable.Range(0, 40_000).Select(i => ((ulong)i * 3) + 1)];
        await set.AddAsync(members.AsMemory(0, 15_000));
        await set.AddAsync(members.AsMemory(10_000));
        bool[] ofMembers = new bool[members.Length], ofOthers = new bool[others.Length];
        await set.ContainsAsync(members, ofMembers);
        await set.ContainsAsync(others, ofOthers);
        Assert.DoesNotContain(false, ofMembers);

        // 40,000 draws at 0.02: the deviation is 0.0007.
        Assert.InRange(set.FalsePositiveRate, 0.015, 0.02);
        Assert.Equal(set.FalsePositiveRate, ofOthers.Count(taken => taken) / (double)others.Length, 0.004);
    });

    /// <summary>The servers' blocks are those that one array of bits in this process has.</summary>
    [Fact]
    public void PS09_a_set_answers_as_the_same_bits_in_one_array() =>
        Gen.Select(Gen.ULong, Gen.Int[1, 400], Gen.ULong[0, 500].Array[0, 200].Array[1, 4]).Sample(
            (seed, expected, calls) => Run(seed, async client =>
            {
                WeirSet set = await WeirSet.OpenAsync(client, new SetOptions("s", expected) { FalsePositiveRate = 0.1 });
                var shape = new SetShape((ulong)set.Blocks, set.BitsAnItem);
                ulong[,] blocks = new ulong[set.Blocks, SetShape.BlockBits / 64];
                foreach (ulong[] items in calls)
                {
                    await set.AddAsync(items);
                    Array.ForEach(items, item => shape.Add(item, Block(blocks, shape, item)));
                }

                ulong[] asked = [.. Enumerable.Range(0, 600).Select(i => (ulong)i)];
                bool[] contained = new bool[asked.Length];
                await set.ContainsAsync(asked, contained);
                Assert.Equal(asked.Select(item => shape.Contains(item, Block(blocks, shape, item))), contained);
                Assert.All(calls.SelectMany(items => items), item => Assert.True(contained[item]));
            }),
            iter: 15);

    /// <summary>Never too small, whatever was inserted, and exactly what one array of counters in this process has.</summary>
    [Fact]
    public void PS09_a_sketch_never_underestimates_and_is_the_same_counters_in_one_array() =>
        Gen.Select(Gen.ULong, Gen.Select(Gen.ULong[0, 300], Gen.Long[0, 1000]).Array[0, 200].Array[1, 4]).Sample(
            (seed, calls) => Run(seed, async client =>
            {
                WeirSketch sketch = await WeirSketch.OpenAsync(client, new SketchOptions("k") { Epsilon = 0.2, Delta = 0.1 });
                var shape = new SketchShape((ulong)sketch.Rows, sketch.Depth, sketch.CountersARow);
                long[][] rows = [.. Enumerable.Range(0, (int)sketch.Rows).Select(_ => new long[sketch.CountersARow])];
                Dictionary<ulong, long> exact = [];
                foreach ((ulong Item, long Count)[] pairs in calls)
                {
                    await sketch.AddAsync(pairs.Select(pair => pair.Item).ToArray(), pairs.Select(pair => pair.Count).ToArray());
                    await sketch.AddAsync(pairs.Select(pair => pair.Item).ToArray());
                    foreach ((ulong item, long count) in pairs)
                    {
                        shape.Add(item, count + 1, rows[shape.RowOf(item)]);
                        exact[item] = exact.GetValueOrDefault(item) + count + 1;
                    }
                }

                ulong[] asked = [.. Enumerable.Range(0, 301).Select(i => (ulong)i)];
                long[] estimates = new long[asked.Length];
                await sketch.EstimateAsync(asked, estimates);
                Assert.All(asked, item => Assert.True(estimates[item] >= exact.GetValueOrDefault(item)));
                Assert.Equal(asked.Select(item => shape.Estimate(item, rows[shape.RowOf(item)])), estimates);
            }),
            iter: 15);

    /// <summary>More items than are brought together at a time.</summary>
    [Fact]
    public void Items_of_many_thousand_in_one_call_are_each_counted_once() => Run(8, async client =>
    {
        WeirSketch sketch = await WeirSketch.OpenAsync(client, new SketchOptions("k") { Epsilon = 0.001 });
        ulong[] items = [.. Enumerable.Range(0, 50_000).Select(i => (ulong)(i % 100))];
        await sketch.AddAsync(items);
        long[] estimates = new long[items.Length];
        await sketch.EstimateAsync(items, estimates);
        Assert.All(estimates, estimate => Assert.InRange(estimate, 500, 550));
    });

    private static void Run(ulong seed, Func<WeirClient, Task> work)
    {
        using var cluster = new SimCluster(seed, servers: 3, replicas: (int)(seed % 3));
        cluster.Run(async () => await work(await cluster.ConnectAsync("a", new ClientOptions { Filters = Filters.Lossless | Filters.RoundToInt8 })), limitMs: LimitMs);
    }

    private static Span<ulong> Block(ulong[,] blocks, SetShape shape, ulong item) =>
        System.Runtime.InteropServices.MemoryMarshal.CreateSpan(ref blocks[shape.BlockOf(item), 0], SetShape.BlockBits / 64);

    private static IEnumerable<ScoredMember> Top(Dictionary<ulong, double> model, int count) =>
        model.OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key).Take(count).Select(pair => new ScoredMember(pair.Key, pair.Value));

    private static void Each<T>(ulong[] keys, T[] values, Action<ulong, T> change)
    {
        for (int i = 0; i < keys.Length; i++)
        {
            change(keys[i], values[i]);
        }
    }
}
