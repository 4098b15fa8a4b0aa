using Weir.Keys;
using Weir.Server;
using Weir.Wire;

namespace Weir.Tests.Server;

public class PullPathTests
{
    private const ulong Key = 42;

    [Theory]
    [InlineData(5, 0, 4)]
    [InlineData(5, 1, 3)]
    [InlineData(5, 3, 1)]
    [InlineData(2, 1, 0)]
    public void A_pull_of_iteration_t_waits_for_clocks_of_exactly_t_minus_tau_minus_1_PS_15(long t, int tau, long needed)
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        Clock(node, group, 0, 100);
        if (needed > 0)
        {
            Clock(node, group, 1, needed - 1);
            Assert.Null(node.Pull(Key, group, t, tau));
            Clock(node, group, 1, needed);
            Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
        }

        Assert.Equal(Status.Acked, node.Pull(Key, group, t, tau)!.Value.Status);
    }

    [Fact]
    public void A_pull_without_a_bound_or_without_a_clock_waits_for_nobody_R28()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        Assert.NotNull(node.Pull(Key, group, 1000, PullItem.NoBound));
        Assert.NotNull(node.Pull(Key));
    }

    /// <summary>Nobody reads the answer, and nobody would say when to stop: 18,000 wide rows are gigabytes.</summary>
    [Fact]
    public void A_pull_that_waits_goes_with_its_link()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        node.OpenTable(group: group);
        Assert.Null(node.Pull(Key, group, 5, 0));
        Assert.Equal(1, node.Node.Counters.PullsWaiting);
        node.LinkDown();
        Assert.Equal(0, node.Node.Counters.PullsWaiting);
        Clock(node, group, 0, 4);
        Assert.Null(node.Pulled());
    }

    [Fact]
    public void A_pull_that_waited_too_long_says_for_whom()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(4);
        node.OpenTable(group: group);
        foreach (int worker in new[] { 0, 1, 2 })
        {
            Clock(node, group, (uint)worker, 21);
        }

        Clock(node, group, 3, 17);
        Assert.Null(node.Pull(Key, group, 22, 0, deadlineUs: 50_000));
        node.Now = node.Now.AfterMs(49);
        node.Tick();
        Assert.Null(node.Pulled());
        node.Now = node.Now.AfterMs(2);
        node.Tick();
        Assert.Equal((Status.DeadlineExceeded, 0, "waiting for worker 3, at clock 17 of 21"), node.Pulled()!.Value);
    }

    [Fact]
    public void Waiting_pulls_have_their_own_window_and_keep_no_push_or_clock_waiting_R27()
    {
        using var node = new NodeHarness(new ServerLimits { WaitingPulls = 3 });
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        for (int i = 0; i < 3; i++)
        {
            Assert.Null(node.Pull(Key, group, 2, 0));
        }

        Assert.Equal(Status.Busy, node.Pull(Key, group, 2, 0)!.Value.Status);
        Assert.Equal(Status.Acked, node.Push(node.SessionOf(group, 0), 1, new Seq(1, 0, 0), Key, 5).Status);
        Clock(node, group, 0, 1);
        Assert.Equal(3, node.Node.Counters.PullsWaiting);
        Clock(node, group, 1, 1);
        Assert.Equal(0, node.Node.Counters.PullsWaiting);
        Assert.Equal(5, node.Pulled()!.Value.Value);
    }

    /// <summary>A short frame may lie in a far larger buffer, and the buffer is what the node's memory holds.</summary>
    [Fact]
    public void Waiting_pulls_are_bounded_by_the_buffers_they_keep()
    {
        using var node = new NodeHarness(new ServerLimits { WaitingBytes = 1000 });
        uint group = node.OpenJob(1);
        node.OpenTable(group: group);
        Assert.Null(node.Pull(Key, group, 2, 0));
        Assert.Equal(Status.Busy, node.Pull(Key, group, 2, 0)!.Value.Status);
    }

    [Fact]
    public void Each_item_of_a_frame_waits_for_its_own_group()
    {
        using var node = new NodeHarness();
        uint slow = node.OpenJob(1);
        uint fast = node.OpenJob(1, "fast", 20);
        node.OpenTable();
        Clock(node, fast, 0, 9);
        node.Receive(FrameKind.Pull, new TwoItems(new NodeHarness.OneItem(node.Table, Key, slow, 5, 0), new NodeHarness.OneItem(node.Table, Key, fast, 5, 0)));
        Assert.Null(node.Pulled());
        Clock(node, slow, 0, 4);
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
    }

    private readonly record struct TwoItems(NodeHarness.OneItem First, NodeHarness.OneItem Second) : IBody
    {
        public int Bytes => 8 + (2 * (PullItem.Size + 8));

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(0);
            writer.Int32(2);
            First.WriteItem(ref writer);
            Second.WriteItem(ref writer);
        }
    }

    [Fact]
    public void A_clock_of_a_newer_map_does_not_count_R4()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        node.OpenTable(group: group);
        node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Process, 10, 1, 0, 0, [new ClockEntry(group, 0, 9, node.MapVersion + 1)]));
        Assert.Null(node.Pull(Key, group, 2, 0));
        Clock(node, group, 0, 1);
        Assert.NotNull(node.Pulled());
    }

    [Fact]
    public void A_finished_worker_holds_nobody_back_R8()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        Clock(node, group, 0, 9);
        Assert.Null(node.Pull(Key, group, 5, 0));
        node.Admin(FrameKind.EndSession, new EndSessionBody(node.SessionOf(group, 1), group, 1, 2));
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
    }

    private static void Clock(NodeHarness node, uint group, uint worker, long clock) =>
        node.Receive(FrameKind.Clock, new ClockBody([new ClockEntry(group, worker, clock, node.MapVersion)]));
}
