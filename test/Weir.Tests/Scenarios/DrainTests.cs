using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>Servers are drained, leave and are forgotten while pushes go on (design R6, R18).</summary>
public class DrainTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 1000).Select(i => (ulong)i)];

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    public void A_drained_server_holds_nothing_and_may_be_stopped_and_no_push_is_lost(int replicas, int drained)
    {
        using var cluster = Cluster(21, servers: replicas + 2, replicas);
        cluster.Run(
            async () =>
            {
                (WeirClient client, WeirTable table) = await OpenAsync(cluster);
                List<int> left = [];
                WeirClient operators = await cluster.OpenAsync("operator");
                int rounds = await PushWhileAsync(
                    cluster, client, table, 0, operators.DrainServerAsync($"server:{drained}", new Progress(left)));
                Assert.True(rounds > 1, $"{rounds} rounds");
                Assert.True(left.Count > 1 && left[^1] == 0 && left.SequenceEqual(left.OrderDescending()), string.Join(" ", left));
                ClusterMap map = cluster.Nodes[1 - drained].Map!;
                int index = map.IndexOf((ulong)drained + 1);
                Assert.True(map.Members[index].IsDraining);
                Assert.All(map.Chains, c => Assert.True(c.PlaceOf(index) < 0 && c.Members.Length == replicas + 1));
                ServerNode node = cluster.Nodes[drained];
                await cluster.Scheduler.Delay(1000, CancellationToken.None);
                Assert.Equal(0, node.StoredRows);

                // With the only acceptor in the first server the cluster ends with that one.
                if (drained > 0)
                {
                    cluster.KillServer(drained);
                    rounds += await PushWhileAsync(cluster, client, table, rounds, cluster.Scheduler.Delay(8000, CancellationToken.None));
                    Assert.Equal(replicas + 1, cluster.Nodes[0].Map!.Members.Length);
                    Assert.Empty(cluster.Nodes[0].Map!.Losses);
                }
            },
            limitMs: 120_000);
    }

    /// <summary>Simulation seed 150: it came in again like any other and got its share, and who had asked for it to be drained waited for ever.</summary>
    [Fact]
    public void A_server_that_is_started_again_is_drained_all_the_same()
    {
        using var cluster = Cluster(23, servers: 4, replicas: 1, acceptors: 3);
        cluster.Run(
            async () =>
            {
                await OpenAsync(cluster);
                WeirClient operators = await cluster.OpenAsync("operator");
                Task draining = operators.DrainServerAsync("server:3");
                await cluster.Scheduler.Delay(30, CancellationToken.None);
                cluster.KillServer(3);
                cluster.RestartServer(3);
                await draining;
                ClusterMap map = cluster.Nodes[0].Map!;
                MapMember back = map.Member(4)!.Value;
                Assert.True(back.IsDraining && back.Incarnation == cluster.Nodes[3].Incarnation);
                Assert.All(map.Chains, c => Assert.True(c.PlaceOf(map.IndexOf(4)) < 0));
            },
            limitMs: 120_000);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void A_server_that_leaves_hands_over_what_it_holds_and_is_gone(int replicas)
    {
        using var cluster = Cluster(22, servers: 3, replicas);
        cluster.Run(
            async () =>
            {
                (WeirClient client, WeirTable table) = await OpenAsync(cluster);
                cluster.LeaveServer(2);
                int rounds = await PushWhileAsync(cluster, client, table, 0, UntilAsync(cluster, () => !cluster.Runs(2)));
                Assert.True(cluster.Nodes[2].HasLeft);
                Assert.Null(cluster.Nodes[2].StopReason);
                Assert.Equal([1ul, 2ul], cluster.Nodes[0].Map!.Members.Select(m => m.Node));
                await PushWhileAsync(cluster, client, table, rounds, cluster.Scheduler.Delay(2000, CancellationToken.None));
            },
            limitMs: 120_000);
    }

    [Fact]
    public void The_manager_of_a_register_of_three_leaves_like_any_other()
    {
        using var cluster = Cluster(23, servers: 4, replicas: 1, acceptors: 3);
        cluster.Run(
            async () =>
            {
                (WeirClient client, WeirTable table) = await OpenAsync(cluster);
                int manager = Enumerable.Range(0, 4).First(s => cluster.Nodes[s].ManagerTerm is not null);
                cluster.LeaveServer(manager);
                int rounds = await PushWhileAsync(cluster, client, table, 0, UntilAsync(cluster, () => !cluster.Runs(manager)));
                Assert.True(cluster.Nodes[manager].HasLeft);
                await PushWhileAsync(cluster, client, table, rounds, cluster.Scheduler.Delay(3000, CancellationToken.None));
                Assert.Equal(3, client.State.Map!.Members.Length);
            },
            limitMs: 120_000);
    }

    [Fact]
    public void Nobody_is_drained_or_leaves_where_no_other_could_take_over()
    {
        using var cluster = Cluster(24, servers: 2, replicas: 0);
        cluster.Run(
            async () =>
            {
                (WeirClient client, _) = await OpenAsync(cluster);
                await client.DrainServerAsync("server:1");
                Assert.Contains("no other server", (await Assert.ThrowsAsync<WeirException>(() => client.DrainServerAsync("server:0"))).Message);
                Assert.Contains("no server nowhere", (await Assert.ThrowsAsync<WeirException>(() => client.DrainServerAsync("nowhere"))).Message);
                Assert.Contains("alive", (await Assert.ThrowsAsync<WeirException>(() => client.ForgetServerAsync("server:0"))).Message);
                await client.UndrainServerAsync("0000000000000002");
                await UntilAsync(cluster, () => cluster.Nodes[0].Map!.Chains.Any(c => c.Head == 1));
            },
            limitMs: 60_000);
    }

    [Fact]
    public void A_drained_server_that_is_forgotten_stops_and_does_not_come_in_again()
    {
        using var cluster = Cluster(25, servers: 3, replicas: 1);
        cluster.Run(
            async () =>
            {
                (WeirClient client, _) = await OpenAsync(cluster);
                await client.DrainServerAsync("server:2");
                Assert.Equal(0, await client.ForgetServerAsync("server:2"));
                await UntilAsync(cluster, () => !cluster.Runs(2));
                Assert.True(cluster.Nodes[2].HasLeft);
                await cluster.Scheduler.Delay(3000, CancellationToken.None);
                Assert.Equal(2, cluster.Nodes[0].Map!.Members.Length);
            },
            limitMs: 60_000);
    }

    /// <summary>R6: an epoch of the segment that is marked empty, and new sessions for every worker: training goes on from there.</summary>
    [Fact]
    public void What_an_operator_gives_up_begins_anew_and_the_workers_go_on()
    {
        using var cluster = Cluster(26, servers: 4, replicas: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a"), host = await cluster.OpenAsync("host");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "job", Workers = 2 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
                long last = 0;
                bool goesOn = true;
                Task hosting = host.HostWorkersAsync(job, async (worker, stop) =>
                {
                    while (goesOn || worker.Clock < last + 3)
                    {
                        await worker.PullAsync(table, Keys, new float[Keys.Length], 1, stop);
                        Task push = worker.PushAsync(table, Keys, Keys.Select(_ => 1f).ToArray(), stop);
                        await worker.ClockAsync(stop);
                        await push;
                        last = goesOn ? worker.Clock : last;
                        await cluster.Scheduler.Delay(20, stop);
                    }
                });
                await cluster.Scheduler.Delay(500, CancellationToken.None);

                // Both members of some chains die at once: those segments are down.
                cluster.KillServer(1);
                cluster.KillServer(2);
                await UntilAsync(cluster, () => cluster.Nodes[0].Map!.Chains.Any(c => c.IsDown));
                await cluster.Scheduler.Delay(2000, CancellationToken.None);

                // Both are waited for, since either has what both held: one may be forgotten, the last may not.
                Assert.Contains(cluster.Nodes[0].Map!.Members, m => m.Address == "server:1");
                Assert.Equal(0, await client.ForgetServerAsync("server:1"));
                string refusal = (await Assert.ThrowsAsync<WeirException>(() => client.ForgetServerAsync("server:2"))).Message;
                Assert.Contains("last complete copy", refusal);
                Assert.Contains("--give-up", refusal);
                Assert.True(await client.ForgetServerAsync("server:2", givesUp: true) > 0);
                ClusterMap map = cluster.Nodes[0].Map!;
                Assert.DoesNotContain(map.Chains, c => c.IsDown || c.Members.Length == 0);
                Assert.NotEmpty(map.Losses);
                goesOn = false;
                await hosting;
                float[] counts = new float[Keys.Length];
                WeirClient reader = await cluster.OpenAsync("reader");
                await reader.PullAsync(await reader.OpenTableAsync(new TableOptions { Name = "t", Job = job }), Keys, counts);
                Assert.Contains(counts, count => count < 10);
                Assert.All(Keys.Zip(counts), pair => Assert.True(
                    pair.Second > 0 && (cluster.Nodes[0].Map!.Chains[Mix.Segment(pair.First, 6)].Emptied > 0 || pair.Second > 10), $"{pair}"));
            },
            limitMs: 120_000);
    }

    private sealed class Progress(List<int> said) : IProgress<int>
    {
        public void Report(int value) => said.Add(value);
    }

    private static SimCluster Cluster(ulong seed, int servers, int replicas, int acceptors = 0) =>
        new(seed, servers, replicas: replicas, acceptors: acceptors, limits: new ServerLimits { NodeTimeoutMs = replicas > 0 ? 500 : 5000 });

    private static async Task<(WeirClient Client, WeirTable Table)> OpenAsync(SimCluster cluster)
    {
        WeirClient client = await cluster.ConnectAsync("a");
        return (client, await client.OpenTableAsync(new TableOptions { Name = "t" }));
    }

    private static async Task UntilAsync(SimCluster cluster, Func<bool> isSo)
    {
        while (!isSo())
        {
            await cluster.Scheduler.Delay(10, CancellationToken.None);
        }
    }

    /// <summary>Adds one to every key again and again until something is done; then each key must have what was added.</summary>
    private static async Task<int> PushWhileAsync(SimCluster cluster, WeirClient client, WeirTable table, int before, Task until)
    {
        float[] ones = [.. Keys.Select(_ => 1f)], counts = new float[Keys.Length];
        int rounds = 0;
        for (; !until.IsCompleted || rounds < 2; rounds++)
        {
            await client.PushAsync(table, Keys, ones);
            await cluster.Scheduler.Delay(20, CancellationToken.None);
        }

        await until;
        await client.PullAsync(table, Keys, counts);
        Assert.All(counts, count => Assert.Equal(before + rounds, count));
        return rounds;
    }
}
