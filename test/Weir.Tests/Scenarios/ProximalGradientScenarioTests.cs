using System.Runtime.InteropServices;
using Weir.Client;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.ProximalGradient;
using Weir.Sim;
using Weir.Tests.Learn;
using Weir.World;

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

    [Fact]
    public void Delay_0_gives_the_same_bits_for_1_2_and_3_servers_and_after_a_process_died_PS_14()
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, delay: 0, deathAt: null, out _);
        Assert.NotEmpty(undisturbed);
        Assert.Equal(undisturbed, Train(seed: 2, servers: 2, delay: 0, deathAt: null, out _));
        Assert.Equal(undisturbed, Train(seed: 3, servers: 3, delay: 0, deathAt: null, out _));
        var rng = new Rng(71);
        int redone = 0;
        for (ulong seed = 10; seed < 22; seed++)
        {
            byte[] disturbed = Train(seed, servers: 1 + rng.Below(3), delay: 0, deathAt: 1 + rng.Below(20L), out bool superseded);
            redone += superseded ? 1 : 0;
            Assert.True(undisturbed.AsSpan().SequenceEqual(disturbed), $"seed {seed}: a run in which a process died ends in other bits");
        }

        Assert.True(redone >= 3, $"in {redone} of 12 runs the death fell into an iteration that had to be redone; at least 3 are needed");
    }

    /// <summary>Whoever takes a worker over leaves out the same, from the rows alone; what is left out is what would have stayed zero.</summary>
    [Fact]
    public void With_the_KKT_filter_the_same_weights_are_left_out_on_any_servers_and_after_a_process_died_PS_28()
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, delay: 0, deathAt: null, out _, passes: 10, kkt: true);
        Assert.Equal(undisturbed, Train(seed: 3, servers: 3, delay: 0, deathAt: null, out _, passes: 10, kkt: true));
        for (ulong seed = 10; seed < 14; seed++)
        {
            Assert.True(undisturbed.AsSpan().SequenceEqual(Train(seed, servers: 2, delay: 0, deathAt: (long)(seed * 3), out _, passes: 10, kkt: true)), $"seed {seed}: a run in which a process died ends in other bits");
        }

        Assert.NotEmpty(Train(seed: 2, servers: 2, delay: 2, deathAt: 9, out _, passes: 10, kkt: true));
    }

    [Fact]
    public void The_KKT_filter_comes_to_the_same_objective_with_fewer_keys()
    {
        (double plain, long all) = Objective(kkt: false);
        (double filtered, long some) = Objective(kkt: true);
        Assert.InRange(filtered, plain * 0.999, plain * 1.001);
        Assert.InRange(some, 1, all * 0.6);

        static (double Objective, long Keys) Objective(bool kkt)
        {
            using var cluster = new SimCluster(1, 2);
            var data = new GeneratedRows(200, 60, 6, seed: 5);
            var training = new ProximalGradientTraining(
                new ProximalGradientOptions { Blocks = 6, Passes = 40, DelayBound = 1, Step = 0.4, L1 = 6, Kkt = kkt }, data, data.Scan());
            (double, long) result = default;
            cluster.Run(async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "train", Workers = 2 });
                WeirTable table = await client.OpenTableAsync(training.Table("weights", job));
                await client.HostWorkersAsync(job, (worker, stop) => training.RunThroughAsync(worker, table, long.MaxValue, null, stop));
                long keys = client.Counters.Keys;
                LinearModel model = (await training.ReadModelAsync(client, table)).Model;
                double loss = (await Evaluation.MeasureAsync(data, model.LookupAsync, model.InterceptKey)).LogLoss;
                result = (training.Objective(model, loss), keys);
            });
            return result;
        }
    }

    [Fact]
    public void Any_delay_comes_to_the_end_through_deaths_and_stays_within_its_bound_PS_17()
    {
        foreach (int delay in new[] { 1, 3 })
        {
            Assert.NotEmpty(Train(seed: (ulong)delay, servers: 2, delay, deathAt: null, out _));
            Assert.NotEmpty(Train(seed: (ulong)delay, servers: 3, delay, deathAt: 7, out _));
        }
    }

    private static byte[] Train(ulong seed, int servers, int delay, long? deathAt, out bool superseded, int passes = 4, bool kkt = false)
    {
        using var cluster = new SimCluster(seed, servers);
        var data = new GeneratedRows(200, 60, 6, seed: 5);
        var training = new ProximalGradientTraining(
            new ProximalGradientOptions { Blocks = 5, Passes = passes, DelayBound = delay, Step = 0.4, L1 = kkt ? 4 : 0.5, Kkt = kkt }, data, data.Scan());
        byte[] bytes = [];
        cluster.Run(async () =>
        {
            WeirClient[] hosts = [await cluster.ConnectAsync("a"), await cluster.ConnectAsync("b")];
            WeirClient reader = await cluster.ConnectAsync("reader");
            Job job = await reader.OpenJobAsync(new JobOptions { Name = "train", Workers = 2, Hosts = 2 });
            WeirTable table = await reader.OpenTableAsync(training.Table("weights", job));
            bool dies = deathAt is not null;
            var rng = new Rng(seed);
            void Report(WeirClient host, TrainingStep step)
            {
                Assert.InRange(step.Staleness, 0, delay);
                if (dies && host == hosts[1] && step.Iteration == deathAt)
                {
                    dies = false;
                    cluster.Scheduler.At(cluster.Scheduler.Now.AfterUs(rng.Below(2000L)), () => cluster.Kill(host));
                }
            }

            Task[] hosting = [.. hosts.Select(h => h.HostWorkersAsync(job, (worker, stop) => training.RunThroughAsync(worker, table, long.MaxValue, step => Report(h, step), stop)))];
            await (deathAt is null ? Task.WhenAll(hosting) : hosting[0]);
            LinearModel model = (await training.ReadModelAsync(reader, table)).Model;
            bytes = [.. MemoryMarshal.AsBytes(model.Keys), .. MemoryMarshal.AsBytes(model.Weights)];
        });
        superseded = cluster.Nodes.Any(node => node.Counters.Superseded > 0);
        return bytes;
    }
}
