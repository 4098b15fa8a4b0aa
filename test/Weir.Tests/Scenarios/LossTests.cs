using Weir.Client;
using Weir.Keys;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>Copies are single so far: a server's loss ends the run, with a word that says what was lost.</summary>
public class LossTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void The_loss_of_a_server_fails_calls_with_StateLost_which_names_it(int server)
    {
        using var cluster = new SimCluster(1, servers: 3);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            await client.PushAsync(table, Keys, new float[Keys.Length]);
            await cluster.Scheduler.Delay(300, CancellationToken.None);
            cluster.KillServer(server);
            WeirException lost = await Assert.ThrowsAsync<WeirException>(() => client.PushAsync(table, Keys, new float[Keys.Length]));
            Assert.Equal(Status.StateLost, lost.Status);
            Assert.Contains($"server:{server}", lost.Message);
            Assert.Contains("only copy of", lost.Message);
            lost = await Assert.ThrowsAsync<WeirException>(() => client.PullAsync(table, Keys, new float[Keys.Length]));
            Assert.Equal(Status.StateLost, lost.Status);
        });
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void The_loss_of_a_server_ends_the_hosting_of_workers(int server)
    {
        using var cluster = new SimCluster(2, servers: 3);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(50), () => cluster.KillServer(server));
            WeirException lost = await Assert.ThrowsAsync<WeirException>(() => client.HostWorkersAsync(job, async (worker, stop) =>
            {
                while (true)
                {
                    await worker.PullAsync(table, Keys, new float[Keys.Length], 1, stop);
                    Task push = worker.PushAsync(table, Keys, new float[Keys.Length], stop);
                    await worker.ClockAsync(stop);
                    await push;
                }
            }));
            Assert.Equal(Status.StateLost, lost.Status);
        }, limitMs: 60_000);
    }

    [Fact]
    public void A_call_to_a_cluster_that_is_not_there_names_the_address_and_gives_up()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.KillServer(0);
        cluster.Run(async () =>
        {
            WeirException nobody = await Assert.ThrowsAsync<WeirException>(() => cluster.ConnectAsync("a", new ClientOptions { ConnectMs = 2000 }));
            Assert.Equal(Status.Unreachable, nobody.Status);
            Assert.Contains("server:0", nobody.Message);
            Assert.Contains("2 s", nobody.Message);
        }, limitMs: 5000);
    }

    [Fact]
    public void A_pull_whose_deadline_passes_says_for_whom_it_waited_and_a_cancelled_one_is_cancelled()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { DeadlineMs = 3000 });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            using var cancel = new CancellationTokenSource();
            WeirException? late = null;
            bool cancelled = false;
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                if (worker.Index == 0)
                {
                    await worker.ClockAsync(stop);
                    late = await Assert.ThrowsAsync<WeirException>(() => worker.PullAsync(table, Keys, new float[Keys.Length], 0, stop));
                    Task<PullResult> pull = worker.PullAsync(table, Keys, new float[Keys.Length], 0, cancel.Token);
                    await cluster.Scheduler.Delay(100, stop);
                    cancel.Cancel();
                    await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pull);
                    cancelled = true;
                }
                else
                {
                    await cluster.Scheduler.Delay(10_000, stop);
                }
            });
            Assert.Equal(Status.DeadlineExceeded, late!.Status);
            Assert.Contains("waiting for worker 1, at clock 0 of 1", late.Message);
            Assert.True(cancelled);
        });
    }

    [Fact]
    public void Workers_with_different_numbers_of_iterations_do_not_wait_for_each_other_for_ever()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            foreach (bool aggregate in new[] { false, true })
            {
                Job job = await client.OpenJobAsync(new JobOptions { Name = $"j{aggregate}", Workers = 3 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = $"t{aggregate}", Job = job, Aggregate = aggregate });
                await client.HostWorkersAsync(job, async (worker, stop) =>
                {
                    while (worker.Clock < 3 * (worker.Index + 1))
                    {
                        await worker.PullAsync(table, Keys, new float[Keys.Length], 0, stop);
                        Task push = worker.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, stop);
                        await worker.ClockAsync(stop);
                        await push;
                    }
                });
                float[] sum = new float[1];
                await client.PullAsync(table, new ulong[] { 1 }, sum);
                Assert.Equal(18, sum[0]);
            }
        }, limitMs: 60_000);
    }
}
