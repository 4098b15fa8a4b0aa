using System.Globalization;
using Weir.Client;
using Weir.Server;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>Checkpoints while everything goes on, and what comes of loading them (design R24).</summary>
public class CheckpointTests
{
    /// <summary>How many seeds a run tries: 30, or as many as WEIR_SEEDS says.</summary>
    private static int Seeds =>
        int.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out int seeds) ? Math.Max(30, seeds) : 30;

    [Fact]
    public void What_is_loaded_is_a_prefix_and_every_push_stands_once_at_the_end_in_30_seeds_and_every_schedule_was_hit()
    {
        Dictionary<string, int> hit = [];
        for (ulong seed = 1; seed <= (ulong)Seeds; seed++)
        {
            using CheckpointRun run = Run(seed);
            foreach ((string what, bool was) in new (string, bool)[]
            {
                ("a death while a checkpoint is open", run.DiedWhileOpen), ("workers change while a checkpoint is open", run.ChangedWhileOpen),
                ("redo superseded", run.Superseded > 0), ("a segment read anew", run.ReadAnew),
                ("a row saved before it changed", run.SavedRows),
            })
            {
                hit[what] = hit.GetValueOrDefault(what) + (was ? 1 : 0);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", hit.Select(h => $"{h.Key}: {h.Value}")));

        // A segment is read anew where its head changes within the few milliseconds of its walk: too rare to ask for.
        Assert.All(hit.Where(h => h.Key != "a segment read anew"), h => Assert.True(h.Value >= 1, $"'{h.Key}' was hit in {h.Value} of {Seeds} seeds"));
    }

    /// <summary>
    /// The head dies before its segments are read and after an iteration above the one agreed on has closed: who leads now cannot tell how the table
    /// stood, and what it does tell must not pass for that. The checkpoint is begun anew.
    /// </summary>
    [Fact]
    public void A_checkpoint_is_begun_anew_where_a_new_head_has_gone_beyond_its_iteration()
    {
        var store = new MemoryCheckpoints();
        ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
        using var cluster = new SimCluster(1, servers: 3, replicas: 1, limits: new ServerLimits { NodeTimeoutMs = 1000 });
        HashSet<ulong> opened = [];
        cluster.Scheduler.Stepped = () => _ = cluster.Nodes[0].Map?.Checkpoint is { } open && opened.Add(open.Id);
        cluster.Run(async () =>
        {
            WeirClient host = await cluster.ConnectAsync("host"), coordinator = await cluster.ConnectAsync("coordinator");
            Job job = await host.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await host.OpenTableAsync(new TableOptions { Name = "t", Job = job, Aggregate = true });
            using var stop = new CancellationTokenSource();
            Task hosting = host.HostWorkersAsync(
                job,
                async (worker, _) =>
                {
                    while (!stop.IsCancellationRequested)
                    {
                        Task push = worker.PushAsync(table, keys, keys.Select(_ => 1f).ToArray(), CancellationToken.None);
                        await worker.ClockAsync(CancellationToken.None);
                        await push;
                    }
                });
            await cluster.Scheduler.Delay(100, CancellationToken.None);
            cluster.Cut(coordinator, 1, toServer: true, toProcess: true);
            Task<CheckpointSummary> saving = coordinator.SaveCheckpointAsync(store, "one");
            await cluster.Scheduler.Delay(300, CancellationToken.None);
            Assert.False(saving.IsCompleted);
            cluster.KillServer(1);
            await saving;
            stop.Cancel();
            await hosting;
        });
        Assert.True(opened.Count > 1);
        Assert.Null(Weir.Checkpoints.Manifest.TryDecode(store.Objects["one/manifest"], out Weir.Checkpoints.Manifest manifest));
        using var other = new SimCluster(2, servers: 1);
        other.Run(async () =>
        {
            WeirClient client = await other.ConnectAsync("c");
            await client.RestoreCheckpointAsync(store, "one");
            WeirTable loaded = await client.OpenTableAsync(new TableOptions { Name = "t", Job = await client.FindJobAsync("j"), Aggregate = true });
            float[] read = new float[keys.Length];
            await client.PullAsync(loaded, keys, read);
            Assert.All(read, r => Assert.Equal(manifest.Cuts.Single().Iteration, r));
        });
    }

    /// <summary>
    /// The job ends after the checkpoint was opened and before a server's segments are read. Its worker had pushed in an iteration that was not clocked,
    /// which it does again after a restore: what it had pushed must still be known (design R7).
    /// </summary>
    [Fact]
    public void Last_pushes_of_a_job_that_ends_while_a_checkpoint_is_open_are_not_forgotten()
    {
        var store = new MemoryCheckpoints();
        ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)];
        using (var cluster = new SimCluster(1, servers: 2))
        {
            cluster.Run(async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), coordinator = await cluster.ConnectAsync("coordinator"), reader = await cluster.ConnectAsync("reader");
                Job job = await reader.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable table = await reader.OpenTableAsync(new TableOptions { Name = "t", Job = job });
                var pushed = new TaskCompletionSource();
                Task hosting = host.HostWorkersAsync(job, async (worker, stop) =>
                {
                    for (int t = 1; t <= 4; t++)
                    {
                        await worker.PushAsync(table, keys, ones, stop);
                        await (t < 4 ? worker.ClockAsync(stop) : Task.CompletedTask);
                    }

                    pushed.SetResult();
                    await Task.Delay(Timeout.Infinite, stop);
                });
                await pushed.Task;
                await cluster.Scheduler.Delay(300, CancellationToken.None);
                cluster.Cut(coordinator, 1, toServer: true, toProcess: true);
                Task<CheckpointSummary> saving = coordinator.SaveCheckpointAsync(store, "one");
                await cluster.Scheduler.Delay(100, CancellationToken.None);
                Assert.False(saving.IsCompleted);
                await reader.EndJobAsync(job);
                await cluster.Scheduler.Delay(300, CancellationToken.None);
                cluster.Cut(coordinator, 1, toServer: false, toProcess: false);
                Assert.Equal(3, (await saving).LeastClock);
                await Task.WhenAny(hosting);
            });
        }

        using var other = new SimCluster(2, servers: 3);
        other.Run(async () =>
        {
            WeirClient client = await other.ConnectAsync("c");
            await client.RestoreCheckpointAsync(store, "one");
            Job job = await client.FindJobAsync("j");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                Assert.Equal(3, worker.Clock);
                await worker.PushAsync(table, keys, ones, stop);
                await worker.ClockAsync(stop);
            });
            float[] read = new float[keys.Length];
            await client.PullAsync(table, keys, read);
            Assert.All(read, r => Assert.Equal(4f, r));
        });
    }

    [Fact]
    public void One_seed_by_hand()
    {
        if (ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_ONE_SEED"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            using CheckpointRun run = Run(seed);
        }
    }

    private static CheckpointRun Run(ulong seed)
    {
        var run = new CheckpointRun(seed);
        try
        {
            run.Run();
            return run;
        }
        catch (Exception failure)
        {
            throw new InvalidOperationException($"seed {seed} ({run.Describe()}): {failure.Message}", failure);
        }
    }
}
