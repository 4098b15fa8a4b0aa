using Weir.Keys;
using Weir.Wire;

namespace Weir.Tests.Server;

public class PushPathTests
{
    private const ulong Key = 42;

    [Fact]
    public void A_duplicate_is_acknowledged_and_changes_nothing_R11_R13()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        Assert.Equal(Status.Acked, node.Push(session, 1, new Seq(0, 0, 0), Key, 5).Status);
        Assert.Equal(Status.Acked, node.Push(session, 1, new Seq(0, 0, 0), Key, 5).Status);
        Assert.Equal(5, node.Pull(Key)!.Value.Value);
        Assert.Equal(1, node.Node.Counters.Duplicates);
    }

    [Fact]
    public void A_part_out_of_order_is_answered_with_the_last_n_and_changes_nothing_R11()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        node.Push(session, 1, new Seq(0, 0, 0), Key, 5);
        PartReply gap = node.Push(session, 3, new Seq(0, 2, 0), Key, 7);
        Assert.Equal((Status.Gap, 1UL), (gap.Status, gap.Value));
        Assert.Equal(Status.Acked, node.Push(session, 2, new Seq(0, 1, 0), Key, 1).Status);
        Assert.Equal(Status.Acked, node.Push(session, 3, new Seq(0, 2, 0), Key, 7).Status);
        Assert.Equal(13, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void A_redo_of_what_stands_is_superseded_and_the_new_session_goes_on_behind_it_R11()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        ulong old = node.SessionOf(group, 0);
        node.Push(old, 1, new Seq(1, 0, 0), Key, 1);
        node.Push(old, 2, new Seq(1, 1, 0), Key, 2);
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        ulong redo = node.SessionOf(group, 0);
        Assert.NotEqual(old, redo);
        Assert.Equal(Status.Superseded, node.Push(redo, 1, new Seq(1, 0, 0), Key, 1).Status);
        Assert.Equal(Status.Superseded, node.Push(redo, 2, new Seq(1, 1, 0), Key, 2).Status);
        Assert.Equal(Status.Acked, node.Push(redo, 3, new Seq(1, 2, 0), Key, 4).Status);
        Assert.Equal(Status.Acked, node.Push(redo, 2, new Seq(1, 1, 0), Key, 2).Status);
        Assert.Equal(7, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void A_push_of_an_ended_or_unknown_session_changes_nothing_R7()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        node.Push(session, 1, new Seq(0, 0, 0), Key, 5);
        node.Admin(FrameKind.EndSession, new EndSessionBody(session, 0, 0, 0));
        Assert.Equal(Status.Ended, node.Push(session, 2, new Seq(0, 1, 0), Key, 5).Status);
        Assert.Equal(Status.Ended, node.Push(session + 100, 1, new Seq(0, 0, 0), Key, 5).Status);
        Assert.Equal(5, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void The_session_of_a_silent_process_ends_and_its_worker_is_given_to_another()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        ulong silent = node.SessionOf(group, 0);
        for (int beat = 0; beat < 12; beat++)
        {
            node.Now = node.Now.AfterMs(500);
            node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Process, 11, 1, 0, 0, []));
            node.Tick();
        }

        Assert.NotEqual(silent, node.SessionOf(group, 0));
        Assert.Equal(11UL, node.Node.Map!.Job(group)!.Workers[0].Process);
        Assert.Equal(Status.Ended, node.Push(silent, 1, new Seq(1, 0, 0), Key, 5).Status);
    }

    [Fact]
    public void A_frame_of_an_older_generation_is_told_of_the_restore_R24()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        Assert.Equal(Status.Restored, node.Push(session, 1, new Seq(0, 0, 0), Key, 5, generation: 0).Status);
        Assert.Equal(0, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void A_frame_of_a_map_that_nobody_has_made_is_answered_Behind_R4()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        Assert.Equal(Status.Behind, node.Push(session, 1, new Seq(0, 0, 0), Key, 5, mapVersion: node.MapVersion + 1).Status);
        Assert.Equal(0, node.Pull(Key)!.Value.Value);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void A_value_that_is_no_number_fails_its_part_and_counts_as_done(float value)
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        PartReply failed = node.Push(session, 1, new Seq(0, 0, 0), Key, value);
        Assert.Equal(Status.Failed, failed.Status);
        Assert.Contains("not a finite number", failed.Text);
        Assert.Equal(Status.Acked, node.Push(session, 2, new Seq(0, 1, 0), Key, 1).Status);
        Assert.Equal(1, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void A_full_node_refuses_new_rows_and_deletes_in_their_own_stream_make_room_R12()
    {
        using var node = new NodeHarness(memoryBytes: 1 << 20);
        node.OpenTable(width: 1);
        ulong session = node.OpenSession();
        ulong n = 0;
        Dictionary<int, ulong> last = [];
        ulong key = 0;
        PartReply reply;
        do
        {
            key++;
            int segment = Mix.Segment(key, 6);
            last[segment] = last.GetValueOrDefault(segment) + 1;
            reply = node.Push(session, last[segment], new Seq(0, (uint)++n, 0), key, 1);
        }
        while (reply.Status == Status.Acked && n < 1_000_000);

        Assert.Equal(Status.Full, reply.Status);
        Assert.Contains("memory limit", reply.Text);
        Assert.Null(node.Pull(key)!.Value.Value == 0 ? null : "a refused row is not there");
        Dictionary<int, ulong> deletes = [];
        for (ulong gone = 1; gone < key; gone++)
        {
            int segment = Mix.Segment(gone, 6);
            deletes[segment] = deletes.GetValueOrDefault(segment) + 1;
            Assert.Equal(Status.Acked, node.Push(session, deletes[segment], new Seq(0, (uint)++n, 0), gone, 0, operation: PartOperation.Delete).Status);
        }

        Assert.Equal(Status.Acked, node.Push(session, last[Mix.Segment(key, 6)], new Seq(0, (uint)++n, 0), key, 1).Status);
    }

    [Fact]
    public void Another_cluster_is_refused_and_told_so()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        node.Receive(FrameKind.Pull, new NodeHarness.OneItem(node.Table, Key, 0, 0, PullItem.NoBound), cluster: 99);
        Assert.True(StatusBody.TryRead(node.Body(FrameKind.Error), out StatusBody error));
        Assert.Contains("cluster", error.Text);
    }
}
