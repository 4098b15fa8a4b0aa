using System.Text.RegularExpressions;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>Segments move while they serve: joins, deaths and repairs, each with pushes going on (design R10, R17, R18).</summary>
public partial class MoveTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 5000).Select(i => (ulong)i)];

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void A_node_that_joins_gets_the_segments_that_the_ring_gives_it_while_pushes_go_on(int replicas)
    {
        using var cluster = new SimCluster(5, servers: 3, replicas: replicas);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 3, Rule = UpdateRule.Adagrad(0.1f) });
                int rounds = await PushWhile(cluster, client, table, () => cluster.AddServer(), () => IsSettled(cluster, 4, replicas));
                ClusterMap map = cluster.Nodes[0].Map!;
                Assert.True(rounds > 1, $"{rounds} rounds");
                Assert.InRange(map.Chains.Count(c => map.Members[c.Head].Node == 4), 6, 30);
                Assert.All(map.Chains, c => Assert.Equal(replicas + 1, c.Members.Length));
            },
            limitMs: 120_000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_chain_that_lost_a_member_is_repaired_with_another_while_pushes_go_on(int replicas)
    {
        using var cluster = new SimCluster(6, servers: replicas + 2, replicas: replicas, limits: new ServerLimits { NodeTimeoutMs = 500 });
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 3, Rule = UpdateRule.Adagrad(0.1f) });
                await PushWhile(cluster, client, table, () => cluster.KillServer(1), () => IsSettled(cluster, replicas + 1, replicas));

                // And once more: what was repaired holds what the first had.
                await PushWhile(cluster, client, table, () => cluster.KillServer(2), () => cluster.Nodes[0].Map!.Members.Length == replicas);
            },
            limitMs: 120_000);
    }

    /// <summary>Whoever reads the log of the server that decides learns of each step what was done, to whom, and why.</summary>
    [Fact]
    public void Each_kind_of_step_is_logged_with_its_reason()
    {
        Dictionary<PlannedKind, string[]> reasons = new()
        {
            [PlannedKind.MarkComplete] = ["it holds every entry that was acknowledged"],
            [PlannedKind.Copy] = ["it should hold the segment and does not"],
            [PlannedKind.Append] = ["it has caught up"],
            [PlannedKind.Seal] = ["another should lead"],
            [PlannedKind.Reorder] = ["it should lead"],
            [PlannedKind.Remove] = ["it should not hold the segment", "it should not hold the segment, and the next leads"],
            [PlannedKind.Lead] = ["its journal has everything that was acknowledged"],
        };
        Assert.Equal(Enum.GetValues<PlannedKind>(), reasons.Keys);
        List<string> notes = [];
        using var cluster = new SimCluster(12, servers: 3, acceptors: 3, replicas: 1, journals: true, limits: new ServerLimits { NodeTimeoutMs = 500 });
        cluster.Noted = (_, note) => notes.Add(note);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Durable = true });
                await client.PushAsync(table, Keys, new float[Keys.Length]);
                cluster.AddServer();
                await cluster.Scheduler.Delay(5000, CancellationToken.None);
                for (int server = 0; server < 4; server++)
                {
                    cluster.KillServer(server);
                }

                for (int server = 0; server < 4; server++)
                {
                    cluster.RestartServer(server);
                }

                await client.PushAsync(table, Keys, new float[Keys.Length]);
            },
            limitMs: 120_000);
        Match[] steps = [.. notes.Select(note => Step().Match(note)).Where(match => match.Success)];
        Assert.Equal(reasons.Keys.Order(), steps.Select(Kind).Distinct().Order());
        Assert.All(steps, step => Assert.Contains(step.Groups[2].Value, reasons[Kind(step)]));
        static PlannedKind Kind(Match step) => Enum.Parse<PlannedKind>(step.Groups[1].Value);
    }

    /// <summary>
    /// With a push to every segment every 2 ms: each had waited up to 47 ms, for ticks of members, heads and the manager, and the client's pause (docs/decisions/0064). Simulated time, so that
    /// no machine is too slow for it.
    /// </summary>
    [Fact]
    public void A_push_to_all_segments_is_held_up_shortly_while_a_node_joins()
    {
        using var cluster = new SimCluster(5, servers: 3, replicas: 1, limits: ServerLimits.FastFailover);
        cluster.Run(
            async () =>
            {
                // Frames of one link keep their order, as they do in TCP.
                cluster.Network.Faults = new SimFaults { MinDelayUs = 200, MaxDelayUs = 201 };
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                HashSet<ulong> epochs = [];
                long longestMs = 0;
                cluster.AddServer();
                List<Task> pushes = [];
                for (int push = 0; push < 1000; push++)
                {
                    pushes.Add(PushAsync());
                    await cluster.Scheduler.Delay(2, CancellationToken.None);
                    epochs.UnionWith(client.Core.State.Map!.Chains.Select(chain => chain.Epoch));
                }

                await Task.WhenAll(pushes);
                Assert.True(IsSettled(cluster, 4, 1));
                Assert.InRange(longestMs, 0, 20);

                // Those of before; copies appended, reordered, and taken out where they were.
                Assert.InRange(epochs.Count, 4, 8);

                async Task PushAsync()
                {
                    Instant begin = cluster.Scheduler.Now;
                    await client.PushAsync(table, Keys, new float[Keys.Length]);
                    longestMs = Math.Max(longestMs, cluster.Scheduler.Now.MsSince(begin));
                }
            },
            limitMs: 120_000);
    }

    /// <summary>The words between servers take long, so that pushes are told of seals that last; who paused for one goes on when the map names the next head (decision 0064).</summary>
    [Fact]
    public void A_push_that_paused_for_a_head_that_makes_way_goes_on_with_the_map_and_not_after_its_pause()
    {
        const int PauseMs = 20_000;
        using var cluster = new SimCluster(5, servers: 3, replicas: 1, limits: ServerLimits.FastFailover);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { BackoffMs = PauseMs });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                await client.PushAsync(table, Keys, new float[Keys.Length]);
                cluster.Network.Faults = new SimFaults { MinDelayUs = 200, MaxDelayUs = 201 };
                int paused = 0;
                cluster.Network.Delays = (from, to, frame) => cluster.Servers.Contains(from) && cluster.Servers.Contains(to) ? 20_000 : 0;
                cluster.Network.Arriving = (_, to, frame) => paused += to == cluster.Clients[client] && IsPaused(frame) ? 1 : 0;
                cluster.AddServer();
                long longestMs = 0;
                List<Task> pushes = [];
                for (int push = 0; push < 1000; push++)
                {
                    pushes.Add(PushAsync(Keys[push]));
                    await cluster.Scheduler.Delay(2, CancellationToken.None);
                }

                await Task.WhenAll(pushes);
                Assert.True(IsSettled(cluster, 4, 1));
                Assert.True(paused > 0);
                Assert.InRange(longestMs, 1, PauseMs / 10);

                // A key alone: the answer to several parts waits for those that were taken, and by then the map is there.
                async Task PushAsync(ulong key)
                {
                    Instant begin = cluster.Scheduler.Now;
                    await client.PushAsync(table, new[] { key }, new float[] { 1 });
                    longestMs = Math.Max(longestMs, cluster.Scheduler.Now.MsSince(begin));
                }
            },
            limitMs: 120_000);

        static bool IsPaused(FrameBuffer frame)
        {
            List<PartReply> replies = [];
            return FrameHeader.TryRead(frame.Span, out FrameHeader header) == HeaderFault.None && header.Kind == FrameKind.PushReply
                && PushReplyBody.TryRead(frame.Span[FrameHeader.Size..], replies) && replies.Exists(reply => reply.Status == Status.Moving);
        }
    }

    /// <summary>Found by reading: the entries kept for a newcomer that never came filled the log, and every push was then answered Busy.</summary>
    [Fact]
    public void Nothing_is_kept_for_a_newcomer_that_dies_before_the_map_appends_it()
    {
        using var cluster = new SimCluster(7, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 3 });
                float[] ones = new float[Keys.Length * 3];
                await client.PushAsync(table, Keys, ones);
                cluster.AddServer();
                while (!cluster.Nodes.Any(n => n.KeptLogBytes > 0))
                {
                    await client.PushAsync(table, Keys, ones);
                }

                // The chains that it has not entered yet do not change with its death.
                ulong[] kept = [.. Keys.Where(k => cluster.Nodes[0].Map!.Chains[Mix.Segment(k, 6)].Members.Length == 1)];
                cluster.KillServer(2);
                Instant until = cluster.Scheduler.Now.AfterMs(20_000);
                while (cluster.Scheduler.Now < until)
                {
                    await client.PushAsync(table, kept.AsMemory(), new float[kept.Length * 3]);
                    await cluster.Scheduler.Delay(50, CancellationToken.None);
                }

                Assert.All(cluster.Nodes.Take(2), node => Assert.Equal(0, node.KeptLogBytes));
            },
            limitMs: 120_000);
    }

    /// <summary>What only the head has may vanish with it: a newcomer copies from the tail, which has what all have (R17).</summary>
    [Fact]
    public void What_the_tail_does_not_have_is_in_no_copy_of_a_newcomer()
    {
        using var cluster = new SimCluster(8, servers: 3, replicas: 1, limits: new ServerLimits { NodeTimeoutMs = 60_000 });
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                await client.PushAsync(table, Keys, Keys.Select(_ => 1f).ToArray());
                ClusterMap map = cluster.Nodes[0].Map!;
                int[] segments = [.. Enumerable.Range(0, map.Segments).Where(s => Member(s, 0) == 1 && Member(s, 1) == 2)];
                ulong[] keys = [.. Keys.Where(k => segments.Contains(Mix.Segment(k, map.SegmentBits)))];
                Assert.NotEmpty(segments);

                // The tail hears nothing of its head, and acknowledges nothing.
                cluster.CutServers(1, 2, isCut: true);
                Task push = client.PushAsync(table, keys, keys.Select(_ => 1f).ToArray());
                await cluster.Scheduler.Delay(100, CancellationToken.None);
                cluster.AddServer();
                int[] copied = [];
                for (Instant until = cluster.Scheduler.Now.AfterMs(20_000); copied.Length < 3 && cluster.Scheduler.Now < until;)
                {
                    await cluster.Scheduler.Delay(10, CancellationToken.None);
                    copied = [.. segments.Where(s => cluster.Nodes[3].State.Find((uint)s) is { Place: >= 0 } or { Target.IsWhole: true })];
                }

                Assert.NotEmpty(copied);
                float[] read = new float[1];
                foreach (ulong key in keys.Where(k => copied.Contains(Mix.Segment(k, map.SegmentBits))))
                {
                    cluster.Nodes[3].State.Find((uint)Mix.Segment(key, map.SegmentBits))!.Find(table.Id)!.Rows.ReadFound([key], read, new byte[8]);
                    Assert.Equal(1, read[0]);
                }

                cluster.CutServers(1, 2, isCut: false);
                await push;

                int Member(int segment, int place) => (int)map.Members[map.Chains[segment].Members[place].Member].Node - 1;
            },
            limitMs: 120_000);
    }

    private static bool IsSettled(SimCluster cluster, int members, int replicas)
    {
        ClusterMap map = cluster.Nodes[0].Map!;
        if (map.Members.Length != members)
        {
            return false;
        }

        ulong[][] wanted = new Ring([.. map.Members.Select(m => new RingMember(m.Node, 100, ""))]).Place(map.SegmentBits, replicas);
        return Enumerable.Range(0, map.Segments).All(s =>
            map.Chains[s].Members.All(m => m.IsComplete)
            && map.Members[map.Chains[s].Head].Node == wanted[s][0]
            && map.Chains[s].Members.Select(m => map.Members[m.Member].Node).Order().SequenceEqual(wanted[s].Order()));
    }

    /// <summary>Adds one to every key again and again until it is settled; then each key must have what was added, to the bit.</summary>
    private static async Task<int> PushWhile(SimCluster cluster, WeirClient client, WeirTable table, Action change, Func<bool> isSettled)
    {
        float[] before = new float[Keys.Length * 3], ones = new float[Keys.Length * 3], after = new float[Keys.Length * 3], expected = new float[Keys.Length * 3];
        Array.Fill(ones, 1f);
        WeirTable twin = await client.OpenTableAsync(new TableOptions { Name = "counts", Width = 3 });
        await client.PullAsync(twin, Keys, before);
        int rounds = 0;
        change();
        while (!isSettled())
        {
            Task main = client.PushAsync(table, Keys, ones);
            await client.PushAsync(twin, Keys, ones);
            await main;
            rounds++;
            await cluster.Scheduler.Delay(20, CancellationToken.None);
        }

        await client.PullAsync(twin, Keys, after);
        for (int i = 0; i < expected.Length; i++)
        {
            expected[i] = before[i] + rounds;
        }

        Assert.Equal(expected, after);
        await client.PullAsync(table, Keys, after);
        Assert.All(after, value => Assert.Equal(after[0], value));
        return rounds;
    }

    // map 12: segment 3: Append 127.0.0.1:4001: it has caught up
    [GeneratedRegex(@"^map \d+: segment \d+: (\w+) \S+: (.+)$")]
    private static partial Regex Step();
}
