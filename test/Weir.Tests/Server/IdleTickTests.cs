using Weir.Client;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>
/// A node ticks a hundred times a second, in simulations by the million: where nothing is due a tick makes no garbage. What a lambda captures is made where its
/// block begins, whether it runs or not: such a block is a method of its own.
/// </summary>
public class IdleTickTests
{
    [Fact]
    public void A_tick_of_a_manager_or_any_other_node_that_has_nothing_to_do_allocates_nothing()
    {
        using var cluster = new SimCluster(71, servers: 3, replicas: 1, limits: ServerLimits.FastFailover, acceptors: 3);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                await client.PushAsync(table, new ulong[] { 1, 2, 3 }, new float[] { 1, 1, 1 });
                await cluster.Scheduler.Delay(2000, CancellationToken.None);
                foreach (ServerNode node in cluster.Nodes)
                {
                    // What is due is done by the first of them: to the others no time has passed.
                    Instant now = cluster.Scheduler.Now;
                    for (int tick = 0; tick < 3; tick++)
                    {
                        node.Tick(now);
                        node.EndTurn();
                    }

                    long before = GC.GetAllocatedBytesForCurrentThread();
                    for (int tick = 0; tick < 100; tick++)
                    {
                        node.Tick(now);
                        node.EndTurn();
                    }

                    Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
                }
            },
            limitMs: 60_000);
    }
}
