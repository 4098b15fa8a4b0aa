using System.Diagnostics;
using Weir.Client;
using Weir.Host;

namespace Weir.Tests.Host;

/// <summary>What a request allocates once all buffers exist. Run alone: the runtime counts the bytes of the whole process.</summary>
[Collection(nameof(AllocationTests))]
[CollectionDefinition(nameof(AllocationTests), DisableParallelization = true)]
public class AllocationTests
{
    /// <summary>Less than the smallest object of the runtime, 24 bytes.</summary>
    private const double NoObject = 22;

    private const double TaskBytes = 300;

    private const double PushPullBytes = 800;

    [Theory]
    [InlineData(1, false)]
    [InlineData(1000, false)]
    [InlineData(1, true)]
    [InlineData(1000, true)]
    public async Task A_server_allocates_nothing_for_a_request(int keys, bool ofJob)
    {
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: TestContext.Current.CancellationToken);
        using var peer = new RawPeer(server.Address, keys, ofJob);
        Assert.InRange(BytesOf(peer.Push), 0, NoObject);
        Assert.InRange(BytesOf(peer.Pull), 0, NoObject);
    }

    /// <summary>
    /// Server and client in one, however many keys there are and whatever the filters: a push or a pull takes the call's task and its source, a
    /// PushPull those of both halves and of the two together. A token that may cancel them adds nothing.
    /// </summary>
    [Theory]
    [InlineData(1, false, Filters.None)]
    [InlineData(1000, false, Filters.None)]
    [InlineData(1, true, Filters.None)]
    [InlineData(1000, true, Filters.None)]
    [InlineData(1000, true, Filters.Lossless)]
    [InlineData(1000, true, Filters.Lossless | Filters.RoundToInt8)]
    public async Task A_call_allocates_its_task_and_no_more(int keys, bool cancellable, Filters filters)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        await using WeirClient client = await WeirHost.ConnectAsync([server.Address], new ClientOptions { Filters = filters }, cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        using var cancel = new CancellationTokenSource();
        CancellationToken token = cancellable ? cancel.Token : CancellationToken.None;
        ulong[] names = [.. Enumerable.Range(0, keys).Select(key => (ulong)key)];
        float[] values = new float[keys], pulled = new float[keys];
        Assert.InRange(BytesOf(() => client.PushAsync(table, names, values, token).GetAwaiter().GetResult()), 1, TaskBytes);
        Assert.InRange(BytesOf(() => client.PullAsync(table, names, pulled, token).GetAwaiter().GetResult()), 1, TaskBytes);
        Assert.InRange(BytesOf(() => client.PushPullAsync(table, names, values, pulled, token).GetAwaiter().GetResult()), 1, PushPullBytes);
    }

    // The least of some rounds: what a request makes, every round has; what happens beside it, not every one. The loops tick whether or not there
    // are requests: what they allocate by the second is taken off, so that the figure does not grow where the machine is slow.
    private static double BytesOf(Action request)
    {
        const int Rounds = 20;
        const int Requests = 200;
        double bytesPerMs = IdleBytesPerMs();
        double least = double.MaxValue;
        for (int round = 0; round < Rounds; round++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            var elapsed = Stopwatch.StartNew();
            for (int i = 0; i < Requests; i++)
            {
                request();
            }

            double idle = bytesPerMs * elapsed.Elapsed.TotalMilliseconds;
            least = Math.Min(least, Math.Max(0, GC.GetTotalAllocatedBytes(precise: true) - before - idle) / Requests);
        }

        return least;
    }

    // The least again: too little taken off only makes the test stricter.
    private static double IdleBytesPerMs()
    {
        double least = double.MaxValue;
        for (int round = 0; round < 5; round++)
        {
            long before = GC.GetTotalAllocatedBytes(precise: true);
            var elapsed = Stopwatch.StartNew();

            // What is measured is what the process allocates while nobody does anything, this thread included.
            Thread.Sleep(100);
            least = Math.Min(least, (GC.GetTotalAllocatedBytes(precise: true) - before) / elapsed.Elapsed.TotalMilliseconds);
        }

        return least;
    }
}
