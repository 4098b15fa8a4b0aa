using Weir.Client;
using Weir.Keys;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>Calls that once waited for ever, or sent what their callers had already taken back.</summary>
public class StuckCallTests
{
    private const int Many = 120_000;

    private static readonly ulong[] ManyKeys = [.. Enumerable.Range(0, Many).Select(i => (ulong)i)];

    /// <summary>Held parts free the window, not the memory (R19): an iteration larger than the room must still close.</summary>
    [Theory]
    [InlineData(1, 2)]
    [InlineData(3, 1)]
    public void An_iteration_larger_than_the_room_for_pending_pushes_still_closes(int workers, int pushes)
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { PendingBytes = 1 << 20 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = workers });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job, Aggregate = true });
            float[] ones = new float[Many];
            Array.Fill(ones, 1);
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                while (worker.Clock < 2)
                {
                    Task[] pushed = [.. Enumerable.Range(0, pushes).Select(_ => worker.PushAsync(table, ManyKeys, ones, stop))];
                    await worker.ClockAsync(stop);
                    await Task.WhenAll(pushed);
                }
            });
            float[] sum = new float[1];
            await client.PullAsync(table, new ulong[] { 7 }, sum);
            Assert.Equal(2 * workers * pushes, sum[0]);
        }, limitMs: 60_000);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_push_that_waits_for_room_is_never_read_after_its_call_has_ended(bool byDeadline)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { PendingBytes = 1 << 20, DeadlineMs = 4000 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            await client.PushAsync(table, new ulong[] { 1 }, new float[] { 1 });
            cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
            Task fills = client.PushAsync(table, ManyKeys, new float[Many]);
            float[] values = [1];
            using var cancel = new CancellationTokenSource();
            Task waits = client.PushAsync(table, new ulong[] { Many + 1 }, values, cancel.Token);
            await cluster.Scheduler.Delay(byDeadline ? 4100 : 500, CancellationToken.None);
            cancel.Cancel();
            await Assert.ThrowsAnyAsync<Exception>(() => waits);
            values[0] = 999;
            cluster.Network.Faults = SimFaults.None;
            await Task.WhenAny(fills);
            await cluster.Scheduler.Delay(3000, CancellationToken.None);
            float[] read = new float[1];
            await client.PullAsync(table, new ulong[] { Many + 1 }, read);
            Assert.Equal(0, read[0]);
            await client.PushAsync(table, new ulong[] { 1 }, new float[] { 1 });
        }, limitMs: 60_000);
    }

    /// <summary>What a worker pushed keeps its place in the iteration: it is sent as it was when its call ended.</summary>
    [Fact]
    public void A_worker_s_cancelled_push_is_sent_as_it_was()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { PendingBytes = 1 << 20 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                float[] values = [5];
                using var cancel = new CancellationTokenSource();
                Task fills = worker.PushAsync(table, ManyKeys, new float[Many], stop);
                Task waits = worker.PushAsync(table, new ulong[] { Many + 1 }, values, cancel.Token);
                cancel.Cancel();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waits);
                values[0] = 999;
                await worker.ClockAsync(stop);
                await fills;
            });
            float[] read = new float[1];
            await client.PullAsync(table, new ulong[] { Many + 1 }, read);
            Assert.Equal(5, read[0]);
        }, limitMs: 60_000);
    }

    [Fact]
    public void Room_that_a_failed_session_took_is_given_back()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { PendingBytes = 1 << 20, DeadlineMs = 20_000 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            WeirTable other = await client.OpenTableAsync(new TableOptions { Name = "other" });
            await client.PushAsync(other, new ulong[] { 1 }, new float[] { 1 });
            using var stopped = new CancellationTokenSource();
            Task[] pushes = [];
            Task hosting = client.HostWorkersAsync(job, (worker, stop) =>
            {
                cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
                pushes = [.. Enumerable.Range(0, 3).Select(_ => worker.PushAsync(table, ManyKeys, new float[Many], stop))];
                throw new InvalidOperationException("the worker's code fails with pushes under way");
            });
            await Assert.ThrowsAsync<InvalidOperationException>(() => hosting);
            await Task.WhenAny(Task.WhenAll(pushes), cluster.Scheduler.Delay(100, CancellationToken.None));
            Assert.All(pushes, p => Assert.True(p.IsFaulted));
            cluster.Network.Faults = SimFaults.None;
            for (int i = 0; i < 3; i++)
            {
                await client.PushAsync(other, ManyKeys, new float[Many]);
            }
        }, limitMs: 60_000);
    }

    /// <summary>A process stopped for longer than the failure timeout, or cut off: its sessions end, and it begins as a new host.</summary>
    [Fact]
    public void The_only_host_of_a_job_that_was_counted_gone_hosts_its_workers_again()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            HashSet<(int, long)> begun = [];
            cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(100), () => cluster.Network.Faults = new SimFaults { LossPerMille = 1000 });
            cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(6500), () => cluster.Network.Faults = SimFaults.None);
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                while (worker.Clock < 4)
                {
                    begun.Add((worker.Index, worker.Clock));
                    await cluster.Scheduler.Delay(40, stop);
                    Task push = worker.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, stop);
                    await worker.ClockAsync(stop);
                    await push;
                }
            });
            float[] sum = new float[1];
            await client.PullAsync(table, new ulong[] { 1 }, sum);
            Assert.Equal(8, sum[0]);
            Assert.DoesNotContain(cluster.Nodes[0].Map!.Job(job.Group)!.Workers, w => !w.IsFinished);
        }, limitMs: 60_000);
    }

    [Fact]
    public void Closing_a_client_ends_its_hosting_and_its_later_calls()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            Task hosting = client.HostWorkersAsync(job, async (worker, stop) =>
            {
                while (true)
                {
                    await worker.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, stop);
                }
            });
            await cluster.Scheduler.Delay(100, CancellationToken.None);
            await client.DisposeAsync();
            await Assert.ThrowsAnyAsync<Exception>(() => hosting);
            await Assert.ThrowsAnyAsync<Exception>(() => client.PullAsync(table, new ulong[] { 1 }, new float[1]));
            await Assert.ThrowsAnyAsync<Exception>(() => client.PushAsync(table, new ulong[] { 1 }, new float[1]));
        }, limitMs: 10_000);
    }

    [Fact]
    public void The_end_of_an_iteration_has_a_deadline_and_says_what_it_waits_for()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { DeadlineMs = 3000 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job, Aggregate = true });
            WeirException? late = null;
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                if (worker.Index == 1)
                {
                    await cluster.Scheduler.Delay(10_000, stop);
                    return;
                }

                Task push = worker.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, stop);
                late = await Assert.ThrowsAsync<WeirException>(() => worker.ClockAsync(stop));
                await Assert.ThrowsAsync<WeirException>(() => push);
            });
            Assert.Equal(Status.DeadlineExceeded, late!.Status);
            Assert.Contains("iteration 1", late.Message);
            Assert.Contains("held until all workers have sent theirs", late.Message);
        }, limitMs: 30_000);
    }

    [Fact]
    public void An_iteration_that_waits_for_memory_says_so_and_closes_when_there_is_some()
    {
        using var cluster = new SimCluster(1, servers: 1, memoryBytes: 8 << 20);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { DeadlineMs = 8000 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable other = await client.OpenTableAsync(new TableOptions { Name = "other", Width = 16 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 16, Job = job, Aggregate = true });
            await client.PushAsync(other, ManyKeys.AsMemory(0, 40_000), new float[16 * 40_000]);
            WeirException? late = null;
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                Task push = worker.PushAsync(table, ManyKeys.AsMemory(0, 60_000), new float[16 * 60_000], stop);
                await Assert.ThrowsAsync<WeirException>(() => worker.ClockAsync(stop));
                late = await Assert.ThrowsAsync<WeirException>(() => push);
                await client.DropTableAsync(other, stop);
                while (worker.Clock == 0)
                {
                    await cluster.Scheduler.Delay(100, stop);
                }
            });
            Assert.Equal(Status.DeadlineExceeded, late!.Status);
            Assert.Contains("memory limit", late.Message);
        }, limitMs: 60_000);
    }

    [Fact]
    public void A_scan_of_a_node_that_cannot_read_the_map_yet_waits_for_it()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            cluster.CutServers(0, 1, isCut: true);
            cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(2500), () => cluster.CutServers(0, 1, isCut: false));
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            int rows = 0;
            await foreach (RowBatch batch in client.ScanAsync(table))
            {
                rows += batch.Keys.Length;
            }

            Assert.Equal(0, rows);
        }, limitMs: 60_000);
    }

    [Fact]
    public void A_job_whose_promised_hosts_do_not_come_says_so_and_gives_up()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { StartMs = 4000 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "job", Workers = 3, Hosts = 2 });
            WeirException missing = await Assert.ThrowsAsync<WeirException>(() => client.HostWorkersAsync(job, (_, _) => Task.CompletedTask));
            Assert.Equal(Status.Unreachable, missing.Status);
            Assert.Contains("job job needs 2 processes to host its workers; 1 came within 4 s", missing.Message);
        }, limitMs: 10_000);
    }

    /// <summary>An acknowledgement under a newer map came before the news of that map, which was lost (first seen in a simulation).</summary>
    [Fact]
    public void A_client_that_rests_on_a_newer_map_than_it_has_still_gets_that_map()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            WeirClient other = await cluster.ConnectAsync("b");
            await client.OpenTableAsync(new TableOptions { Name = "t" });
            cluster.Cut(client, 0, toServer: false, toProcess: true);
            await other.OpenTableAsync(new TableOptions { Name = "second" });
            ulong newest = cluster.Nodes[0].Map!.Version;
            await cluster.Scheduler.Delay(100, CancellationToken.None);
            Assert.NotEqual(newest, client.State.Map!.Version);
            client.State.RestsOn(newest);
            cluster.Cut(client, 0, toServer: false, toProcess: false);
            using var patience = new CancellationTokenSource();
            cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(3000), patience.Cancel);
            await client.Core.MapAtLeastAsync(newest, patience.Token);
        }, limitMs: 10_000);
    }

    [Fact]
    public void A_dropped_table_fails_the_pushes_to_it_and_no_others()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            WeirTable dropped = await client.OpenTableAsync(new TableOptions { Name = "dropped" });
            WeirTable stays = await client.OpenTableAsync(new TableOptions { Name = "stays" });
            await client.PushAsync(stays, ManyKeys.AsMemory(0, 1000), new float[1000]);
            await client.DropTableAsync(dropped);
            ulong session = cluster.Nodes[0].Map!.NextSession;
            for (int i = 0; i < 5; i++)
            {
                Task good = client.PushAsync(stays, ManyKeys.AsMemory(0, 1000), new float[1000]);
                Task bad = client.PushAsync(dropped, ManyKeys.AsMemory(0, 1000), new float[1000]);
                Task better = client.PushAsync(stays, ManyKeys.AsMemory(0, 1000), new float[1000]);
                Assert.Equal(Status.UnknownTable, (await Assert.ThrowsAsync<WeirException>(() => bad)).Status);
                await Task.WhenAll(good, better);
            }

            Assert.Equal(session, cluster.Nodes[0].Map!.NextSession);
        }, limitMs: 10_000);
    }

    /// <summary>The push's number is the middle of its identity: where it wrapped, every later push would be taken for an older one's redo.</summary>
    [Fact]
    public void A_session_of_more_than_2_to_the_32_pushes_loses_none()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            await client.PushAsync(table, new ulong[] { 1 }, new float[] { 1 });
            client.Core.Pushes.Sessions.Single().Pushes = uint.MaxValue - 2;
            for (int i = 0; i < 6; i++)
            {
                await client.PushAsync(table, new ulong[] { 1 }, new float[] { 1 });
            }

            float[] sum = new float[1];
            await client.PullAsync(table, new ulong[] { 1 }, sum);
            Assert.Equal(7, sum[0]);
        }, limitMs: 10_000);
    }

    /// <summary>Deletes have streams of their own so that Full cannot keep them waiting (R12): they make the room that pushes wait for.</summary>
    [Fact]
    public void Deletes_pass_pushes_that_wait_for_memory_at_a_server()
    {
        using var cluster = new SimCluster(1, servers: 1, memoryBytes: 8 << 20);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { PendingBytes = 1 << 20, DeadlineMs = 30_000 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 16 });
            float[] values = new float[16 * 20_000];
            List<Task> pushes = [];
            for (int block = 0; block < 8; block++)
            {
                pushes.Add(client.PushAsync(table, Enumerable.Range(block * 20_000, 20_000).Select(i => (ulong)i).ToArray(), values));
            }

            await cluster.Scheduler.Delay(2000, CancellationToken.None);
            int first = pushes.FindIndex(p => !p.IsCompleted);
            Assert.True(first > 0, "some fit and some wait for memory");
            for (int block = 0; block < 8; block++)
            {
                await client.DeleteAsync(table, Enumerable.Range(block * 20_000, 20_000).Select(i => (ulong)i).ToArray());
                await cluster.Scheduler.Delay(500, CancellationToken.None);
            }

            await Task.WhenAll(pushes);
        }, limitMs: 60_000);
    }
}
