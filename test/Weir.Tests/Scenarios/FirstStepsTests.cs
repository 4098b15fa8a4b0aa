using Weir.Client;
using Weir.Host;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

public class FirstStepsTests
{
    private static readonly ulong[] Keys = [5, 3, ulong.MaxValue, 0, 3];

    [Fact]
    public void A_push_is_read_back_in_the_simulation()
    {
        using var cluster = new SimCluster(1, servers: 3);
        cluster.Run(async () => await PushAndPull(await cluster.ConnectAsync("a")));
    }

    [Fact]
    public async Task A_push_is_read_back_in_an_embedded_cluster()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync();
        await PushAndPull(client);
    }

    [Fact]
    public async Task A_push_is_read_back_over_tcp()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer first = await WeirHost.ServeAsync(new ServeOptions(), cancellation: stop);
        await using WeirServer second = await WeirHost.ServeAsync(new ServeOptions { Join = first.Address }, cancellation: stop);
        await using WeirClient client = await WeirHost.ConnectAsync([second.Address], cancellation: stop);
        await PushAndPull(client);
    }

    private static async Task PushAndPull(WeirClient client)
    {
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2, InitialValue = 0.5f });
        await client.PushAsync(table, Keys, new float[] { 1, 2, 3, 4, 5, 6, 7, 8, 10, 20 });
        float[] values = new float[12];
        PullResult result = await client.PullAsync(table, new ulong[] { 3, 99, 5, ulong.MaxValue, 0, 3 }, values);
        Assert.Equal([13.5f, 24.5f, 0.5f, 0.5f, 1.5f, 2.5f, 5.5f, 6.5f, 7.5f, 8.5f, 13.5f, 24.5f], values);
        Assert.Equal(4, result.Found);

        float[] pulled = new float[2];
        await client.PushPullAsync(table, new ulong[] { 99 }, new float[] { 1, 1 }, pulled);
        Assert.Equal([1.5f, 1.5f], pulled);
        await client.DeleteAsync(table, new ulong[] { 3, 1234 });
        await client.SetAsync(table, new ulong[] { 5 }, new float[] { 7, 8 });
        Dictionary<ulong, float[]> rows = [];
        await foreach (RowBatch batch in client.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Slice(i * 2, 2).ToArray());
            }
        }

        Assert.Equal(new ulong[] { 0, 5, 99, ulong.MaxValue }, rows.Keys.Order().ToArray());
        Assert.Equal([7, 8], rows[5]);
    }

    [Fact]
    public async Task A_job_runs_its_iterations_in_an_embedded_cluster()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync();
        await RunJobs(client);
    }

    [Fact]
    public void A_job_runs_its_iterations_in_the_simulation()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () => await RunJobs(await cluster.ConnectAsync("a")), limitMs: 20_000);
    }

    private static async Task RunJobs(WeirClient client)
    {
        foreach (bool aggregate in new[] { false, true })
        {
            Job job = await client.OpenJobAsync(new JobOptions { Name = $"job {aggregate}", Workers = 3 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = $"sums {aggregate}", Job = job, Aggregate = aggregate });
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                while (worker.Clock < 20)
                {
                    float[] value = new float[1];
                    await worker.PullAsync(table, new ulong[] { 1 }, value, 0, stop);
                    Assert.InRange(value[0], 3 * worker.Clock, aggregate ? 3 * worker.Clock : 3 * (worker.Clock + 1));
                    Task push = worker.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, stop);
                    await worker.ClockAsync(stop);
                    await push;
                }
            });
            float[] total = new float[1];
            await client.PullAsync(table, new ulong[] { 1 }, total);
            Assert.Equal(60, total[0]);
            await client.EndJobAsync(job);
        }
    }
}
