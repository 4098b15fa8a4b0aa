using Weir.Client;
using Weir.Keys;
using Weir.Sim;
using Weir.Wire;

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

    /// <summary>A session that fails with frames yet to be written ends its calls, and looks at their buffers no more.</summary>
    [Fact]
    public void A_push_of_a_session_that_fails_is_not_looked_at_after_its_call_has_ended()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { WindowFrames = 1 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width });
            await client.PushAsync(table, new ulong[] { 1 }, new float[Width]);
            var values = new WatchedBuffer<float>(ManyKeys.Length * Width);
            cluster.KillServer(1);
            Task push = client.PushAsync(table, ManyKeys, values.Memory);
            values.HasEnded = () => push.IsCompleted;
            Assert.Equal(Status.StateLost, (await Assert.ThrowsAsync<WeirException>(() => push)).Status);
            Assert.All(client.State.Links, node => Assert.Empty(node.Waiting));
            await cluster.Scheduler.Delay(5_000, CancellationToken.None);
            Assert.Equal(0, values.LooksAfterTheEnd);
        }, limitMs: 100_000);
    }

    [Fact]
    public void A_push_to_a_table_that_is_dropped_is_not_looked_at_after_its_call_has_ended()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            var values = new WatchedBuffer<float>(ManyKeys.Length * Width);
            Task dropped = client.DropTableAsync(table);
            Task push = client.PushAsync(table, ManyKeys, values.Memory);
            values.HasEnded = () => push.IsCompleted;
            Assert.Equal(Status.UnknownTable, (await Assert.ThrowsAsync<WeirException>(() => push)).Status);
            await dropped;
            await cluster.Scheduler.Delay(5_000, CancellationToken.None);
            Assert.Equal(0, values.LooksAfterTheEnd);
        }, limitMs: 60_000);
    }

    /// <summary>The list of recent cuts and other calls hold the same cut: given back twice, it would be cleared under them.</summary>
    [Fact]
    public void A_call_of_a_failed_session_gives_its_cut_back_once_though_it_is_cancelled_too()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            var session = new PushSession(77, 0, 0) { Failure = new WeirException(Status.Ended, "failed") };
            KeySlices cut = KeySlices.Cut(ManyKeys).Retain();
            PushCall call = client.Core.Pushes.Push(session, table, cut, default, PartOperation.Delete, client.State.Now.AfterMs(1000), null);
            client.Core.Pushes.Cancel(call, new CancellationToken(canceled: true));
            call.LetGo();
            Assert.Equal(ManyKeys.Length, cut.Rows);
            Assert.NotEmpty(cut.Keys);
            cut.Dispose();
            Assert.Empty(cut.Keys);
        }, limitMs: 60_000);
    }

    [Fact]
    public void A_cut_that_meets_a_lost_segment_is_given_back()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            (WeirClient client, WeirTable table) = await OpenAsync(cluster);
            cluster.KillServer(1);
            while (client.State.Map!.Members.Length > 1)
            {
                await cluster.Scheduler.Delay(1_000, CancellationToken.None);
                await client.ReadMapAsync(5_000, CancellationToken.None);
            }

            var session = new PushSession(77, 0, 0);
            client.Core.Pushes.Add(session);
            KeySlices cut = KeySlices.Cut(ManyKeys.AsSpan(0, 1000)).Retain();
            PushCall call = client.Core.Pushes.Push(session, table, cut, default, PartOperation.Delete, client.State.Now.AfterMs(1000), null);
            Assert.Equal(Status.StateLost, (await Assert.ThrowsAsync<WeirException>(() => call.Task)).Status);
            cut.Dispose();
            Assert.Empty(cut.Keys);
        }, limitMs: 100_000);
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
