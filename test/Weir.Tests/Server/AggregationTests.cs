using Weir.Keys;
using Weir.Server;
using Weir.Wire;

namespace Weir.Tests.Server;

public class AggregationTests
{
    /// <summary>
    /// Found on real processes: a run whose segments moved ended in other bits. A Sent that was written by an older map lists nothing for a segment that
    /// the node heads since, and counted as if the worker had no part of the iteration there: it closed without that part.
    /// </summary>
    [Fact]
    public void A_Sent_of_a_map_older_than_the_segments_epoch_says_nothing_of_it_R20()
    {
        using var node = new NodeHarness();
        Assert.Equal(Status.Acked, node.Admin(FrameKind.JoinNode, new JoinNodeBody(2, 2, 100, "b", "")).Status);
        int moved = Array.FindIndex(node.Node.Map!.Chains, c => c.Head == 1);
        Assert.Equal(Status.Acked, node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Node, 2, 2)).Status);
        Assert.True(node.Node.Map!.Chains[moved].Epoch > 1);
        uint group = node.OpenJob(1);
        uint table = node.OpenTable(aggregate: true, group: group);
        ulong key = Enumerable.Range(0, 10_000).Select(k => (ulong)k).First(k => Mix.Segment(k, 6) == moved), session = node.SessionOf(group, 0);
        node.Receive(FrameKind.Sent, new SentBody(group, 0, 1, 0, 63, []), session, mapVersion: node.Node.Map!.Chains[moved].Epoch - 1);
        Assert.Equal(Status.Held, node.Push(session, 1, new Seq(1, 0, 0), key, 2).Status);
        node.Receive(FrameKind.Sent, new SentBody(group, 0, 1, 0, 63, [new SentEntry(table, (uint)moved, 1)]), session);
        Assert.Equal(2, node.Pull(key)!.Value.Value);
    }

    private const ulong Key = 42;

    [Fact]
    public void Contributions_are_held_until_all_workers_are_through_then_the_rule_runs_once_R19_R20()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        uint table = node.OpenTable(rule: UpdateRule.Assign, aggregate: true, group: group);
        (ulong a, ulong b) = (node.SessionOf(group, 0), node.SessionOf(group, 1));
        Assert.Equal(Status.Held, node.Push(a, 1, new Seq(1, 0, 0), Key, 5).Status);
        Assert.Equal(Status.Held, node.Push(a, 1, new Seq(1, 0, 0), Key, 5).Status);
        Assert.Equal(Status.Held, node.Push(b, 1, new Seq(1, 0, 0), Key, 7).Status);
        Sent(node, group, table, 0, a, 1, 1);
        Assert.Equal(0, node.Pull(Key)!.Value.Value);
        Sent(node, group, table, 1, b, 1, 1);
        List<PartReply> replies = [];
        Assert.True(PushReplyBody.TryRead(node.Body(FrameKind.PushReply), replies));
        Assert.Equal(Status.Acked, Assert.Single(replies).Status);

        // The rule is assign: run twice it would leave one contribution, run once the sum.
        Assert.Equal(12, node.Pull(Key)!.Value.Value);
        Assert.Equal(Status.Acked, node.Push(a, 1, new Seq(1, 0, 0), Key, 5).Status);
        Assert.Equal(12, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void A_Sent_waits_for_its_last_part_R20()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        uint table = node.OpenTable(aggregate: true, group: group);
        ulong a = node.SessionOf(group, 0);
        node.Push(a, 1, new Seq(1, 0, 0), Key, 5);
        Sent(node, group, table, 0, a, 1, 2);
        Assert.Equal(0, node.Pull(Key)!.Value.Value);
        node.Push(a, 2, new Seq(1, 1, 0), Key, 1);
        Assert.Equal(6, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void A_redo_of_a_held_part_leaves_the_old_one_standing_R21()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        uint table = node.OpenTable(aggregate: true, group: group);
        (ulong dead, ulong b) = (node.SessionOf(group, 0), node.SessionOf(group, 1));
        node.Push(dead, 1, new Seq(1, 0, 0), Key, 5);
        node.Push(b, 1, new Seq(1, 0, 0), Key, 100);
        Sent(node, group, table, 1, b, 1, 1);
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        ulong redo = node.SessionOf(group, 0);
        Assert.Equal(Status.Held, node.Push(redo, 1, new Seq(1, 0, 0), Key, 999).Status);
        Sent(node, group, table, 0, redo, 1, 1);
        Assert.Equal(105, node.Pull(Key)!.Value.Value);
        Assert.Equal(Status.Superseded, node.Push(redo, 2, new Seq(1, 0, 1), Key, 999).Status);
        Assert.Equal(Status.Held, node.Push(redo, 3, new Seq(2, 0, 0), Key, 1).Status);
    }

    [Fact]
    public void The_sum_is_one_left_fold_by_worker_then_seq_whatever_the_order_of_arrival_R19()
    {
        float[] values = [1e8f, 1, -1e8f, 1, 0.25f];
        float fold = 0;
        foreach (float value in values)
        {
            fold = fold == 0 ? value : fold + value;
        }

        foreach (int[] arrival in new int[][] { [0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3] })
        {
            using var node = new NodeHarness();
            uint group = node.OpenJob(5);
            uint table = node.OpenTable(aggregate: true, group: group);
            foreach (int worker in arrival)
            {
                node.Push(node.SessionOf(group, worker), 1, new Seq(1, 0, 0), Key, values[worker]);
            }

            foreach (int worker in arrival)
            {
                Sent(node, group, table, (uint)worker, node.SessionOf(group, worker), 1, 1);
            }

            Assert.Equal(fold, node.Pull(Key)!.Value.Value);
        }
    }

    [Fact]
    public void Pushes_of_one_worker_are_folded_in_call_order()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        uint table = node.OpenTable(aggregate: true, group: group);
        ulong a = node.SessionOf(group, 0);
        float[] values = [1, 1e8f, -1e8f];
        for (uint push = 0; push < values.Length; push++)
        {
            node.Push(a, push + 1, new Seq(1, push, 0), Key, values[push]);
        }

        Sent(node, group, table, 0, a, 1, 3);
        Assert.Equal((1f + 1e8f) + -1e8f, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void An_early_contribution_may_be_refused_and_the_next_in_order_finds_room_R19()
    {
        using var node = new NodeHarness(new ServerLimits { HeldBytes = 1 });
        uint group = node.OpenJob(1);
        node.OpenTable(aggregate: true, group: group);
        ulong a = node.SessionOf(group, 0);
        Assert.Equal(Status.Held, node.Push(a, 1, new Seq(1, 0, 0), Key, 5).Status);
        Assert.Equal(Status.Held, node.Push(a, 2, new Seq(1, 1, 0), Key, 5).Status);
        Assert.Equal(Status.Busy, node.Push(a, 3, new Seq(2, 0, 0), Key, 5).Status);
    }

    private static void Sent(NodeHarness node, uint group, uint table, uint worker, ulong session, long iteration, ulong n) =>
        node.Receive(FrameKind.Sent, new SentBody(group, worker, iteration, 0, 63, [new SentEntry(table, (uint)Mix.Segment(Key, 6), n)]), session);
}
