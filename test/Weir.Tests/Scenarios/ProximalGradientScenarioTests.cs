using Weir.Client;
using Weir.Keys;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>Delayed block proximal gradient on the real client and nodes, simulated.</summary>
public class ProximalGradientScenarioTests
{
    [Fact]
    public void The_servers_take_one_proximal_step_on_the_sums_of_all_workers_PS_9()
    {
        using var cluster = new SimCluster(3, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
                var declared = new TableOptions { Name = "t", Width = 2, Rule = UpdateRule.DiagonalProximal(0.5f, 1), Aggregate = true, Job = job };
                WeirTable table = await client.OpenTableAsync(declared);
                ulong[] keys = [3, 4, 5];
                await client.HostWorkersAsync(job, async (worker, stop) =>
                {
                    // Of key 5 one worker has data and the other none, and pushes nothing.
                    float[] pushed = worker.Index == 0 ? [-3, 1, 1, 0.5f, -2, 2] : [-2, 1, -0.5f, 0.5f];
                    Task push = worker.PushAsync(table, keys.AsMemory(0, pushed.Length / 2), pushed, stop);
                    await worker.ClockAsync(stop);
                    await push;
                });
                float[] rows = new float[6];
                await client.PullAsync(table, keys, rows);

                // Key 3: g = -5, u = 2, so z = 1.25 and the threshold is 0.25. Key 4: g = 0.5, u = 1: z = -0.25 is below 0.5. Key 5: z = 0.5 less 0.25.
                Assert.Equal([1, 0, 0, 0, 0.25f, 0], rows);

                WeirException odd = await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(declared with { Name = "odd", Width = 3 }));
                Assert.Equal((Status.Conflict, true), (odd.Status, odd.Message.Contains("must be even", StringComparison.Ordinal)));
            },
            limitMs: 60_000);
    }
}
