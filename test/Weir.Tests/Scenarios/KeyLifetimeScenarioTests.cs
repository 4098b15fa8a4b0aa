using Weir.Client;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// Rows that expire and keys that are admitted late, in simulated clusters under loss, duplicates, reordering and the death of a process:
/// no row goes before its time and all go after it, and no push counts twice or not at all.
/// </summary>
public class KeyLifetimeScenarioTests
{
    private const int Workers = 3;
    private const int Iterations = 14;
    private const int ExpireAfterClocks = 4;
    private const ulong Hot = 1UL << 60;

    [Fact]
    public void Rows_expire_when_all_workers_are_past_them_and_never_before_in_30_seeds()
    {
        int deaths = 0;
        for (ulong seed = 1; seed <= 30; seed++)
        {
            bool dies = seed % 2 == 0;
            deaths += Run(seed, dies, new TableOptions { Name = "t", ExpireAfterClocks = ExpireAfterClocks }, WorkAsync, CheckAsync) ? 1 : 0;
        }

        Assert.True(deaths >= 3, $"in {deaths} runs a death made somebody redo an iteration; at least 3 are needed");

        async Task WorkAsync(Worker worker, WeirTable table, CancellationToken stop)
        {
            float[] values = new float[ExpireAfterClocks];
            while (worker.Clock < Iterations)
            {
                // Everybody is at most at this worker's clock and those it has pushed since then are young enough to stay.
                long iteration = worker.Clock + 1;
                ulong[] young = [.. Enumerable.Range(0, ExpireAfterClocks).Select(back => iteration - 1 - back).Where(at => at > 0).Select(at => Cold(worker.Index, at))];
                if (young.Length > 0)
                {
                    PullResult pulled = await worker.PullAsync(table, young, values.AsMemory(0, young.Length), delayBound: null, stop);
                    Assert.Equal(young.Length, pulled.Found);
                    Assert.All(values.AsSpan(0, young.Length).ToArray(), value => Assert.Equal(1, value));
                }

                Task push = worker.PushAsync(table, new[] { Hot, Cold(worker.Index, iteration) }, new float[] { 1, 1 }, stop);
                await worker.ClockAsync(stop);
                await push;
            }
        }

        static async Task CheckAsync(WeirClient reader, WeirTable table)
        {
            float[] hot = new float[1];
            await reader.PullAsync(table, new[] { Hot }, hot);
            Assert.Equal(Workers * Iterations, hot[0]);
            for (int worker = 0; worker < Workers; worker++)
            {
                for (long iteration = 1; iteration <= Iterations; iteration++)
                {
                    int found = (await reader.PullAsync(table, new[] { Cold(worker, iteration) }, hot)).Found;
                    Assert.True(
                        found == (Iterations - iteration > ExpireAfterClocks ? 0 : 1),
                        $"the row that worker {worker} pushed in iteration {iteration} of {Iterations} {(found == 1 ? "is still there" : "is gone")}");
                }
            }
        }
    }

    [Fact]
    public void A_key_has_the_sum_of_its_pushes_from_the_admitting_one_on_in_30_seeds()
    {
        const int Sightings = 5;
        int deaths = 0;
        for (ulong seed = 1; seed <= 30; seed++)
        {
            deaths += Run(seed, seed % 2 == 0, new TableOptions { Name = "t", AdmitAfterSightings = Sightings }, WorkAsync, CheckAsync) ? 1 : 0;
        }

        Assert.True(deaths >= 3, $"in {deaths} runs a death made somebody redo an iteration; at least 3 are needed");

        static async Task WorkAsync(Worker worker, WeirTable table, CancellationToken stop)
        {
            while (worker.Clock < Iterations)
            {
                Task push = worker.PushAsync(table, new[] { Hot, Cold(worker.Index, worker.Clock / (Sightings - 1)) }, new float[] { 1, 1 }, stop);
                await worker.ClockAsync(stop);
                await push;
            }
        }

        static async Task CheckAsync(WeirClient reader, WeirTable table)
        {
            float[] hot = new float[1];
            await reader.PullAsync(table, new[] { Hot }, hot);
            Assert.Equal((Workers * Iterations) - (Sightings - 1), hot[0]);
            ulong[] cold = [.. Enumerable.Range(0, Workers).SelectMany(worker => Enumerable.Range(0, Iterations).Select(at => Cold(worker, at)))];
            Assert.Equal(0, (await reader.PullAsync(table, cold, new float[cold.Length])).Found);
        }
    }

    private static ulong Cold(int worker, long number) => ((ulong)worker << 32) | (ulong)number;

    /// <summary>Runs a job to the clock of its last iteration, checks before its workers finish, and says whether anything was redone.</summary>
    private static bool Run(
        ulong seed, bool dies, TableOptions options, Func<Worker, WeirTable, CancellationToken, Task> work, Func<WeirClient, WeirTable, Task> check)
    {
        try
        {
            var rng = new Rng(seed);
            using var cluster = new SimCluster(seed, servers: 1 + rng.Below(3));
            cluster.Run(() => RunAsync(cluster, rng, dies, options, work, check), limitMs: 300_000);
            return cluster.Nodes.Any(node => node.Counters.Superseded > 0);
        }
        catch (Exception fault)
        {
            throw new InvalidOperationException($"seed {seed}: {fault.Message}", fault);
        }
    }

    private static async Task RunAsync(
        SimCluster cluster, Rng rng, bool dies, TableOptions options, Func<Worker, WeirTable, CancellationToken, Task> work, Func<WeirClient, WeirTable, Task> check)
    {
        WeirClient[] hosts = [await cluster.ConnectAsync("a"), await cluster.ConnectAsync("b")];
        WeirClient reader = await cluster.ConnectAsync("reader");
        Job job = await reader.OpenJobAsync(new JobOptions { Name = "job", Workers = Workers, Hosts = hosts.Length });
        WeirTable table = await reader.OpenTableAsync(options with { Job = job });
        cluster.Network.Faults = new SimFaults { LossPerMille = rng.Below(50), DuplicatePerMille = rng.Below(100), ReorderPerMille = rng.Below(100) };
        int arrived = 0;
        var mayFinish = new TaskCompletionSource();
        Task[] hosting = [.. hosts.Select(host => host.HostWorkersAsync(job, async (worker, stop) =>
        {
            await work(worker, table, stop);
            arrived |= 1 << worker.Index;
            await mayFinish.Task;
        }))];
        if (dies)
        {
            // Before it has begun, a job waits for as many hosts as it was promised.
            while (Array.TrueForAll(cluster.Nodes[0].Map!.Job(job.Group)!.Workers, worker => worker.Process == 0))
            {
                await cluster.Scheduler.Delay(1, CancellationToken.None);
            }

            cluster.Scheduler.At(cluster.Scheduler.Now.AfterUs(rng.Below(40_000L)), () => cluster.Kill(hosts[1]));
        }

        while (arrived != (1 << Workers) - 1)
        {
            await cluster.Scheduler.Delay(10, CancellationToken.None);
            Task? failed = Array.Find(hosting, host => host.IsFaulted);
            await (failed ?? Task.CompletedTask);
        }

        // Clocks come to every server with the heartbeats, and what they have made old goes within some ticks.
        cluster.Network.Faults = SimFaults.None;
        await cluster.Scheduler.Delay(3000, CancellationToken.None);
        await check(reader, table);
        mayFinish.SetResult();
        await hosting[0];
    }
}
