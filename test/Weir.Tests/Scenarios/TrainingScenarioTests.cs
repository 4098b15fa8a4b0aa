using Weir.Client;
using Weir.Host;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>The real training loop on the real client and nodes, simulated: with a delay bound of 0 the weights are the same bit for bit.</summary>
public class TrainingScenarioTests
{
    private const int Workers = 4;

    [Fact]
    public void Delay_0_gives_the_same_bits_for_1_2_3_and_8_servers_PS_14()
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, deathAt: null);
        foreach (int servers in (int[])[2, 3, 8])
        {
            Assert.Equal(undisturbed, Train((ulong)servers, servers, deathAt: null));
        }
    }

    [Fact]
    public void Delay_0_gives_the_same_bits_after_servers_were_killed_in_any_iteration_PS_14()
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, deathAt: null);
        for (ulong seed = 80; seed < 90; seed++)
        {
            byte[] disturbed = Train(seed, servers: 4, deathAt: null, serverDeathAt: 1 + (long)(seed % 10));
            Assert.True(undisturbed.AsSpan().SequenceEqual(disturbed), $"seed {seed}: a run in which a server died ends in other bits");
        }
    }

    [Fact]
    public void Delay_0_gives_the_same_bits_after_a_process_died_in_any_iteration()
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, deathAt: null);
        var rng = new Rng(99);
        int redone = 0;
        for (ulong seed = 10; seed < 40; seed++)
        {
            byte[] disturbed = Train(seed, servers: 1 + rng.Below(4), deathAt: 1 + rng.Below(10L), redone: () => redone++);
            Assert.True(undisturbed.AsSpan().SequenceEqual(disturbed), $"seed {seed}: a run in which a process died ends in other bits");
        }

        Assert.True(redone >= 10, $"in {redone} of 30 runs the death fell into an iteration that had to be redone; at least 10 are needed");
    }

    /// <summary>The choices of the rounding are of the worker, the iteration and the push (R14): a redo makes the same ones, and so does a cluster of another size.</summary>
    [Theory]
    [InlineData(Filters.RoundToInt8 | Filters.Lossless)]
    [InlineData(Filters.RoundToBFloat16)]
    public void Delay_0_gives_the_same_bits_with_rounded_values_for_1_2_and_4_servers_and_after_a_process_died(Filters filters)
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, deathAt: null, filters: filters);
        Assert.NotEqual(Train(seed: 1, servers: 1, deathAt: null), undisturbed);
        Assert.Equal(undisturbed, Train(seed: 2, servers: 2, deathAt: null, filters: filters));
        Assert.Equal(undisturbed, Train(seed: 3, servers: 4, deathAt: null, filters: filters));
        var rng = new Rng(97);
        int redone = 0;
        for (ulong seed = 100; seed < 112; seed++)
        {
            byte[] disturbed = Train(seed, servers: 1 + rng.Below(4), deathAt: 1 + rng.Below(10L), redone: () => redone++, filters: filters);
            Assert.True(undisturbed.AsSpan().SequenceEqual(disturbed), $"seed {seed}: a run in which a process died ends in other bits");
        }

        Assert.True(redone >= 3, $"in {redone} of 12 runs the death fell into an iteration that had to be redone; at least 3 are needed");
    }

    [Fact]
    public void Delay_0_gives_the_same_bits_after_a_living_process_was_counted_gone()
    {
        byte[] undisturbed = Train(seed: 1, servers: 1, deathAt: null);
        var rng = new Rng(98);
        int redone = 0;
        for (ulong seed = 50; seed < 70; seed++)
        {
            byte[] disturbed = Train(seed, servers: 1 + rng.Below(4), deathAt: 1 + rng.Below(10L), redone: () => redone++, lives: true);
            Assert.True(undisturbed.AsSpan().SequenceEqual(disturbed), $"seed {seed}: a run in which a process was cut off ends in other bits");
        }

        Assert.True(redone >= 5, $"in {redone} of 20 runs an iteration had to be redone; at least 5 are needed");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(8)]
    public async Task Delay_0_gives_the_same_bits_embedded_as_simulated_PS_14(int servers)
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = servers });
        await using WeirClient client = await cluster.ConnectAsync();
        Assert.Equal(Train(seed: 1, servers: 3, deathAt: null), await TrainAsync(client));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Delay_0_gives_the_same_bits_over_TCP_as_simulated_PS_14(int servers)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer first = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        List<WeirServer> others = [];
        try
        {
            while (others.Count < servers - 1)
            {
                others.Add(await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6, Join = first.Address }, cancellation: stop));
            }

            await using WeirClient client = await WeirHost.ConnectAsync([first.Address], cancellation: stop);
            Assert.Equal(servers, (await client.GetStatusAsync(stop)).Servers.Count);
            Assert.Equal(Train(seed: 1, servers: 3, deathAt: null), await TrainAsync(client));
        }
        finally
        {
            foreach (WeirServer other in others)
            {
                await other.DisposeAsync();
            }
        }
    }

    [Fact]
    public void Any_delay_learns_through_losses_duplicates_reorder_and_deaths()
    {
        for (ulong seed = 1; seed <= 10; seed++)
        {
            var rng = new Rng(seed);
            var faults = new SimFaults { LossPerMille = rng.Below(40), DuplicatePerMille = rng.Below(40), ReorderPerMille = rng.Below(40) };
            byte[] model = Train(seed, 1 + rng.Below(4), 1 + rng.Below(10L), delay: 1 + rng.Below(3), faults);
            Assert.True(model.Length > 0, $"seed {seed} ends with a model");
        }
    }

    private static async Task<byte[]> TrainAsync(WeirClient client)
    {
        LogisticTraining training = Training();
        Job job = await client.OpenJobAsync(new JobOptions { Name = "train", Workers = Workers });
        WeirTable table = await client.OpenTableAsync(training.Table("weights", job));
        await client.HostWorkersAsync(job, (worker, stop) => training.RunAsync(worker, table, null, stop));
        return Bytes((await training.ReadModelAsync(client, table)).Model);
    }

    private static LogisticTraining Training(int delay = 0)
    {
        var log = new ClickLog(seed: 5, trainRows: 1200, testRows: 10);
        var options = new LogisticOptions { Passes = 2, BatchRows = 60, DelayBound = delay };
        return new LogisticTraining(options, log.Train, log.Train.Scan(CancellationToken.None));
    }

    private static byte[] Train(
        ulong seed, int servers, long? deathAt, int delay = 0, SimFaults? faults = null, Action? redone = null, bool lives = false, long? serverDeathAt = null, Filters filters = Filters.None)
    {
        using SimCluster cluster = serverDeathAt is null
            ? new SimCluster(seed, servers)
            : new SimCluster(seed, servers, replicas: 1, limits: ServerLimits.FastFailover);
        byte[] bytes = [];
        cluster.Run(async () =>
        {
            LogisticTraining training = Training(delay);
            var options = new ClientOptions { Filters = filters };
            WeirClient[] hosts = [await cluster.ConnectAsync("a", options), await cluster.ConnectAsync("b", options)];
            WeirClient reader = await cluster.ConnectAsync("reader");
            Job job = await reader.OpenJobAsync(new JobOptions { Name = "train", Workers = Workers, Hosts = 2 });
            WeirTable table = await reader.OpenTableAsync(training.Table("weights", job));
            cluster.Network.Faults = faults ?? SimFaults.None;
            bool dies = deathAt is not null;
            var rng = new Rng(seed);
            bool serverDies = serverDeathAt is not null;
            void Report(WeirClient host, TrainingStep step)
            {
                if (serverDies && step.Iteration == serverDeathAt)
                {
                    serverDies = false;
                    cluster.Scheduler.At(cluster.Scheduler.Now.AfterUs(rng.Below(2000L)), () => cluster.KillServer(1 + rng.Below(servers - 1)));
                }

                if (dies && host == hosts[1] && step.Iteration == deathAt)
                {
                    // Its gradient is about to be pushed: the death falls somewhere into the iteration.
                    dies = false;
                    Instant time = cluster.Scheduler.Now.AfterUs(rng.Below(2000L));
                    if (!lives)
                    {
                        cluster.Scheduler.At(time, () => cluster.Kill(host));
                        return;
                    }

                    // The register hears nothing of it, other servers do: its old sessions push on beside the new ones.
                    cluster.Scheduler.At(time, () => cluster.Cut(host, 0, toServer: true, toProcess: false));
                    cluster.Scheduler.At(time.AfterMs(7000), () => cluster.Cut(host, 0, false, false));
                }
            }

            Task[] hosting = [.. hosts.Select(h => h.HostWorkersAsync(job, (worker, stop) => training.RunAsync(worker, table, step => Report(h, step), stop)))];
            if (deathAt is not null && !lives)
            {
                await hosting[0];
            }
            else
            {
                await Task.WhenAll(hosting);
            }

            bytes = Bytes((await training.ReadModelAsync(reader, table)).Model);
        });
        if (cluster.Nodes.Any(n => n.Counters.Superseded > 0))
        {
            redone?.Invoke();
        }

        return bytes;
    }

    private static byte[] Bytes(LinearModel model)
    {
        byte[] bytes = new byte[model.Keys.Length * 12];
        System.Runtime.InteropServices.MemoryMarshal.AsBytes(model.Keys).CopyTo(bytes);
        System.Runtime.InteropServices.MemoryMarshal.AsBytes(model.Weights).CopyTo(bytes.AsSpan(model.Keys.Length * 8));
        return bytes;
    }
}
