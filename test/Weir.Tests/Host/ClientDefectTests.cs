using Weir.Client;
using Weir.Host;
using Weir.Keys;
using Weir.Tests.Client;

namespace Weir.Tests.Host;

/// <summary>An exception out of a client must not leave its calls waiting for ever: all fail, and say why.</summary>
public class ClientDefectTests
{
    private const int Width = 64;

    // Some twenty frames: the first is written by the caller, the others as acknowledgements come.
    private static readonly ulong[] ManyKeys = [.. Enumerable.Range(0, 60_000).Select(i => (ulong)i)];
    private static readonly ClientOptions OneFrame = new() { WindowFrames = 1 };

    /// <summary>A push fails it where a frame is written, on whichever thread; a pull where an answer comes, in its loop.</summary>
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public async Task All_calls_of_a_client_that_fails_fail_and_say_why(bool embedded, bool pulls)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer? server = embedded ? null : await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        await using EmbeddedCluster? cluster = embedded ? WeirHost.StartEmbedded() : null;
        await using WeirClient client = embedded ? await cluster!.ConnectAsync(OneFrame, stop) : await WeirHost.ConnectAsync([server!.Address], OneFrame, cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width }, stop);
        await client.PushAsync(table, new ulong[] { 1 }, new float[Width], stop);
        bool freed = false;
        var values = new WatchedBuffer<float>(ManyKeys.Length * Width);

        Memory<float> memory = values.Memory;

        // As a caller does that frees its buffer before the call has ended: whoever needs it next meets that.
        values.Looked = () => ObjectDisposedException.ThrowIf(pulls || Volatile.Read(ref freed), values);
        Task call = pulls ? client.PullAsync(table, ManyKeys, memory, stop) : client.PushAsync(table, ManyKeys, memory, stop);
        Volatile.Write(ref freed, true);
        WeirException failed = await Assert.ThrowsAsync<WeirException>(() => call.WaitAsync(TimeSpan.FromSeconds(30), stop));
        Assert.Equal(Status.Ended, failed.Status);
        Assert.Contains("this client has stopped", failed.Message);
        Assert.IsType<ObjectDisposedException>(failed.InnerException);
        WeirException later = await Assert.ThrowsAsync<WeirException>(async () => await client.PullAsync(table, new ulong[] { 1 }, new float[Width], stop));
        Assert.Same(failed, later);
        Assert.Same(failed, await Assert.ThrowsAsync<WeirException>(() => client.PushAsync(table, new ulong[] { 1 }, new float[Width], stop)));
        Assert.Same(failed, await Assert.ThrowsAsync<WeirException>(() => client.Core.Over.Task));
    }
}
