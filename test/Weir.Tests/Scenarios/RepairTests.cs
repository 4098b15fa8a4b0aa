using Weir.Client;
using Weir.Placement;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>What the chaos suite found of repairs, in simulated time.</summary>
public class RepairTests
{
    /// <summary>
    /// Found by <c>eng/chaos</c> (a majority of the acceptors killed): the last table was dropped before the repair was done, and the manager, who
    /// planned nothing without a table, left every segment with fewer copies for as long as no table was opened.
    /// </summary>
    [Fact]
    public void Segments_are_repaired_though_the_last_table_was_dropped_meanwhile()
    {
        using var cluster = new SimCluster(3, servers: 4, replicas: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                ulong[] keys = [.. Enumerable.Range(0, 3000).Select(key => (ulong)key)];
                await client.PushAsync(table, keys, new float[keys.Length]);
                cluster.KillServer(2);
                while (cluster.Nodes[0].Map!.Members.Length > 3)
                {
                    await cluster.Scheduler.Delay(1, CancellationToken.None);
                }

                await client.DropTableAsync(table);
                cluster.RestartServer(2);
                await cluster.Scheduler.Delay(20_000, CancellationToken.None);
                ClusterMap map = cluster.Nodes[0].Map!;
                Assert.Equal(4, map.Members.Length);
                Assert.All(map.Chains, chain => Assert.True(chain.Members.Length == 3 && Array.TrueForAll(chain.Members, member => member.IsComplete)));
                WeirTable next = await client.OpenTableAsync(new TableOptions { Name = "next" });
                await client.PushAsync(next, keys, new float[keys.Length]);
            },
            limitMs: 60_000);
    }
}
