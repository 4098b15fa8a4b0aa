using Weir.Client;
using Weir.Keys;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>The consistency of a table's pulls (OSDI'14 section 3.5): declared with it, named by a call, and changed while workers run.</summary>
public class ConsistencyTests
{
    private const int Workers = 3;
    private const int Iterations = 60;
    private static readonly ulong[] Counters = [.. Enumerable.Range(0, Workers).Select(worker => (ulong)worker)];

    /// <summary>
    /// One worker is slow. Pulls name no bound: they have the table's, which is declared as 2 and becomes 0 and then none. Each is judged by what it contains,
    /// unless the bound changed while it waited.
    /// </summary>
    [Fact]
    public void A_table_has_a_bound_of_its_own_that_changes_in_mid_run_PS_14_PS_16_PS_17()
    {
        using var cluster = new SimCluster(16, servers: 3);
        cluster.Run(
            async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), scheduler = await cluster.ConnectAsync("scheduler");
                Job job = await host.OpenJobAsync(new JobOptions { Name = "j", Workers = Workers });
                WeirTable table = await host.OpenTableAsync(new TableOptions { Name = "t", Job = job, DelayBound = 2 });
                Dictionary<int, long> ahead = [];
                Task hosting = host.HostWorkersAsync(job, (worker, stop) => WorkAsync(cluster, host, table, worker, ahead, stop));
                foreach (int? bound in (int?[])[0, null])
                {
                    await cluster.Scheduler.Delay(400, CancellationToken.None);
                    await scheduler.SetDelayBoundAsync(table, bound);
                    Assert.Equal(bound, scheduler.DelayBoundOf(table));
                }

                await hosting;

                // Where nothing held them the quick ones ran away, and where something did they did not.
                Assert.True(ahead[-1] > 3, $"under no bound a worker was {ahead[-1]} iterations ahead of the slowest");
                Assert.InRange(ahead[2], 2, 3);
                Assert.InRange(ahead[0], 0, 1);
            },
            limitMs: 120_000);
    }

    [Fact]
    public void A_bound_needs_a_job_and_is_no_part_of_the_shape()
    {
        using var cluster = new SimCluster(17, servers: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirException alone = await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "t", DelayBound = 1 }));
                Assert.Equal((Status.Conflict, true), (alone.Status, alone.Message.Contains("needs the job", StringComparison.Ordinal)));
                await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.OpenTableAsync(new TableOptions { Name = "t", DelayBound = -1 }));
                WeirTable plain = await client.OpenTableAsync(new TableOptions { Name = "plain" });
                Assert.Null(client.DelayBoundOf(plain));
                Assert.Equal(Status.Conflict, (await Assert.ThrowsAsync<WeirException>(() => client.SetDelayBoundAsync(plain, 1))).Status);

                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable first = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job, DelayBound = 4 });
                await client.SetDelayBoundAsync(first, 1);
                WeirTable again = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job, DelayBound = 4 });
                Assert.Equal(1, client.DelayBoundOf(again));
                await client.DropTableAsync(first);
                Assert.Equal(Status.UnknownTable, (await Assert.ThrowsAsync<WeirException>(() => client.SetDelayBoundAsync(first, 0))).Status);
            },
            limitMs: 60_000);
    }

    private static async Task WorkAsync(SimCluster cluster, WeirClient host, WeirTable table, Worker worker, Dictionary<int, long> ahead, CancellationToken stop)
    {
        float[] counts = new float[Workers];
        while (worker.Clock < Iterations)
        {
            long t = worker.Clock + 1;
            int? before = host.DelayBoundOf(table);
            PullResult pulled = await worker.PullAsync(table, Counters, counts, stop);
            int? after = host.DelayBoundOf(table);
            if (before == after)
            {
                if (before is { } bound)
                {
                    Assert.All(counts, count => Assert.True(count >= t - bound - 1, $"a pull of iteration {t} under bound {bound} contains {count} iterations"));
                    Assert.InRange(pulled.MinimumClock, t - bound - 1, long.MaxValue);
                }

                ahead[before ?? -1] = Math.Max(ahead.GetValueOrDefault(before ?? -1), t - 1 - (long)counts.Min());
            }

            Task pushed = worker.PushAsync(table, new[] { (ulong)worker.Index }, new float[] { 1 }, stop);
            await worker.ClockAsync(stop);
            await pushed;
            await cluster.Scheduler.Delay(worker.Index == 0 ? 30 : 3, stop);
        }
    }
}
