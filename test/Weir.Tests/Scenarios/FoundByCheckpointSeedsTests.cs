using Weir.Checkpoints;
using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>What seeds of <see cref="ClusterRun"/> with checkpoints once broke, each played in its shortest form.</summary>
public class FoundByCheckpointSeedsTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
    private static readonly float[] Ones = [.. Keys.Select(_ => 1f)];

    /// <summary>R24: the answers to the recorded clocks were taken for those to a worker's own, and each server was waited for until it was given up.</summary>
    [Fact]
    public void Seed_12_a_restore_hears_that_servers_have_heard_the_clocks()
    {
        using var cluster = new SimCluster(12, servers: 3);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { ConnectMs = 10_000 });
                MemoryCheckpoints store = await SaveAsync(client);
                long began = cluster.Scheduler.Now.Microseconds;
                await client.RestoreCheckpointAsync(store, "one");
                Assert.InRange((cluster.Scheduler.Now.Microseconds - began) / 1000, 0, 5_000);
            },
            limitMs: 120_000);
    }

    /// <summary>R24: a server that dies while it is told the clocks is waited for until the map has it no more, and not for as long as a server is looked for.</summary>
    [Fact]
    public void Seed_309_a_restore_waits_for_a_dead_server_only_until_it_is_out_of_the_map()
    {
        using var cluster = new SimCluster(309, servers: 4, replicas: 1, limits: ServerLimits.FastFailover);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { ConnectMs = 60_000 });
                MemoryCheckpoints store = await SaveAsync(client);
                long began = cluster.Scheduler.Now.Microseconds;
                bool isDead = false;
                cluster.Network.Delays = (_, to, frame) =>
                {
                    if ((FrameKind)frame.Span[5] == FrameKind.Clock && to == cluster.Servers[3] && !isDead)
                    {
                        isDead = true;
                        cluster.Scheduler.At(cluster.Scheduler.Now, () => cluster.KillServer(3));
                    }

                    return 0;
                };
                await client.RestoreCheckpointAsync(store, "one");
                Assert.True(isDead);
                Assert.InRange((cluster.Scheduler.Now.Microseconds - began) / 1000, 0, 20_000);
            },
            limitMs: 200_000);
    }

    /// <summary>R8: who had asked for a join, and does nothing else, was cut off as the map came that decided it, and never looked for it.</summary>
    [Fact]
    public void Seed_435_who_misses_the_decision_of_a_join_looks_for_it()
    {
        using var cluster = new SimCluster(435, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), asker = await cluster.ConnectAsync("asker");
                Job job = await host.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                using var stop = new CancellationTokenSource();
                Task hosting = host.HostWorkersAsync(job, (worker, end) => ClockAsync(cluster, worker, stop.Token));
                await cluster.Scheduler.Delay(100, CancellationToken.None);
                cluster.Network.Delays = (_, _, frame) => (FrameKind)frame.Span[5] == FrameKind.Begun ? 200_000 : 0;
                Task<JoinedWorkers> joining = asker.AddWorkersAsync(job, 1);
                while (asker.State.Map!.Job(job.Group)!.Workers.Length == 1)
                {
                    await cluster.Scheduler.Delay(1, CancellationToken.None);
                }

                Cut(true);
                await cluster.Scheduler.Delay(1_000, CancellationToken.None);
                Cut(false);
                Assert.Equal(1, (await joining).FirstWorker);
                stop.Cancel();
                await hosting;

                void Cut(bool isCut)
                {
                    cluster.Cut(asker, 0, isCut, isCut);
                    cluster.Cut(asker, 1, isCut, isCut);
                }
            },
            limitMs: 60_000);
    }

    /// <summary>R24: the checkpoint knew fewer workers than a process hosted by then, which looked for the others in the map and broke.</summary>
    [Fact]
    public void Seed_2005_a_process_hosts_workers_whose_join_a_restore_undoes()
    {
        using var cluster = new SimCluster(2005, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), client = await cluster.ConnectAsync("a");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                var store = new MemoryCheckpoints();
                using var stop = new CancellationTokenSource();
                Task hosting = host.HostWorkersAsync(job, (worker, end) => ClockAsync(cluster, worker, stop.Token));
                await client.SaveCheckpointAsync(store, "one");
                await client.AddWorkersAsync(job, 1);
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                Assert.Equal(2, host.State.Map!.Job(job.Group)!.Workers.Length);
                await client.RestoreCheckpointAsync(store, "one");
                await cluster.Scheduler.Delay(500, CancellationToken.None);
                Assert.Single(host.State.Map!.Job(job.Group)!.Workers);
                stop.Cancel();
                await hosting;
            },
            limitMs: 60_000);
    }

    /// <summary>
    /// R24: a coordinator that was cut off after the checkpoint was open asked for the clocks when it was back. They lay above the iteration that tables which aggregate
    /// were cut at, and what lies between would have been redone by nobody.
    /// </summary>
    [Fact]
    public void Seed_620212_the_clocks_in_a_checkpoint_are_those_of_before_it_was_open()
    {
        using var cluster = new SimCluster(620212, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), coordinator = await cluster.ConnectAsync("coordinator");
                Job job = await host.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable table = await host.OpenTableAsync(new TableOptions { Name = "t", Job = job, Aggregate = true });
                using var stop = new CancellationTokenSource();
                Task hosting = host.HostWorkersAsync(job, async (worker, end) =>
                {
                    while (!stop.IsCancellationRequested)
                    {
                        Task pushed = worker.PushAsync(table, Keys, Ones, CancellationToken.None);
                        await worker.ClockAsync(CancellationToken.None);
                        await pushed;
                        await cluster.Scheduler.Delay(10, CancellationToken.None);
                    }
                });
                await cluster.Scheduler.Delay(300, CancellationToken.None);
                cluster.Network.Delays = (_, _, frame) => (FrameKind)frame.Span[5] == FrameKind.Status ? 400_000 : 0;
                var store = new MemoryCheckpoints();
                await coordinator.SaveCheckpointAsync(store, "one");
                Assert.Null(Manifest.TryDecode(store.Objects[$"one/{Manifest.Name}"], out Manifest manifest));
                long cut = Assert.Single(manifest.Cuts).Iteration;
                Assert.InRange(Assert.Single(manifest.Clocks).Clock, 1, cut);
                Assert.InRange(manifest.Map.Job(job.Group)!.LoadedThrough, cut, cut + 1);
                stop.Cancel();
                await hosting;
            },
            limitMs: 60_000);
    }

    /// <summary>
    /// R8, R24: tables that do not aggregate are cut where their walk finds them, which may be above the clocks; a worker left within, and others did its share of
    /// the data once more (seed 620170).
    /// </summary>
    [Fact]
    public void Seed_620170_who_leaves_after_a_restore_leaves_above_all_that_was_loaded()
    {
        using var cluster = new SimCluster(620170, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), client = await cluster.ConnectAsync("a");
                Job job = await host.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
                WeirTable table = await host.OpenTableAsync(new TableOptions { Name = "t", Job = job });
                long through = long.MaxValue;
                Task hosting = host.HostWorkersAsync(job, async (worker, end) =>
                {
                    while (worker.Clock < through && !end.IsCancellationRequested)
                    {
                        Task pushed = worker.PushAsync(table, Keys, Ones, end);
                        await Task.WhenAll(pushed, worker.ClockAsync(end));
                        await cluster.Scheduler.Delay(10, end);
                    }
                });
                await cluster.Scheduler.Delay(100, CancellationToken.None);

                // The walk takes its time: what it finds is far above the clocks.
                cluster.Network.Delays = (_, _, frame) => (FrameKind)frame.Span[5] == FrameKind.AdminReply ? 400_000 : 0;
                var store = new MemoryCheckpoints();
                await client.SaveCheckpointAsync(store, "one");
                cluster.Network.Delays = null;
                Assert.Null(Manifest.TryDecode(store.Objects[$"one/{Manifest.Name}"], out Manifest manifest));
                long loaded = manifest.Map.Job(job.Group)!.LoadedThrough;
                Assert.True(loaded > manifest.Clocks.Max(c => c.Clock) + 10);
                await client.RestoreCheckpointAsync(store, "one");
                await client.RemoveWorkerAsync(job, 0);
                Assert.InRange(client.State.Map!.Job(job.Group)!.Workers[0].Through, loaded, long.MaxValue - 1);
                through = 0;
                await hosting;
            },
            limitMs: 120_000);
    }

    [Fact]
    public void A_join_that_is_under_way_when_the_cluster_is_restored_says_so()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient host = await cluster.ConnectAsync("host"), client = await cluster.ConnectAsync("a"), asker = await cluster.ConnectAsync("asker");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                var store = new MemoryCheckpoints();
                using var stop = new CancellationTokenSource();
                Task hosting = host.HostWorkersAsync(job, (worker, end) => ClockAsync(cluster, worker, stop.Token));
                await client.SaveCheckpointAsync(store, "one");
                cluster.Network.Delays = (_, _, frame) => (FrameKind)frame.Span[5] == FrameKind.Begun ? -1 : 0;
                Task<JoinedWorkers> joining = asker.AddWorkersAsync(job, 1);
                await cluster.Scheduler.Delay(300, CancellationToken.None);
                await client.RestoreCheckpointAsync(store, "one");
                Assert.Equal(Status.Restored, (await Assert.ThrowsAsync<WeirException>(() => joining)).Status);
                stop.Cancel();
                await hosting;
            },
            limitMs: 60_000);
    }

    /// <summary>A checkpoint with a worker's clock in it.</summary>
    private static async Task<MemoryCheckpoints> SaveAsync(WeirClient client)
    {
        Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
        await client.HostWorkersAsync(job, async (worker, stop) =>
        {
            await worker.PushAsync(table, Keys, Ones, stop);
            await worker.ClockAsync(stop);
        });
        var store = new MemoryCheckpoints();
        await client.SaveCheckpointAsync(store, "one");
        return store;
    }

    private static async Task ClockAsync(SimCluster cluster, Worker worker, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await worker.ClockAsync(CancellationToken.None);
            await cluster.Scheduler.Delay(10, CancellationToken.None);
        }
    }
}
