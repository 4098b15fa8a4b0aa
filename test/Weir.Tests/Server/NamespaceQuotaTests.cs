using Weir.Keys;
using Weir.Store;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>What a head does where a namespace has its share of the quota (papers PS-6; docs/decisions/0106), frame by frame.</summary>
public class NamespaceQuotaTests
{
    // A row of width 1 under Add: its value, and its key in the index.
    private const long RowBytes = sizeof(float) + Slot.Bytes;

    [Fact]
    public void PS06_a_push_of_a_new_row_beyond_the_quota_is_refused_and_existing_rows_go_on()
    {
        using var node = new NodeHarness();
        Pusher pusher = Open(node, "ads/w");
        Assert.Equal(Status.Acked, node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 10 * RowBytes)).Status);
        Assert.All(Enumerable.Range(1, 10), key => Assert.Equal(Status.Acked, pusher.Push((ulong)key).Status));
        PartReply refused = pusher.Push(11);
        Assert.Equal(Status.Full, refused.Status);
        Assert.StartsWith("namespace ads is over its quota: 0 MB of rows in 1 tables at a, of 0 MB for the segments led there", refused.Text);
        Assert.Contains("`weir namespace ads --quota-mb N`", refused.Text);
        Assert.Equal(Status.Acked, pusher.Push(3).Status);
        Assert.Equal((Status.Acked, 2f), (node.Pull(3)!.Value.Status, node.Pull(3)!.Value.Value));
        Assert.Equal(0, node.Pull(11)!.Value.Value);

        // A delete makes room, and so does another word of the operator's.
        Assert.Equal(Status.Acked, pusher.Delete(5).Status);
        Assert.Equal(Status.Acked, pusher.Push(11).Status);
        Assert.Equal(Status.Full, pusher.Push(12).Status);
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 11 * RowBytes));
        Assert.Equal(Status.Acked, pusher.Push(12).Status);
        Assert.Equal(Status.Full, pusher.Push(13).Status);
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 0));
        Assert.Empty(node.Node.Map!.Namespaces);
        Assert.Equal(Status.Acked, pusher.Push(13).Status);
    }

    [Fact]
    public void PS06_a_quota_is_of_all_tables_of_its_namespace_and_of_no_other()
    {
        using var node = new NodeHarness();
        Pusher weights = Open(node, "ads/w"), counts = Open(node, "ads/c"), others = Open(node, "news/w"), plain = Open(node, "w");
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 4 * RowBytes));
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("", 1 * RowBytes));
        foreach (ulong key in (ulong[])[1, 2])
        {
            Assert.Equal(Status.Acked, weights.Push(key).Status);
            Assert.Equal(Status.Acked, counts.Push(key).Status);
        }

        Assert.Equal((Status.Full, Status.Full), (weights.Push(3).Status, counts.Push(3).Status));
        Assert.All(Enumerable.Range(1, 100), key => Assert.Equal(Status.Acked, others.Push((ulong)key).Status));
        Assert.Equal(Status.Acked, plain.Push(1).Status);
        Assert.StartsWith("the default namespace is over its quota", plain.Push(2).Text);

        // A table that is dropped frees what it had.
        Assert.Equal(Status.Acked, node.Admin(FrameKind.DropTable, new NumberBody(weights.Table)).Status);
        Assert.Equal((Status.Acked, Status.Acked, Status.Full), (counts.Push(3).Status, counts.Push(4).Status, counts.Push(5).Status));
    }

    [Fact]
    public void PS06_rows_stay_where_the_quota_is_set_below_them()
    {
        using var node = new NodeHarness();
        Pusher pusher = Open(node, "ads/w");
        Assert.All(Enumerable.Range(1, 10), key => Assert.Equal(Status.Acked, pusher.Push((ulong)key).Status));
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 4 * RowBytes));
        Assert.Equal((Status.Acked, Status.Full), (pusher.Push(10).Status, pusher.Push(11).Status));
        Assert.Equal(2, node.Pull(10)!.Value.Value);
        Assert.All(Enumerable.Range(1, 6), key => Assert.Equal((Status.Acked, Status.Full), (pusher.Delete((ulong)key).Status, pusher.Push(11).Status)));
        Assert.Equal((Status.Acked, Status.Acked), (pusher.Delete(7).Status, pusher.Push(11).Status));
    }

    [Fact]
    public void PS06_a_server_gives_the_part_of_the_quota_that_is_of_the_segments_it_heads()
    {
        using var node = new NodeHarness();
        Assert.Equal(Status.Acked, node.Admin(FrameKind.JoinNode, new JoinNodeBody(2, 2, 100, "b", "")).Status);
        int headed = node.Node.Map!.Chains.Count(c => c.Head == 0);
        Assert.InRange(headed, 16, 48);
        Pusher pusher = Open(node, "ads/w");
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 64 * 10 * RowBytes));
        int taken = 0;
        for (ulong key = 1; key < 5000; key++)
        {
            taken += node.Node.Map.Chains[Mix.Segment(key, 6)].Head == 0 && pusher.Push(key).Status == Status.Acked ? 1 : 0;
        }

        Assert.Equal(headed * 10, taken);
    }

    [Fact]
    public void PS06_an_iteration_that_would_break_the_quota_stays_open_and_says_why()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1, "ads/j");
        uint table = node.OpenTable("ads/sums", aggregate: true, group: group);
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 1));
        ulong session = node.SessionOf(group, 0);
        const ulong Key = 42;
        Assert.Equal(Status.Held, node.Push(session, 1, new Seq(1, 0, 0), Key, 5).Status);
        node.Receive(FrameKind.Sent, new SentBody(group, 0, 1, 0, 63, [new SentEntry(table, (uint)Mix.Segment(Key, 6), 1)]), session);
        PartReply held = node.Push(session, 1, new Seq(1, 0, 0), Key, 5);
        Assert.Equal(Status.Held, held.Status);
        Assert.StartsWith("namespace ads is over its quota", held.Text);
        Assert.Equal(0, node.Pull(Key)!.Value.Value);
        node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", RowBytes));
        node.Push(session, 1, new Seq(1, 0, 0), Key, 5);
        Assert.Equal(Status.Acked, node.Push(session, 1, new Seq(1, 0, 0), Key, 5).Status);
        Assert.Equal(5, node.Pull(Key)!.Value.Value);
    }

    [Theory]
    [InlineData("ads/", "a table's name has 1 to 256 bytes")]
    [InlineData("a b/w", "a namespace's name has 1 to 64 letters")]
    [InlineData("ads/w/x", "a table's name has no '/'")]
    [InlineData("/w", "names no namespace before its slash")]
    public void A_name_that_is_none_is_refused(string name, string text)
    {
        using var node = new NodeHarness();
        AdminReplyBody reply = node.Admin(FrameKind.OpenTable, new OpenTableBody(name, 1, UpdateRule.Add, 0, false, 0, KeyLifetime.Default));
        Assert.Equal(Status.Conflict, reply.Status);
        Assert.Contains(text, reply.Text, StringComparison.Ordinal);
        Assert.Equal(Status.Conflict, node.Admin(FrameKind.OpenJob, new OpenJobBody(name, 1, 1, false, 1)).Status);
    }

    [Fact]
    public void A_quota_of_what_is_no_namespace_is_refused()
    {
        using var node = new NodeHarness();
        AdminReplyBody reply = node.Admin(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("a/b", 1));
        Assert.Equal(Status.Conflict, reply.Status);
        Assert.Contains("'a/b' is none", reply.Text, StringComparison.Ordinal);
        Assert.Empty(node.Node.Map!.Namespaces);
    }

    private static Pusher Open(NodeHarness node, string table) => new(node, node.OpenTable(table), node.OpenSession((ulong)table.Length + node.MapVersion));

    /// <summary>Pushes 1 to single rows of one table, each as the next of its stream; a refused one is taken back.</summary>
    private sealed class Pusher(NodeHarness node, uint table, ulong session)
    {
        private readonly Dictionary<(int Segment, PartOperation Operation), ulong> _last = [];
        private uint _pushes;

        public uint Table => table;

        public PartReply Push(ulong key) => Send(key, PartOperation.Update);

        public PartReply Delete(ulong key) => Send(key, PartOperation.Delete);

        private PartReply Send(ulong key, PartOperation operation)
        {
            (int, PartOperation) stream = (Mix.Segment(key, 6), operation);
            ulong n = _last.GetValueOrDefault(stream) + 1;
            node.Receive(FrameKind.Push, new NodeHarness.OnePart(table, n, new Seq(0, ++_pushes, 0), key, 1, operation), session);
            List<PartReply> replies = [];
            Assert.True(PushReplyBody.TryRead(node.Body(FrameKind.PushReply), replies));
            PartReply reply = Assert.Single(replies);
            _last[stream] = reply.Status == Status.Acked ? n : n - 1;
            return reply;
        }
    }
}
