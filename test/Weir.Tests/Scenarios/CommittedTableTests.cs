using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>A committed table is pulled from the complete tail, whose applied state is the acknowledged state (design R22).</summary>
public class CommittedTableTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];

    /// <summary>What only the head has is not read; what was read once is there after the head and whoever pushed have died.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_push_that_a_committed_pull_saw_is_never_lost_by_the_death_of_the_head(int replicas)
    {
        using SimCluster cluster = Cluster(31, replicas);
        cluster.Run(
            async () =>
            {
                WeirClient pusher = await cluster.ConnectAsync("pusher"), reader = await cluster.OpenAsync("reader");
                WeirTable table = await reader.OpenTableAsync(new TableOptions { Name = "t", Committed = true });
                ulong[] keys = HeadedBy(cluster, 2);
                float[] ones = [.. keys.Select(_ => 1f)], seen = new float[keys.Length], after = new float[keys.Length];
                await pusher.PushAsync(await pusher.OpenTableAsync(new TableOptions { Name = "t", Committed = true }), keys, ones);
                await reader.PullAsync(table, keys, seen);
                Assert.All(seen, value => Assert.Equal(1, value));
                for (int other = 0; other < cluster.Nodes.Count; other++)
                {
                    cluster.CutServers(1, other, isCut: other != 1);
                }

                // The head applies it and can tell nobody.
                _ = pusher.PushAsync(table, keys, ones);
                await cluster.Scheduler.Delay(50, CancellationToken.None);
                Task<PullResult> pull = reader.PullAsync(table, keys, seen);
                await cluster.Scheduler.Delay(50, CancellationToken.None);
                cluster.Kill(pusher);
                cluster.KillServer(1);
                await pull;
                await cluster.Scheduler.Delay(3000, CancellationToken.None);
                await reader.PullAsync(table, keys, after);
                Assert.All(seen.Zip(after), pair => Assert.True(pair.Second >= pair.First, $"{pair.First} was seen, and then {pair.Second}"));
            },
            limitMs: 60_000);
    }

    /// <summary>Counts that are read again and again only grow, whoever dies while they are.</summary>
    [Fact]
    public void Counts_in_a_committed_table_never_fall_while_heads_and_those_who_push_die()
    {
        for (ulong seed = 0; seed < 20; seed++)
        {
            using SimCluster cluster = Cluster(seed, replicas: 1);
            var rng = new Rng(seed ^ 0xC0331);
            cluster.Network.Faults = new SimFaults { LossPerMille = rng.Below(50), DuplicatePerMille = rng.Below(50), ReorderPerMille = rng.Below(100) };
            cluster.Run(
                async () =>
                {
                    WeirClient reader = await cluster.ConnectAsync("reader");
                    WeirTable table = await reader.OpenTableAsync(new TableOptions { Name = "t", Committed = true });
                    List<WeirClient> pushers = [];
                    for (int i = 0; i < 3; i++)
                    {
                        WeirClient pusher = await cluster.OpenAsync($"pusher {i}");
                        pushers.Add(pusher);
                        _ = PushAsync(pusher, table);
                    }

                    int victim = 1 + rng.Below(3);
                    cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(100 + rng.Below(100L)), () =>
                    {
                        cluster.Kill(pushers[0]);
                        cluster.KillServer(victim);
                        cluster.Kill(pushers[1]);
                    });
                    float[] seen = new float[Keys.Length], now = new float[Keys.Length];
                    for (Instant until = cluster.Scheduler.Now.AfterMs(2000); cluster.Scheduler.Now < until;)
                    {
                        await reader.PullAsync(table, Keys, now);
                        for (int i = 0; i < seen.Length; i++)
                        {
                            Invariant.That(now[i] >= seen[i], $"seed {seed}: key {Keys[i]} was {seen[i]} and is {now[i]}");
                        }

                        now.CopyTo(seen, 0);
                    }

                    Assert.All(seen, value => Assert.True(value > 0));
                },
                limitMs: 60_000);
        }
    }

    [Fact]
    public void Who_pushes_and_pulls_a_committed_table_reads_what_it_pushed_and_a_move_of_the_tail_holds_it_up_shortly()
    {
        using SimCluster cluster = Cluster(33, replicas: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Committed = true });
                Assert.True(table.IsCommitted);
                float[] ones = [.. Keys.Select(_ => 1f)], read = new float[Keys.Length];
                bool added = false;
                for (int round = 1; round < 60; round++)
                {
                    await client.PushPullAsync(table, Keys, ones, read);
                    Assert.All(read, value => Assert.Equal(round, value));
                    if (round > 5 && !added)
                    {
                        added = true;
                        cluster.AddServer();
                    }

                    await cluster.Scheduler.Delay(20, CancellationToken.None);
                }

                ClusterMap map = cluster.Nodes[0].Map!;
                Assert.Contains(map.Chains, c => c.Members[^1].Member == map.IndexOf(5));
                Assert.Contains("committed", (await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "t" }))).Message);
            },
            limitMs: 60_000);
    }

    private static async Task PushAsync(WeirClient client, WeirTable table)
    {
        float[] ones = [.. Keys.Select(_ => 1f)];
        while (true)
        {
            await client.PushAsync(table, Keys, ones);
        }
    }

    private static ulong[] HeadedBy(SimCluster cluster, ulong node)
    {
        ClusterMap map = cluster.Nodes[0].Map!;
        return [.. Keys.Where(k => map.Head(Mix.Segment(k, map.SegmentBits))!.Value.Node == node)];
    }

    private static SimCluster Cluster(ulong seed, int replicas) => new(seed, servers: 4, replicas: replicas, limits: new ServerLimits { NodeTimeoutMs = 500 });
}
