using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>What a chain of replicas promises (design R9 to R16, R19, R25), one rule at a time.</summary>
public class ChainTests
{
    // The kind is byte 5 of a frame (docs/protocol.md).
    private const int KindAt = 5;

    private static ServerLimits Fast => ServerLimits.FastFailover;

    /// <summary>An entry that does not fit a frame comes in fragments, some of which are lost (R25).</summary>
    [Fact]
    public void An_iteration_larger_than_a_frame_is_applied_whole_by_every_member()
    {
        const int Width = 1024, Iterations = 4;
        using var cluster = new SimCluster(3, servers: 3, replicas: 1, limits: Fast);
        ulong[] keys = [.. Enumerable.Range(0, 1 << 20).Select(i => (ulong)i).Where(k => Mix.Segment(k, 6) == 9).Take(600)];
        float[] ones = new float[keys.Length * Width];
        Array.Fill(ones, 1f);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width, Job = job, Aggregate = true });
                cluster.Network.Faults = new SimFaults { LossPerMille = 30 };
                await client.HostWorkersAsync(job, async (worker, stop) =>
                {
                    while (worker.Clock < Iterations)
                    {
                        Task push = worker.PushAsync(table, keys, ones, stop);
                        await worker.ClockAsync(stop);
                        await push;
                    }
                });
                ClusterMap map = cluster.Nodes[0].Map!;
                int head = (int)map.Head(9)!.Value.Node - 1;
                cluster.KillServer(head);
                float[] read = new float[ones.Length];
                WeirClient reader = head == 0 ? client : await cluster.ConnectAsync("b");
                await reader.PullAsync(table, keys, read);
                Assert.All(read, value => Assert.Equal(2f * Iterations, value));
            },
            limitMs: 120_000);
    }

    /// <summary>What the client was told stands on every member: the acknowledgement comes from the tail (R16).</summary>
    [Fact]
    public void A_push_is_not_acknowledged_while_the_tail_is_cut_off_and_is_once_it_has_it()
    {
        using var cluster = new SimCluster(4, servers: 3, replicas: 2, limits: new ServerLimits { NodeTimeoutMs = 60_000 });
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                ulong[] keys = [1];
                await client.PushAsync(table, keys, new float[] { 1 });
                (int before, int tail) = (ServerAt(cluster, place: 1), ServerAt(cluster, place: 2));
                cluster.CutServers(before, tail, isCut: true);
                Task push = client.PushAsync(table, keys, new float[] { 1 });
                await cluster.Scheduler.Delay(3000, CancellationToken.None);
                Assert.False(push.IsCompleted, "nobody knows yet whether the tail will have it");
                float[] read = new float[1];
                await client.PullAsync(table, keys, read);
                Assert.Equal(2, read[0]);
                cluster.CutServers(before, tail, isCut: false);
                await push;
                await client.PullAsync(table, keys, read);
                Assert.Equal(2, read[0]);
            },
            limitMs: 120_000);
    }

    /// <summary>A worker that is hosted anew redoes a push that stands: that it stands for the new session too is told only once the tail knows (R11, R13).</summary>
    [Fact]
    public void A_push_done_again_under_a_new_session_is_not_acknowledged_while_the_tail_is_cut_off()
    {
        using var cluster = new SimCluster(5, servers: 3, replicas: 2, limits: new ServerLimits { NodeTimeoutMs = 60_000, ProcessTimeoutMs = 1000 });
        cluster.Run(
            async () =>
            {
                WeirClient first = await cluster.ConnectAsync("a"), second = await cluster.ConnectAsync("b");
                Job job = await first.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable table = await first.OpenTableAsync(new TableOptions { Name = "t", Job = job });
                ulong[] keys = [1];
                var stands = new TaskCompletionSource();
                _ = first.HostWorkersAsync(job, async (worker, stop) =>
                {
                    await worker.PushAsync(table, keys, new float[] { 1 }, stop);
                    stands.SetResult();
                    await new TaskCompletionSource().Task;
                });
                await stands.Task;
                (int before, int tail) = (ServerAt(cluster, place: 1), ServerAt(cluster, place: 2));
                cluster.CutServers(before, tail, isCut: true);
                cluster.Kill(first);
                Task again = Task.CompletedTask;
                var begun = new TaskCompletionSource();
                Task hosting = second.HostWorkersAsync(job, async (worker, stop) =>
                {
                    again = worker.PushAsync(table, keys, new float[] { 1 }, stop);
                    begun.SetResult();
                    await again;
                    await worker.ClockAsync(stop);
                });
                await begun.Task;
                await cluster.Scheduler.Delay(3000, CancellationToken.None);
                Assert.False(again.IsCompleted, "nobody knows yet whether the tail will have it");
                cluster.CutServers(before, tail, isCut: false);
                await hosting;
                float[] read = new float[1];
                await second.PullAsync(table, keys, read);
                Assert.Equal(1, read[0]);
                Assert.Equal(1, cluster.Nodes.Sum(n => n.Counters.Superseded));
            },
            limitMs: 120_000);
    }

    /// <summary>
    /// A changed head has none of the parts that the old one held: the clients send them at once, and not when their timers say so. Every member knows afterwards which
    /// iterations are closed (R19).
    /// </summary>
    [Fact]
    public void Parts_that_a_head_held_when_it_died_go_to_the_next_one_and_every_member_keeps_the_closed_iteration()
    {
        using var cluster = new SimCluster(12, servers: 4, replicas: 1, limits: Fast, acceptors: 3);
        cluster.Run(
            async () =>
            {
                var late = new ClientOptions { RetryMs = 100_000, UnreachableMs = 60_000 };
                WeirClient early = await cluster.ConnectAsync("a", late), slow = await cluster.ConnectAsync("b", late);
                Job job = await early.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
                WeirTable table = await early.OpenTableAsync(new TableOptions { Name = "t", Job = job, Aggregate = true });
                ulong[] keys = [.. Enumerable.Range(0, 500).Select(i => (ulong)i)];
                float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
                TaskCompletionSource held = new(), goOn = new();
                Task Body(Worker worker, CancellationToken stop) => WorkAsync(worker, stop);
                Task hosting = Task.WhenAll(early.HostWorkersAsync(job, Body), slow.HostWorkersAsync(job, Body));
                await held.Task;
                await cluster.Scheduler.Delay(100, CancellationToken.None);
                ClusterMap map = cluster.Nodes[0].Map!;
                int head = Enumerable.Range(1, 3).First(server => Array.Exists(map.Chains, c => map.Members[c.Head].Node == (ulong)server + 1));
                Assert.Equal(keys.Length, (int)cluster.Nodes.Sum(n => n.Counters.ValuesPushed));
                cluster.KillServer(head);
                await cluster.Scheduler.Delay(1500, CancellationToken.None);
                Instant since = cluster.Scheduler.Now;
                goOn.SetResult();
                await hosting;
                Assert.InRange(cluster.Scheduler.Now.MsSince(since), 0, 5000);
                await early.PullAsync(table, keys, read);
                Assert.All(read, value => Assert.Equal(4, value));
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                Assert.All(
                    cluster.Nodes.Where((_, server) => cluster.Runs(server)).SelectMany(n => n.State.Held).SelectMany(s => s.Tables),
                    rows => Assert.Equal(2, rows.Aggregation!.Closed));

                async Task WorkAsync(Worker worker, CancellationToken stop)
                {
                    while (worker.Clock < 2)
                    {
                        bool isLate = worker.Clock == 0 && worker.Index == 1;
                        if (isLate)
                        {
                            await goOn.Task;
                        }

                        Task push = worker.PushAsync(table, keys, ones, stop);
                        if (worker.Clock == 0 && !isLate)
                        {
                            held.SetResult();
                        }

                        await worker.ClockAsync(stop);
                        await push;
                    }
                }
            },
            limitMs: 200_000);
    }

    /// <summary>
    /// With the shortest failure timeout, what a user waits for after a kill, in simulated time. No frame of a copy arrives before: whoever served from a copy, and not from the replica
    /// that it has, would serve nothing here (PS-38).
    /// </summary>
    [Fact]
    public void Every_segment_is_served_again_within_a_second_of_a_kill()
    {
        using var cluster = new SimCluster(8, servers: 4, replicas: 1, limits: Fast, acceptors: 3);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                ulong[] keys = [.. Enumerable.Range(0, 2000).Select(i => (ulong)i)];
                float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
                await client.PushAsync(table, keys, ones);
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                int manager = Enumerable.Range(0, 4).First(i => cluster.Nodes[i].ManagerTerm is not null);
                int copies = 0;
                bool isWithheld = true;
                cluster.Network.Delays = (_, _, frame) =>
                {
                    bool isCopy = (FrameKind)frame.Span[KindAt] is FrameKind.CopyBegin or FrameKind.CopySlice;
                    copies += isCopy && !isWithheld ? 1 : 0;
                    return isCopy && isWithheld ? -1 : 0;
                };
                cluster.KillServer(manager);
                Instant killed = cluster.Scheduler.Now;
                await client.PushAsync(table, keys, ones);
                await client.PullAsync(table, keys, read);
                Assert.InRange(cluster.Scheduler.Now.MsSince(killed), 0, 1000);
                Assert.All(read, value => Assert.Equal(2, value));

                // Copies are made all the same, and may come now.
                isWithheld = false;
                await cluster.Scheduler.Delay(3000, CancellationToken.None);
                Assert.True(copies > 0);
            },
            limitMs: 60_000);
    }

    /// <summary>Which server stands at a place of the chain of key 1: 0 is its head.</summary>
    private static int ServerAt(SimCluster cluster, int place)
    {
        ClusterMap map = cluster.Nodes[0].Map!;
        return (int)map.Members[map.Chains[Mix.Segment(1, map.SegmentBits)].Members[place].Member].Node - 1;
    }
}
