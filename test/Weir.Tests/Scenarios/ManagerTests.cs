using System.Globalization;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Register;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>The manager dies and another takes over (design section 4).</summary>
public class ManagerTests
{
    /// <summary>How many seeds a run tries: 60, or as many as WEIR_SEEDS says.</summary>
    private static ulong Seeds =>
        ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seeds) ? Math.Max(60, seeds) : 60;

    [Fact]
    public void Managers_follow_each_other_without_two_in_a_term_while_their_nodes_and_the_acceptors_fail()
    {
        Dictionary<string, int> hits = [];
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            using var run = new ManagerRun(seed, hits);
            try
            {
                run.Run();
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}: {failure.Message}\n{run.Describe()}", failure);
            }
        }

        // A batch that never hit these has not tested them.
        foreach (string hit in (string[])["the manager's node was killed", "an acceptor's node was killed", "the manager's node stood still",
            "the manager's node was cut off", "a majority of the acceptors was away", "a node that was counted gone came back", "a process died",
            "an iteration ended while the register was away", "more than one term", "more than three terms"])
        {
            Assert.True(hits.GetValueOrDefault(hit) > 0, $"no seed hit: {hit}");
        }
    }

    [Fact]
    public void A_standby_decides_within_600_ms_of_the_managers_death_and_the_dead_node_has_gone_within_a_second()
    {
        using SimCluster cluster = Cluster(1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            await cluster.Scheduler.Delay(500, CancellationToken.None);
            Instant died = cluster.Scheduler.Now;
            cluster.KillServer(0);
            Task<WeirTable> opening = client.OpenTableAsync(new TableOptions { Name = "t" });
            long tookOverMs = await UntilAsync(cluster, died, () => cluster.Nodes.Skip(1).Any(n => n.ManagerTerm == 2));
            long goneMs = await UntilAsync(cluster, died, () => cluster.Nodes.Skip(1).All(n => n.Map!.Member(1) is null));
            await opening;
            long openedMs = cluster.Scheduler.Now.MsSince(died);
            Assert.InRange(tookOverMs, 200, 600);
            Assert.InRange(goneMs, 400, 1000);
            Assert.InRange(openedMs, 0, 1500);
        }, limitMs: 20_000);
    }

    /// <summary>It has asked nobody but the manager so far, so that nobody else tells it of the takeover.</summary>
    [Fact]
    public void A_client_that_knows_nobody_but_the_dead_manager_finds_the_next_one_by_asking_the_other_members()
    {
        using SimCluster cluster = Cluster(7);
        cluster.Run(async () =>
        {
            await cluster.ConnectAsync("first");
            WeirClient client = await cluster.OpenAsync("a", new ClientOptions { DeadlineMs = 5000 }, server: 0);
            cluster.KillServer(0);
            await client.OpenTableAsync(new TableOptions { Name = "t" });
        }, limitMs: 20_000);
    }

    [Fact]
    public void While_the_manager_renews_its_lease_nobody_takes_it_over()
    {
        using SimCluster cluster = Cluster(2);
        cluster.Run(async () =>
        {
            await cluster.ConnectAsync("a");
            cluster.Network.Faults = new SimFaults { LossPerMille = 10, DuplicatePerMille = 20, ReorderPerMille = 50 };
            await cluster.Scheduler.Delay(60_000, CancellationToken.None);
            Assert.All(cluster.Nodes, n => Assert.Equal((1ul, 1ul), (n.Map!.ManagerTerm, n.Map.ManagerNode)));
            Assert.Equal(1ul, cluster.Nodes[0].ManagerTerm);
        }, limitMs: 70_000);
    }

    /// <summary>The map is large and the lease is small: what is written several times a second is the lease alone (design R1).</summary>
    [Fact]
    public void A_renewal_of_the_lease_touches_the_lease_s_cell_and_never_the_map_s()
    {
        const int WatchedMs = 10_000;
        using SimCluster cluster = Cluster(8);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            await client.OpenTableAsync(new TableOptions { Name = "t" });
            await cluster.Scheduler.Delay(2000, CancellationToken.None);
            int mapCalls = cluster.RegisterCalls[(int)RegisterCell.Map].Count, renewals = Swaps(RegisterCell.Lease);
            await cluster.Scheduler.Delay(WatchedMs, CancellationToken.None);
            Assert.InRange(Swaps(RegisterCell.Lease) - renewals, WatchedMs / ServerLimits.FastFailover.LeaseRenewMs / 2, WatchedMs / ServerLimits.FastFailover.LeaseRenewMs);
            Assert.Equal(mapCalls, cluster.RegisterCalls[(int)RegisterCell.Map].Count);
        }, limitMs: 20_000);
        int Swaps(RegisterCell cell) => cluster.RegisterCalls[(int)cell].Count(call => call.IsSwap && call.Outcome == RegisterOutcome.Done);
    }

    /// <summary>R3: the standby has heard the process as well, so its silence began when it died and not with the takeover.</summary>
    [Fact]
    public void A_process_that_died_before_the_manager_is_counted_gone_as_if_the_manager_lived()
    {
        using SimCluster cluster = Cluster(3, ServerLimits.FastFailover with { ProcessTimeoutMs = 3000 });
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            await client.PushAsync(table, new ulong[] { 1 }, new float[] { 1 });
            await cluster.Scheduler.Delay(1000, CancellationToken.None);
            ulong process = client.State.Process;
            bool IsNamed(ServerNode node) => Array.Exists(node.Map!.Processes, p => p.Process == process);
            Assert.All(cluster.Nodes, n => Assert.True(IsNamed(n)));
            Instant died = cluster.Scheduler.Now;
            cluster.Kill(client);
            await cluster.Scheduler.Delay(2000, CancellationToken.None);
            cluster.KillServer(0);
            long goneMs = await UntilAsync(cluster, died, () => !cluster.Nodes.Skip(1).Any(IsNamed));
            Assert.InRange(goneMs, 2400, 3600);
        }, limitMs: 20_000);
    }

    /// <summary>R3: it stood still past its lease with a request unread, and would decide on it when it goes on.</summary>
    [Fact]
    public void A_manager_that_goes_on_after_another_took_over_decides_nothing_and_names_the_other()
    {
        using SimCluster cluster = Cluster(4);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            cluster.StopServer(0);
            Task<WeirTable> first = client.OpenTableAsync(new TableOptions { Name = "first" });
            await UntilAsync(cluster, cluster.Scheduler.Now, () => cluster.Nodes.Skip(1).Any(n => n.ManagerTerm == 2));
            cluster.ContinueServer(0);
            await first;
            await client.OpenTableAsync(new TableOptions { Name = "second" });
            await cluster.Scheduler.Delay(1000, CancellationToken.None);
            Assert.Null(cluster.Nodes[0].ManagerTerm);
            ClusterMap map = cluster.Nodes[1].Map!;
            Assert.Equal(["first", "second"], map.Tables.Select(t => t.Name));
            Assert.All(cluster.Nodes, n => Assert.Equal((2ul, map.Version), (n.Map!.ManagerTerm, n.Map.Version)));
        }, limitMs: 20_000);
    }

    /// <summary>What nobody could hear is nobody's silence: a manager that heard no acceptor either may be the deaf one (R6).</summary>
    [Fact]
    public void Nobody_is_counted_gone_after_all_were_cut_off_from_each_other_for_longer_than_the_timeout()
    {
        for (ulong seed = 0; seed < 8; seed++)
        {
            using SimCluster cluster = Cluster(seed);
            cluster.Run(async () =>
            {
                await cluster.ConnectAsync("a");
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                ulong[] members = [.. cluster.Nodes[0].Map!.Members.Select(m => m.Incarnation)];
                CutAll(isCut: true);
                await cluster.Scheduler.Delay(ServerLimits.FastFailover.NodeTimeoutMs + 150, CancellationToken.None);
                CutAll(isCut: false);
                await cluster.Scheduler.Delay(2000, CancellationToken.None);
                Assert.All(cluster.Nodes, n => Assert.Null(n.StopReason));
                Assert.All(cluster.Nodes, n => Assert.Equal(members, n.Map!.Members.Select(m => m.Incarnation)));
            }, limitMs: 20_000);

            void CutAll(bool isCut)
            {
                for (int from = 0; from < 4; from++)
                {
                    for (int to = 0; to < 4; to++)
                    {
                        if (from != to)
                        {
                            cluster.CutServers(from, to, isCut);
                        }
                    }
                }
            }
        }
    }

    [Fact]
    public void A_manager_that_leaves_is_followed_by_another_and_its_node_stops()
    {
        using SimCluster cluster = Cluster(5);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            MapMember first = cluster.Nodes[0].Map!.Members[0];
            await client.ChangeAsync(Weir.Wire.FrameKind.Leave, new Weir.Wire.LeaveBody(Weir.Wire.MemberRole.Node, first.Node, first.Incarnation), CancellationToken.None);
            await UntilAsync(cluster, cluster.Scheduler.Now, () => cluster.Nodes[0].StopReason is not null && cluster.Nodes.Skip(1).Any(n => n.ManagerTerm == 2));
            await client.OpenTableAsync(new TableOptions { Name = "t" });
            Assert.All(cluster.Nodes.Skip(1), n => Assert.Null(n.Map!.Member(first.Node)));
        }, limitMs: 20_000);
    }

    /// <summary>R2: an acceptor whose disk is lost answers nobody; one that replaces it stands in a majority again.</summary>
    [Theory]
    [InlineData(AcceptorStart.Again)]
    [InlineData(AcceptorStart.Replacement)]
    public void An_acceptor_whose_disk_was_lost_counts_again_once_it_was_replaced(AcceptorStart start)
    {
        using SimCluster cluster = Cluster(6);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { DeadlineMs = 5000 });
            cluster.KillServer(2);
            cluster.LoseDisk(2);
            cluster.RestartServer(2, start);
            await cluster.Scheduler.Delay(2000, CancellationToken.None);
            cluster.KillServer(1);
            Task<WeirTable> opening = client.OpenTableAsync(new TableOptions { Name = "t" });
            if (start == AcceptorStart.Replacement)
            {
                await opening;
            }
            else
            {
                Assert.Equal(Status.Unreachable, (await Assert.ThrowsAsync<WeirException>(() => opening)).Status);
            }
        }, limitMs: 20_000);
    }

    private static SimCluster Cluster(ulong seed, ServerLimits? limits = null) => new(seed, servers: 4, limits: limits ?? ServerLimits.FastFailover, acceptors: 3);

    private static async Task<long> UntilAsync(SimCluster cluster, Instant since, Func<bool> condition)
    {
        while (!condition())
        {
            await cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        return cluster.Scheduler.Now.MsSince(since);
    }
}
