using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;

namespace Weir.Tests.Client;

/// <summary>A link that is slower than the client's timeouts: it is waited for longer each time, and not filled with the same rows again and again.</summary>
public class SlowLinkTests
{
    private const int Width = 16;

    private static readonly ulong[] ManyKeys = [.. Enumerable.Range(0, 200_000).Select(i => (ulong)i)];

    [Fact]
    public void A_node_is_waited_for_1_2_4_and_8_times_the_interval_however_many_frames_are_late_at_once()
    {
        using var cluster = new SimCluster(1, servers: 1, limits: new ServerLimits { ProcessTimeoutMs = 60_000 });
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            NodeLink node = client.State.Links[0];
            cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
            Task push = client.PushAsync(table, ManyKeys, new float[ManyKeys.Length * Width]);
            await cluster.Scheduler.Delay(50, CancellationToken.None);
            Task later = client.PushAsync(table, ManyKeys.AsMemory(0, 100), new float[100 * Width]);

            // The window was sent at 0, all but the little that followed at 0.05 s; it is late after 1, 3, 7 and 15 s.
            int waited = 50;
            foreach ((int atMs, int timeouts) in new[] { (950, 0), (1_150, 1), (2_900, 1), (3_200, 2), (6_900, 2), (7_300, 3), (14_900, 3) })
            {
                await cluster.Scheduler.Delay(atMs - waited, CancellationToken.None);
                waited = atMs;
                Assert.Equal((atMs, timeouts), (atMs, node.Timeouts));
            }

            cluster.Network.Faults = SimFaults.None;
            await push;
            await later;
            Assert.Equal(0, node.Timeouts);
        }, limitMs: 100_000);
    }

    [Fact]
    public void Nothing_is_written_for_a_link_that_has_no_room()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            cluster.Network.Faults = new SimFaults { FullPerMille = 1000 };
            long before = client.Counters.PushBytes;
            Task push = client.PushAsync(table, ManyKeys, new float[ManyKeys.Length * Width]);
            await cluster.Scheduler.Delay(20_000, CancellationToken.None);
            Assert.Equal(before, client.Counters.PushBytes);
            cluster.Network.Faults = SimFaults.None;
            await push;
        }, limitMs: 100_000);
    }

    [Fact]
    public void A_pull_is_not_asked_again_over_a_link_that_has_no_room()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            cluster.Network.Faults = new SimFaults { FullPerMille = 1000, LossPerMille = 1000 };
            Task pull = client.PullAsync(table, ManyKeys, new float[ManyKeys.Length * Width]);
            long asked = client.Counters.PullBytes;
            await cluster.Scheduler.Delay(20_000, CancellationToken.None);
            Assert.Equal(asked, client.Counters.PullBytes);
            cluster.Network.Faults = SimFaults.None;
            await pull;
        }, limitMs: 100_000);
    }

    private static async Task<(WeirClient Client, WeirTable Table)> OpenAsync(SimCluster cluster)
    {
        WeirClient client = await cluster.ConnectAsync("a");
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width, Rule = UpdateRule.Add });
        await client.PushAsync(table, new ulong[] { 1 }, new float[Width]);
        return (client, table);
    }
}
