using Weir.Client;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// Two servers that cannot reach each other, though both reach the manager: who does not acknowledge to its predecessor leaves its chains, and the
/// pushes go on (design R6).
/// </summary>
public class StalledSuccessorTests
{
    /// <summary>One failure timeout until the stall is said, and the copy, two swaps and a retry of the client's.</summary>
    private const long MostPauseMs = 3000;

    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];

    [Theory]
    [InlineData(3, 1, true, true)]
    [InlineData(3, 1, true, false)]
    [InlineData(3, 1, false, true)]
    [InlineData(5, 2, true, true)]
    [InlineData(5, 2, true, false)]
    [InlineData(5, 2, false, true)]
    public void Pushes_go_on_while_a_pair_of_servers_cannot_reach_each_other(int servers, int replicas, bool there, bool back)
    {
        long pauseMs = Run(servers, replicas, 20_000, cluster => Cut(cluster, 1, 2, there, back), out SimCluster cut);
        using (cut)
        {
            ClusterMap map = cut.Nodes[0].Map!;
            Assert.Equal(servers, map.Members.Length);
            Assert.All(map.Chains, c => Assert.Equal(replicas + 1, c.Members.Count(m => m.IsComplete)));
            Assert.DoesNotContain(map.Chains, c => c.PlaceOf(map.IndexOf(2)) >= 0 && c.PlaceOf(map.IndexOf(3)) >= 0);
            Assert.InRange(pauseMs, 0, MostPauseMs);
        }
    }

    /// <summary>After a minute the pair is tried again: where it still does not work the second try costs as little as the first.</summary>
    [Theory]
    [InlineData(3, 1)]
    [InlineData(5, 2)]
    public void A_pair_that_is_tried_again_and_still_cut_off_holds_nobody_up_for_long(int servers, int replicas)
    {
        long pauseMs = Run(servers, replicas, 200_000, cluster => Cut(cluster, 1, 2, true, true), out SimCluster cut);
        using (cut)
        {
            Assert.InRange(pauseMs, 0, 2 * MostPauseMs);
            Assert.All(cut.Nodes[0].Map!.Chains, c => Assert.Equal(replicas + 1, c.Members.Count(m => m.IsComplete)));
        }
    }

    /// <summary>One that nobody follows, whoever comes: at the second successor that does not acknowledge it is the predecessor that goes.</summary>
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void A_server_that_reaches_none_but_the_manager_leaves_its_chains(bool there, bool back)
    {
        long pauseMs = Run(
            5,
            1,
            20_000,
            cluster =>
            {
                foreach (int other in (int[])[2, 3, 4])
                {
                    Cut(cluster, 1, other, there, back);
                }
            },
            out SimCluster cut);
        using (cut)
        {
            ClusterMap map = cut.Nodes[0].Map!;
            Assert.DoesNotContain(map.Chains, c => c.Head == map.IndexOf(2) && map.Members[c.Members[^1].Member].Node != 1);
            Assert.All(map.Chains, c => Assert.Equal(2, c.Members.Count(m => m.IsComplete)));
            Assert.InRange(pauseMs, 0, 2 * MostPauseMs);
        }
    }

    /// <summary>Nobody is there who could take the other's place: R6 lets nobody go, and what waits goes on once the two reach each other.</summary>
    [Fact]
    public void Where_no_other_server_is_a_pair_waits_until_it_is_whole_again()
    {
        long pauseMs = Run(
            2,
            1,
            20_000,
            cluster =>
            {
                // The manager is one of the two: it does not count the other gone only while heartbeats pass, so entries alone are lost.
                cluster.StopServer(1);
                cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(400), () => cluster.ContinueServer(1));
            },
            out SimCluster cut);
        using (cut)
        {
            Assert.Equal(2, cut.Nodes[0].Map!.Members.Length);
            Assert.All(cut.Nodes[0].Map!.Chains, c => Assert.Equal(2, c.Members.Length));
            Assert.InRange(pauseMs, 0, MostPauseMs);
        }
    }

    private static void Cut(SimCluster cluster, int one, int other, bool there, bool back)
    {
        cluster.CutServers(one, other, there);
        cluster.CutServers(other, one, back);
    }

    /// <summary>Adds one to every key again and again; gives the longest that one push took.</summary>
    private static long Run(int servers, int replicas, long forMs, Action<SimCluster> fault, out SimCluster cluster)
    {
        SimCluster run = cluster = new SimCluster(11, servers, replicas: replicas, limits: new ServerLimits { NodeTimeoutMs = 500 });
        long longestMs = 0;
        run.Run(
            async () =>
            {
                WeirClient client = await run.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                float[] ones = [.. Keys.Select(_ => 1f)], counts = new float[Keys.Length];
                await client.PushAsync(table, Keys, ones);
                fault(run);
                int rounds = 1;
                Instant until = run.Scheduler.Now.AfterMs(forMs);
                for (; run.Scheduler.Now < until; rounds++)
                {
                    Instant begins = run.Scheduler.Now;
                    await client.PushAsync(table, Keys, ones);
                    longestMs = Math.Max(longestMs, run.Scheduler.Now.MsSince(begins));
                    await run.Scheduler.Delay(100, CancellationToken.None);
                }

                await client.PullAsync(table, Keys, counts);
                Assert.All(counts, count => Assert.Equal(rounds, count));
            },
            limitMs: forMs + 120_000);
        return longestMs;
    }
}
