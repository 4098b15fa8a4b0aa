using Weir.Client;
using Weir.Keys;
using Weir.Selection;
using Weir.Server;
using Weir.Sim;
using Weir.Structures;
using Weir.Wire;

namespace Weir.Tests.Structures;

/// <summary>Structures are kept like tables: once under faults, after a stop of all servers, in checkpoints, and no longer than they are to live.</summary>
public class StructureFaultTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 300).Select(i => (ulong)i)];

    /// <summary>Frames are lost and come twice, and heads die: what was added stands once.</summary>
    [Fact]
    public void PS09_what_is_added_stands_once_though_frames_are_sent_again_and_heads_die()
    {
        for (ulong seed = 0; seed < 2; seed++)
        {
            using var cluster = new SimCluster(seed, servers: 4, replicas: 1, acceptors: 3, limits: ServerLimits.FastFailover);
            cluster.Run(
                async () =>
                {
                    WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { RetryMs = 60, UnreachableMs = 60_000 });
                    WeirCounters counters = await WeirCounters.OpenAsync(client, new CounterOptions("c"));
                    WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("r"));
                    WeirSketch sketch = await WeirSketch.OpenAsync(client, new SketchOptions("k") { Epsilon = 0.01 });
                    WeirSet set = await WeirSet.OpenAsync(client, new SetOptions("s", 1000));
                    cluster.Network.Faults = new SimFaults { LossPerMille = 60, DuplicatePerMille = 60, ReorderPerMille = 60 };
                    int victim = 1 + (int)(seed % 3);
                    cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(30), () => cluster.KillServer(victim));
                    for (int i = 0; i < 8; i++)
                    {
                        await Task.WhenAll(
                            counters.AddAsync(Keys, Keys.Select(key => (long)key << 40).ToArray()), ranking.AddAsync(Keys, Keys.Select(key => key / 4.0).ToArray()), sketch.AddAsync(Keys), set.AddAsync(Keys));
                    }

                    cluster.Network.Faults = SimFaults.None;
                    long[] counts = new long[Keys.Length], estimates = new long[Keys.Length];
                    bool[] contained = new bool[Keys.Length];
                    await counters.ReadAsync(Keys, counts);
                    await sketch.EstimateAsync(Keys, estimates);
                    await set.ContainsAsync(Keys, contained);
                    Assert.Equal(Keys.Select(key => 8 * ((long)key << 40)), counts);
                    Assert.Equal(Keys.OrderDescending().Take(10).Select(key => new ScoredMember(key, 2 * key)), await ranking.TopAsync(10));
                    Assert.All(estimates, estimate => Assert.InRange(estimate, 8, 8 + (8 * 3 * 3)));
                    Assert.Equal(8, estimates.Order().ElementAt(Keys.Length / 2));
                    Assert.DoesNotContain(false, contained);
                },
                limitMs: 120_000);
        }
    }

    [Fact]
    public void Durable_counters_stand_after_a_stop_of_all_servers()
    {
        using var cluster = new SimCluster(7, servers: 3, replicas: 1, acceptors: 3, journals: true, limits: new ServerLimits { NodeTimeoutMs = 500, RecoveryWaitMs = 2000 });
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { UnreachableMs = 60_000, RetryMs = 200 });
                WeirCounters counters = await WeirCounters.OpenAsync(client, new CounterOptions("c") { Durable = true, Committed = true });
                long[] counts = new long[Keys.Length];
                await counters.AddAndReadAsync(Keys, Keys.Select(key => -(long)key).ToArray(), counts);
                for (int server = 0; server < 3; server++)
                {
                    cluster.KillServer(server);
                }

                for (int server = 0; server < 3; server++)
                {
                    cluster.RestartServer(server);
                }

                await counters.ReadAsync(Keys, counts);
                Assert.Equal(Keys.Select(key => -(long)key), counts);
            },
            limitMs: 60_000);
    }

    /// <summary>On another number of servers, with bits that as floats would be no numbers.</summary>
    [Fact]
    public void A_checkpoint_has_counters_and_sets_bit_for_bit()
    {
        var store = new MemoryCheckpoints();
        long[] written = [.. Keys.Select(key => -1L - ((long)key << 52))];
        using (var cluster = new SimCluster(1, servers: 3, replicas: 1))
        {
            cluster.Run(
                async () =>
                {
                    WeirClient client = await cluster.ConnectAsync("a");
                    await (await WeirCounters.OpenAsync(client, new CounterOptions("c"))).AddAsync(Keys, written);
                    await (await WeirSet.OpenAsync(client, new SetOptions("s", 1000))).AddAsync(Keys);
                    await client.SaveCheckpointAsync(store, "one");
                },
                limitMs: 60_000);
        }

        using var other = new SimCluster(2, servers: 2);
        other.Run(
            async () =>
            {
                WeirClient client = await other.ConnectAsync("b");
                await client.RestoreCheckpointAsync(store, "one");
                WeirCounters counters = await WeirCounters.OpenAsync(client, new CounterOptions("c"));
                WeirSet set = await WeirSet.OpenAsync(client, new SetOptions("s", 1000));
                long[] read = new long[Keys.Length];
                bool[] contained = new bool[Keys.Length];
                Assert.Equal(Keys.Length, await counters.ReadAsync(Keys, read));
                await set.ContainsAsync(Keys, contained);
                Assert.Equal(written, read);
                Assert.DoesNotContain(false, contained);
                await counters.AddAsync(Keys, written.Select(count => -count).ToArray());
                await counters.ReadAsync(Keys, read);
                Assert.All(read, count => Assert.Equal(0, count));
            },
            limitMs: 60_000);
    }

    [Fact]
    public void Counters_that_nobody_adds_to_expire_by_the_clocks_of_their_job()
    {
        using var cluster = new SimCluster(3, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirCounters counters = await WeirCounters.OpenAsync(client, new CounterOptions("c") { Job = job, ExpireAfterClocks = 3 });
                long[] read = new long[2];
                await client.HostWorkersAsync(job, async (worker, stop) =>
                {
                    await counters.AddAsync(new ulong[] { 1, 2 }, new long[] { 10, 20 }, stop);
                    for (int i = 0; i < 10; i++)
                    {
                        await worker.ClockAsync(stop);
                        await counters.AddAsync(new ulong[] { 2 }, new long[] { 1 }, stop);
                        await cluster.Scheduler.Delay(3000, stop);
                    }

                    Assert.Equal(1, await counters.ReadAsync(new ulong[] { 1, 2 }, read, stop));
                });
                Assert.Equal([0, 30], read);
            },
            limitMs: 120_000);
    }

    /// <summary>Each is told what is the matter, and nothing is changed.</summary>
    [Fact]
    public void Structures_of_another_kind_or_size_and_wrong_inputs_are_refused()
    {
        using var cluster = new SimCluster(12, servers: 2, replicas: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirCounters counters = await WeirCounters.OpenAsync(client, new CounterOptions("c"));
                WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("r"));
                await WeirSet.OpenAsync(client, new SetOptions("s", 1000));
                await WeirSketch.OpenAsync(client, new SketchOptions("k"));
                string set = await RefusedAsync<WeirException>(() => WeirSet.OpenAsync(client, new SetOptions("s", 5000)));
                Assert.Contains("exists as a set of ", set);
                Assert.Contains("asked for as a set of ", set);
                Assert.Contains("exists as a sketch of ", await RefusedAsync<WeirException>(() => WeirSketch.OpenAsync(client, new SketchOptions("k") { Delta = 0.3 })));
                Assert.Contains("Count", await RefusedAsync<WeirException>(() => WeirRanking.OpenAsync(client, new RankingOptions("c"))));
                Assert.Contains("durable", await RefusedAsync<WeirException>(() => WeirCounters.OpenAsync(client, new CounterOptions("d") { Durable = true })));
                Assert.Contains("job", await RefusedAsync<WeirException>(() => WeirCounters.OpenAsync(client, new CounterOptions("d") { ExpireAfterClocks = 3 })));
                await RefusedAsync<ArgumentOutOfRangeException>(() => WeirSet.OpenAsync(client, new SetOptions("t", 0)));
                await RefusedAsync<ArgumentOutOfRangeException>(() => WeirSet.OpenAsync(client, new SetOptions("t", 10) { FalsePositiveRate = double.NaN }));
                await RefusedAsync<ArgumentOutOfRangeException>(() => WeirSketch.OpenAsync(client, new SketchOptions("t") { Epsilon = 0 }));
                await RefusedAsync<ArgumentOutOfRangeException>(() => WeirSketch.OpenAsync(client, new SketchOptions("t") { Delta = 1 }));
                await RefusedAsync<ArgumentOutOfRangeException>(() => ranking.TopAsync(0));
                Assert.Contains("2 keys of c need as many numbers, not 1", await RefusedAsync<ArgumentException>(() => counters.AddAsync(new ulong[2], new long[1])));
                Assert.Contains("no score", await RefusedAsync<ArgumentException>(() => ranking.AddAsync(new ulong[1], new[] { double.NaN })));
                WeirSketch sketch = await WeirSketch.OpenAsync(client, new SketchOptions("k"));
                Assert.Contains("0 or above", await RefusedAsync<ArgumentException>(() => sketch.AddAsync(new ulong[1], new[] { -1L })));
                await RefusedAsync<ArgumentException>(() => sketch.EstimateAsync(new ulong[1], new long[2]));
                Assert.Empty(await ranking.TopAsync(3));
            },
            limitMs: 60_000);
    }

    /// <summary>Who takes bits for floats is refused by the server, or gets the bits as they are.</summary>
    [Fact]
    public void No_path_of_floats_touches_rows_of_bits()
    {
        using var cluster = new SimCluster(13, servers: 2, replicas: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable bits = await client.OpenTableAsync(new TableOptions { Name = "b", Width = 2, Rule = UpdateRule.Score }), floats = await client.OpenTableAsync(new TableOptions { Name = "f", Width = 2 });
                Assert.Contains("pairs", await RefusedAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "x", Width = 3, Rule = UpdateRule.Count })));
                Assert.Contains("must be 0", await RefusedAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "x", Width = 2, Rule = UpdateRule.Count, InitialValue = 1 })));
                Assert.Contains("must be 0", await RefusedAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "x", Width = 2, Rule = UpdateRule.Union, InitialValue = -0f })));
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                Assert.Contains("sums floats", await RefusedAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "x", Width = 2, Rule = UpdateRule.Count, Job = job, Aggregate = true })));
                await client.HostWorkersAsync(job, (worker, _) =>
                {
                    Assert.Contains("no filter", Assert.Throws<ArgumentException>(() => new FilteredPushes(worker, bits, [])).Message);
                    return Task.CompletedTask;
                });

                // What double's bits are not finite is refused, whatever they are as floats.
                float[] infinite = System.Runtime.InteropServices.MemoryMarshal.Cast<double, float>([double.PositiveInfinity]).ToArray();
                Assert.Contains("not a finite number", await RefusedAsync<WeirException>(() => client.PushAsync(bits, new ulong[1], infinite)));
                Assert.Contains("bits", await RefusedAsync<WeirException>(() => client.ArithmeticAsync(bits, new ulong[1], new RowArithmetic(ArithmeticKind.Fill, bits.Id, 1, 1, 0, 2), default)));
                Assert.Contains("bits", await RefusedAsync<WeirException>(() => client.ArithmeticAsync(floats, new ulong[1], new RowArithmetic(ArithmeticKind.Multiply, bits.Id, 1, 1, 0, 2), default)));
                Assert.Contains("bits", await RefusedAsync<WeirException>(() => client.ReduceAsync(bits, new ulong[1], new RowReduction(ReductionKind.Sum, bits.Id, 0, 2), default)));
                WeirException conflict = await Assert.ThrowsAsync<WeirException>(() => client.OfferHighestAsync(floats, new HighestScores(1), default));
                Assert.Equal(Status.Conflict, conflict.Status);
            },
            limitMs: 60_000);
    }

    private static async Task<string> RefusedAsync<TFailure>(Func<Task> call)
        where TFailure : Exception => (await Assert.ThrowsAsync<TFailure>(call)).Message;
}
