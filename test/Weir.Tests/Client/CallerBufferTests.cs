using Weir.Client;
using Weir.Keys;
using Weir.Sim;

namespace Weir.Tests.Client;

/// <summary>A call's buffers are its caller's again from the moment that the call has ended, however it ended: what is yet to be sent is copied before.</summary>
public class CallerBufferTests
{
    private const int Width = 16;

    // Some five frames, of which the window lets one go.
    private static readonly ulong[] ManyKeys = [.. Enumerable.Range(0, 60_000).Select(i => (ulong)i)];
    private static readonly ClientOptions OneFrame = new() { WindowFrames = 1, DeadlineMs = 3_000 };

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_push_that_is_given_up_is_copied_before_its_caller_goes_on(bool byDeadline)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
            var values = new WatchedBuffer<float>(ManyKeys.Length * Width);
            using var cancel = new CancellationTokenSource();
            Task push = client.PushAsync(table, ManyKeys, values.Memory, byDeadline ? default : cancel.Token);
            values.HasEnded = () => push.IsCompleted;
            await cluster.Scheduler.Delay(byDeadline ? 3_100 : 100, CancellationToken.None);
            cancel.Cancel();
            await EndsAsync(push, byDeadline);
            cluster.Network.Faults = SimFaults.None;
            await AllArrivesAsync(client, table);
            Assert.Equal(0, values.LooksAfterTheEnd);
        }, limitMs: 60_000);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Both_halves_of_a_push_pull_let_go_of_their_buffers_before_its_caller_goes_on(bool byDeadline)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
            var pushed = new WatchedBuffer<float>(ManyKeys.Length * Width);
            var pulled = new WatchedBuffer<float>(ManyKeys.Length * Width);
            using var cancel = new CancellationTokenSource();
            Task call = client.PushPullAsync(table, ManyKeys, pushed.Memory, pulled.Memory, cancel.Token);
            pushed.HasEnded = pulled.HasEnded = () => call.IsCompleted;
            await cluster.Scheduler.Delay(byDeadline ? 4_000 : 100, CancellationToken.None);
            cancel.Cancel();
            await EndsAsync(call, byDeadline);
            cluster.Network.Faults = SimFaults.None;
            await AllArrivesAsync(client, table);
            Assert.Equal(0, pushed.LooksAfterTheEnd);
            Assert.Equal(0, pulled.LooksAfterTheEnd);
        }, limitMs: 60_000);
    }

    /// <summary>The pull half of a PushPull fails by itself: of its caller's push half the rest is still to be sent.</summary>
    [Fact]
    public void A_push_pull_whose_pull_half_fails_has_copied_its_push_half()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
            var pushed = new WatchedBuffer<float>(ManyKeys.Length * Width);
            Task call = client.PushPullAsync(table, ManyKeys, pushed.Memory, new float[ManyKeys.Length * Width]);
            pushed.HasEnded = () => call.IsCompleted;
            client.Core.Pulls.Fail(new WeirException(Status.Ended, "the pull half fails"), _ => true);
            await Assert.ThrowsAsync<WeirException>(() => call);
            cluster.Network.Faults = SimFaults.None;
            await AllArrivesAsync(client, table);
            Assert.Equal(0, pushed.LooksAfterTheEnd);
        }, limitMs: 60_000);
    }

    private static async Task<(WeirClient Client, WeirTable Table)> OpenAsync(SimCluster cluster)
    {
        WeirClient client = await cluster.ConnectAsync("a", OneFrame);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width });
        await client.PushAsync(table, new ulong[] { 1 }, new float[Width]);
        return (client, table);
    }

    private static async Task EndsAsync(Task call, bool byDeadline)
    {
        if (byDeadline)
        {
            Assert.Equal(Status.DeadlineExceeded, (await Assert.ThrowsAsync<WeirException>(() => call)).Status);
        }
        else
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call);
        }
    }

    /// <summary>What was cut is sent though nobody waits for it: what the test watches for would come now.</summary>
    private static async Task AllArrivesAsync(WeirClient client, WeirTable table)
    {
        await client.State.Timers.Delay(10_000, CancellationToken.None);
        PullResult read = await client.PullAsync(table, ManyKeys, new float[ManyKeys.Length * Width]);
        Assert.Equal(ManyKeys.Length, read.Found);
    }
}
