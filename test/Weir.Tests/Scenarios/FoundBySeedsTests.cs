using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>What seeds of <see cref="ClusterRun"/> once broke, each played in its shortest form.</summary>
public class FoundBySeedsTests
{
    private const int Bits = ClusterMap.MinSegmentBits;

    /// <summary>
    /// A newcomer was cut off while it waited for its copy, left the map and came in again under the same incarnation: the same attempt was served a second time, the first slice was one
    /// of before and the last one of now, and what lay between was lost with acknowledged pushes once the copy led (R17).
    /// </summary>
    [Fact]
    public void Seed_29358_an_attempt_at_a_copy_is_served_once_though_the_newcomer_left_the_map_meanwhile()
    {
        using var run = new ClusterRun(SwarmOptions.DrawCheckpoints(29358));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// A server died with an entry unflushed and came back with its journal. The others acknowledged that entry, since they had flushed it; then they stood still, the manager had not yet taken the one that was
    /// back out of the chain, and its journal led without the entry (R23, docs/decisions/0076).
    /// </summary>
    [Fact]
    public void Seed_202802_nothing_is_acknowledged_as_flushed_while_a_journal_that_lacks_it_may_still_lead()
    {
        using var run = new ClusterRun(SwarmOptions.DrawDurableTables(202802));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// A head that had been given a segment of a checkpoint was counted gone before the others had it, came in again, and led again, without it: asked whether its chain had all that it had been given, it said
    /// yes under the name that it had had then (R5, R24).
    /// </summary>
    [Fact]
    public void Seed_308447_a_head_that_was_counted_gone_is_not_the_one_that_a_checkpoint_was_loaded_by()
    {
        using var run = new ClusterRun(SwarmOptions.DrawCheckpoints(308447));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>The same of one that stayed a member, was taken out of that one chain, and copied the segment back from one that did not have it.</summary>
    [Fact]
    public void Seed_403707_a_head_that_left_the_chain_meanwhile_is_not_the_one_that_a_checkpoint_was_loaded_by()
    {
        using var run = new ClusterRun(SwarmOptions.Draw(403707));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// The three servers with acceptors were started again one after the other while a fourth was the manager: each asked the others where the cluster is, none of them knew, and nobody could come in any more.
    /// The register knows (design R3).
    /// </summary>
    [Fact]
    public void Seed_320483_servers_that_all_were_started_again_find_the_manager_by_the_register()
    {
        using var run = new ClusterRun(SwarmOptions.Draw(320483));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// Two members fell silent within a heartbeat of each other, one paused and one dead. The first whose silence was noticed went, as the other had still been heard within the whole node timeout, and the
    /// one that had died was left alone with their segments (R6).
    /// </summary>
    [Fact]
    public void Seed_394293_of_two_that_fall_silent_together_none_is_left_alone()
    {
        using var run = new ClusterRun(SwarmOptions.Draw(394293));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// A manager was cut off, another took over and renewed faster than the first, whose reads of the lease were refused for as long, found out: for 2.5 s it read no map, held its chains up, and was taken out of
    /// them one by one, until a death left nothing (design R3).
    /// </summary>
    [Fact]
    public void Seed_395069_a_manager_that_is_told_a_map_of_a_newer_term_is_the_manager_no_longer()
    {
        using var run = new ClusterRun(SwarmOptions.Draw(395069));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// A drained server was let go by a manager that left right after. It took over before it had read that, came in again to decide the map, got segments, and ended since it had been let go.
    /// </summary>
    [Fact]
    public void Seed_413776_a_server_that_was_let_go_does_not_come_in_again_as_the_manager()
    {
        using var run = new ClusterRun(SwarmOptions.Draw(413776));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>
    /// A manager that had not heard either of two members of a chain for a second heard the first again: the other, ten milliseconds from being heard, was counted gone then, and the first died.
    /// </summary>
    [Fact]
    public void Seed_447250_when_one_is_heard_again_the_others_have_a_moment_to_be()
    {
        using var run = new ClusterRun(SwarmOptions.Draw(447250));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>R27: a process that had been cut off pulled for a worker that another had hosted to its end. Everything is in what it read, and it was told -1: nothing.</summary>
    [Fact]
    public void Seed_9055_what_is_pulled_when_all_have_finished_is_as_fresh_as_can_be()
    {
        using var cluster = new SimCluster(9055, servers: 2);
        ulong[] keys = [1, 2, 3];
        cluster.Run(
            async () =>
            {
                WeirClient lost = await cluster.ConnectAsync("lost"), host = await cluster.ConnectAsync("host");
                Job job = await lost.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable table = await lost.OpenTableAsync(new TableOptions { Name = "t", Job = job });
                Task<PullResult>? pull = null;
                _ = lost.HostWorkersAsync(job, async (worker, stop) =>
                {
                    await worker.PushAsync(table, keys, new float[] { 1, 1, 1 }, stop);
                    Cut(true);
                    pull = worker.PullAsync(table, keys, new float[3], 0, CancellationToken.None);
                    await pull;
                });
                while (pull is null)
                {
                    await cluster.Scheduler.Delay(10, CancellationToken.None);
                }

                await host.HostWorkersAsync(job, (worker, stop) => worker.ClockAsync(stop));
                Cut(false);
                Assert.Equal(new PullResult(3, long.MaxValue), await pull);
                Assert.Equal(new PullResult(3, -1), await host.PullAsync(table, keys, new float[3]));

                void Cut(bool isCut)
                {
                    cluster.Cut(lost, 0, isCut, isCut);
                    cluster.Cut(lost, 1, isCut, isCut);
                }
            },
            limitMs: 120_000);
    }

    /// <summary>R5: by a map that still named its former start it led that one's segments, without their rows, and asked for pushes that it had acknowledged.</summary>
    [Fact]
    public void Seed_2_a_server_started_again_at_once_holds_nothing_by_a_map_that_names_its_former_start()
    {
        using var cluster = new SimCluster(2, servers: 3, replicas: 1, limits: ServerLimits.FastFailover);
        ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { RetryMs = 100 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                for (int round = 0; round < 3; round++)
                {
                    await client.PushAsync(table, keys, ones);
                }

                Task push = client.PushAsync(table, keys, ones);
                cluster.KillServer(2);
                cluster.RestartServer(2);
                ServerNode again = cluster.Nodes[2];
                cluster.Scheduler.Stepped = () => Assert.True(
                    again.Map?.Member(3)?.Incarnation == again.Incarnation || !again.State.HeadedSegments.Any(), "another start of a node leads nothing");
                await push;
                await client.PushAsync(table, keys, ones);
                await client.PullAsync(table, keys, read);
                Assert.All(read, value => Assert.Equal(5, value));
            },
            limitMs: 60_000);
    }

    /// <summary>R10: of two tables one held a part of the iteration and the other refused its first, so that neither the iteration nor the seal ever came to an end.</summary>
    [Fact]
    public void Seed_84_a_seal_that_waits_for_an_iteration_lets_all_tables_of_the_job_take_its_parts()
    {
        using var cluster = new SimCluster(84, servers: 2, replicas: 1, limits: ServerLimits.FastFailover);
        ulong[] key = [1];
        int segment = Mix.Segment(1, Bits);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { DeadlineMs = 10_000 });
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable first = await client.OpenTableAsync(new TableOptions { Name = "first", Job = job, Aggregate = true });
                WeirTable second = await client.OpenTableAsync(new TableOptions { Name = "second", Job = job, Aggregate = true });
                ServerNode head = cluster.Nodes[cluster.Nodes[0].Map!.Chains[segment].Head];
                await client.HostWorkersAsync(job, async (worker, stop) =>
                {
                    Task one = worker.PushAsync(first, key, new float[] { 1 }, stop);
                    while (head.State.Find((uint)segment)!.LastOpen(job.Group) == 0)
                    {
                        await cluster.Scheduler.Delay(1, stop);
                    }

                    head.State.OwnSteps.Enqueue(new Step((uint)segment, StepKind.Seal));
                    await cluster.Scheduler.Delay(20, stop);
                    Task other = worker.PushAsync(second, key, new float[] { 1 }, stop);
                    await worker.ClockAsync(stop);
                    await Task.WhenAll(one, other);
                });
            },
            limitMs: 60_000);
    }

    /// <summary>R6: the manager that had not heard it was gone, the next one had not missed it, and nobody said that it was back.</summary>
    [Fact]
    public void Seed_223_a_segment_that_waits_for_a_node_is_up_again_under_a_manager_that_did_not_miss_it()
    {
        using var cluster = new SimCluster(223, servers: 5, replicas: 1, limits: ServerLimits.FastFailover, acceptors: 3);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { UnreachableMs = 60_000 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                bool AnyIsDown() => Array.Exists(cluster.Nodes[1].Map!.Chains, c => c.IsDown);
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                cluster.StopServer(3);
                cluster.StopServer(4);
                await UntilAsync(cluster, AnyIsDown);
                cluster.StopServer(0);
                cluster.ContinueServer(3);
                cluster.ContinueServer(4);
                await UntilAsync(cluster, () => cluster.Nodes.Skip(1).Any(n => n.ManagerTerm > 1));
                cluster.ContinueServer(0);
                await UntilAsync(cluster, () => !AnyIsDown());
                ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
                await client.PushAsync(table, keys, new float[keys.Length]);
            },
            limitMs: 60_000);
    }

    /// <summary>
    /// R6: all members of a chain are silent, one for good. The one that comes back was removed first, and what it held waited for the dead one.
    /// </summary>
    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 0)]
    public void Seed_218_of_members_that_are_all_silent_none_is_removed_before_another_is_heard(int dies, int returns)
    {
        using var cluster = new SimCluster(218, servers: 5, replicas: 1, limits: ServerLimits.FastFailover, acceptors: 3);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { UnreachableMs = 60_000 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
                float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
                await client.PushAsync(table, keys, ones);
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                ClusterMap map = cluster.Nodes[0].Map!;
                MapChain chain = map.Chains.First(c => c.Members.All(m => map.Members[m.Member].Node > 3));
                int[] servers = [.. chain.Members.Select(m => (int)map.Members[m.Member].Node - 1)];
                cluster.StopServer(0);
                cluster.StopServer(1);
                cluster.StopServer(servers[returns]);
                cluster.KillServer(servers[dies]);
                await cluster.Scheduler.Delay(1500, CancellationToken.None);

                // The next manager finds both silent at once.
                cluster.ContinueServer(1);
                await UntilAsync(cluster, () => cluster.Nodes.Any(n => n.ManagerTerm > 1));
                await cluster.Scheduler.Delay(1500, CancellationToken.None);
                cluster.ContinueServer(0);
                cluster.ContinueServer(servers[returns]);
                await cluster.Scheduler.Delay(1500, CancellationToken.None);
                cluster.RestartServer(servers[dies]);
                await client.PullAsync(table, keys, read);
                Assert.Equal(ones, read);
            },
            limitMs: 60_000);
    }

    /// <summary>R5, R6: servers that come back empty while the register is away, or the last that has everything is cut off (HeardMembersTests).</summary>
    [Theory]
    [InlineData(559)]
    [InlineData(620)]
    public void Seeds_559_and_620_who_comes_back_empty_is_not_counted_as_what_it_was(ulong seed)
    {
        using var run = new ClusterRun(SwarmOptions.DrawFaults(seed));
        RunOutcome outcome = run.Run();
        Assert.True(outcome.Violation is null, $"{outcome.Options}\n{outcome.Violation}");
    }

    /// <summary>R18: drains and leaves that waited for a pair that was kept apart (PlannerTests; docs/decisions/0088).</summary>
    [Theory]
    [InlineData(5)]
    [InlineData(19)]
    [InlineData(109)]
    public void Seeds_5_19_and_109_a_server_is_drained_though_those_that_stay_were_cut_off_from_one_another_for_a_while(ulong seed)
    {
        using var run = new ClusterRun(SwarmOptions.DrawPlannedChanges(seed));
        RunOutcome outcome = run.Run();
        Assert.True(outcome.Violation is null, $"{outcome.Options}\n{outcome.Violation}");
    }

    /// <summary>
    /// R20: a Sent that a worker made by the map before a head's death came to the next head after it. What it did not list, because another led
    /// it then, was counted as nothing to wait for: the iteration closed without the worker's part.
    /// </summary>
    /// <summary>A server that had not read yet that it was drained was forgotten, took itself for counted gone by mistake, and came in again for good.</summary>
    [Theory]
    [InlineData(63425)]
    [InlineData(1100)]
    public void Seeds_63425_and_1100_a_server_is_forgotten_once_it_has_read_that_it_is_drained(ulong seed)
    {
        using var run = new ClusterRun(SwarmOptions.DrawDurableTables(seed));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>An empty journal that had been opened twice was taken for the one that was lost, and led: every push it had acknowledged before was StateLost.</summary>
    [Fact]
    public void Seed_74419_another_journal_is_not_the_one_that_was_lost()
    {
        using var run = new ClusterRun(SwarmOptions.DrawDurableTables(74419));
        Assert.Null(run.Run().Violation);
    }

    /// <summary>A process that died last is counted out after all else has settled: its end is one more entry for every chain.</summary>
    [Fact]
    public void Seed_200864_chains_are_compared_once_the_last_death_has_passed_down_them()
    {
        using var run = new ClusterRun(SwarmOptions.DrawPlannedChanges(200864));
        Assert.Null(run.Run().Violation);
    }

    [Fact]
    public void Seed_211_a_Sent_made_by_an_older_map_says_nothing_of_what_its_receiver_has_led_since()
    {
        using var cluster = new SimCluster(211, servers: 3, replicas: 1, limits: ServerLimits.FastFailover);
        ClusterMap? map = null;
        SimPort? next = null;
        int head = -1;
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { RetryMs = 200 });
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job, Aggregate = true });
                map = cluster.Nodes[0].Map!;
                int segment = Enumerable.Range(0, map.Segments).First(s => map.Members[map.Chains[s].Head].Node == 3);
                ulong key = Enumerable.Range(0, 10_000).Select(i => (ulong)i).First(k => Mix.Segment(k, Bits) == segment);
                head = 2;
                next = cluster.Servers[(int)map.Members[map.Chains[segment].Members[1].Member].Node - 1];
                SimPort process = cluster.Clients[client];
                // What the worker says by the older map comes late, what it says by the newer later.
                cluster.Network.Delays = (from, to, frame) => from != process || to != next ? 0 : (FrameKind)frame.Span[5] switch
                {
                    FrameKind.Sent => client.State.Map!.Head(segment)!.Value.Node == 3 ? 1_500_000 : 3_000_000,
                    FrameKind.Push or FrameKind.PushPull => 3_000_000,
                    _ => 0,
                };
                Task hosting = client.HostWorkersAsync(job, async (worker, stop) =>
                {
                    Task push = worker.Index == 0 ? worker.PushAsync(table, new[] { key }, new float[] { 1 }, stop) : Task.CompletedTask;
                    await worker.ClockAsync(stop);
                    await push;
                });
                await UntilAsync(cluster, () => cluster.Nodes[head].State.Find((uint)segment)?.LastOpen(job.Group) == 1);
                cluster.KillServer(head);
                await hosting;
                float[] read = new float[1];
                await client.PullAsync(table, new[] { key }, read);
                Assert.Equal(1, read[0]);
            },
            limitMs: 60_000);
    }

    /// <summary>
    /// R6, R23: who stayed away after a stop of all servers stood first in its chains, and was waited for without end: patience with it began only where
    /// one that had come back stood there.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Seed_30_after_a_stop_of_all_servers_one_that_stays_away_is_waited_for_no_longer_than_said(int replicas)
    {
        using var cluster = new SimCluster(30, servers: 3, acceptors: 3, replicas: replicas, journals: true, limits: ServerLimits.FastFailover with { RecoveryWaitMs = 1000 });
        ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { UnreachableMs = 60_000, DeadlineMs = 20_000 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Durable = true });
                await client.PushAsync(table, keys, ones);
                for (int server = 0; server < 3; server++)
                {
                    cluster.KillServer(server);
                }

                cluster.RestartServer(1);
                cluster.RestartServer(2);
                await client.PushAsync(table, keys, ones);
                await client.PullAsync(table, keys, read);
                Assert.All(read, value => Assert.Equal(2, value));
            },
            limitMs: 60_000);
    }

    /// <summary>R18: a server that had come back with its journal was to leave before it had come in, and said that it had left: nobody had what it held.</summary>
    [Fact]
    public void Seed_32218_a_server_that_came_back_with_its_journal_comes_in_before_it_leaves()
    {
        using var cluster = new SimCluster(32218, servers: 4, acceptors: 3, journals: true, limits: ServerLimits.FastFailover);
        ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { UnreachableMs = 60_000, DeadlineMs = 20_000 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Durable = true });
                await client.PushAsync(table, keys, ones);
                cluster.KillServer(3);
                cluster.RestartServer(3);
                cluster.LeaveServer(3);
                await UntilAsync(cluster, () => !cluster.Runs(3));
                await client.PullAsync(table, keys, read);
                Assert.Equal(ones, read);
            },
            limitMs: 60_000);
    }

    /// <summary>R18: a drained server that was started again had nothing yet, was forgotten, came in again, and had segments that nobody expected it to have.</summary>
    [Fact]
    public void Seed_37698_a_server_that_lives_and_is_not_drained_is_not_forgotten_though_it_holds_nothing()
    {
        using var cluster = new SimCluster(37698, servers: 2, limits: ServerLimits.FastFailover);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.ForgetServerAsync("server:1"));
                Assert.Equal(Status.Conflict, refused.Status);
                Assert.Contains("drain it first", refused.Message, StringComparison.Ordinal);
                await client.DrainServerAsync("server:1");
                Assert.Equal(0, await client.ForgetServerAsync("server:1"));
            },
            limitMs: 60_000);
    }

    private static async Task UntilAsync(SimCluster cluster, Func<bool> condition)
    {
        while (!condition())
        {
            await cluster.Scheduler.Delay(1, CancellationToken.None);
        }
    }
}
