using System.Globalization;
using Weir.Client;
using Weir.Sim;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>
/// What passes between servers for what workers push, counted in whole frames: k times the pushes where every push goes down the chain, k/n of them where n
/// workers' contributions are summed at the head and the sum goes down once (replication after aggregation, Li et al. 2014, section 4.4; PS-34).
/// </summary>
public class ReplicationBytesTests
{
    private const int Keys = 6400;
    private const int Width = 16;
    private const int Iterations = 5;

    [Theory]
    [InlineData(false, 1, 4)]
    [InlineData(false, 2, 8)]
    [InlineData(true, 1, 4)]
    [InlineData(true, 1, 16)]
    [InlineData(true, 2, 8)]
    [InlineData(true, 2, 32)]
    public void Between_servers_pass_k_times_the_pushes_and_with_n_workers_that_aggregate_k_of_n_of_them(bool aggregates, int replicas, int workers)
    {
        using var cluster = new SimCluster(1, servers: 3, replicas: replicas);

        // As TCP: an entry that overtakes the one before it would be sent again.
        cluster.Network.Faults = new SimFaults { MinDelayUs = 100, MaxDelayUs = 100 };
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            Job job = await client.OpenJobAsync(new JobOptions { Name = "job", Workers = workers });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width, Job = job, Aggregate = aggregates });
            ulong[] keys = [.. Enumerable.Range(0, Keys).Select(key => (ulong)key)];
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                float[] values = new float[Keys * Width];
                for (int iteration = 0; iteration < Iterations; iteration++)
                {
                    Task push = worker.PushAsync(table, keys, values, stop);
                    await worker.ClockAsync(stop);
                    await push;
                }
            });
        });
        double pushed = cluster.Tally.BytesOfKind[(byte)FrameKind.Push], passed = cluster.Tally.BytesOfKind[(byte)FrameKind.Entries];
        double expected = aggregates ? (double)replicas / workers : replicas;
        TestContext.Current.TestOutputHelper?.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"aggregates {aggregates}, k {replicas}, n {workers}: {passed / pushed:0.0000} of the pushes' bytes between servers; k/n {expected:0.0000}"));
        Assert.InRange(passed / pushed, expected * 0.9, expected * 1.25);
    }
}
