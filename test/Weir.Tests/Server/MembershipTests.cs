using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Tests.Server;

public class MembershipTests
{
    [Fact]
    public void A_process_that_came_back_as_another_incarnation_is_no_member_R5()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Process, 10, 2, 0, 0, []));
        List<ClockEntry> clocks = [];
        Assert.True(HeartbeatReplyBody.TryRead(node.Body(FrameKind.HeartbeatReply), clocks, out HeartbeatReplyBody reply));
        Assert.Equal(Status.Ended, reply.Status);

        // It does not keep its predecessor alive either.
        ulong session = node.SessionOf(group, 0);
        for (int beat = 0; beat < 12; beat++)
        {
            node.Now = node.Now.AfterMs(500);
            node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Process, 10, 2, 0, 0, []));
            node.Tick();
        }

        Assert.NotEqual(session, node.SessionOf(group, 0));
    }

    [Fact]
    public void A_joining_node_gets_its_share_by_the_ring_while_no_table_stands_and_none_after()
    {
        using var node = new NodeHarness();
        Join(node, 2);
        ClusterMap two = node.Node.Map!;
        Assert.Equal(2, two.Members.Length);
        ulong[][] ring = new Ring([.. two.Members.Select(m => new RingMember(m.Node, 100, ""))]).Place(6, 0);
        Assert.Equal(ring.Select(c => c[0]), Enumerable.Range(0, 64).Select(s => two.Head(s)!.Value.Node));
        node.OpenTable();
        Join(node, 3);
        ClusterMap three = node.Node.Map!;
        Assert.Equal(3, three.Members.Length);
        Assert.DoesNotContain(three.Chains, c => c.Head == 2);
    }

    /// <summary>Found by reading: the second took the first one's place, and what that held counted as lost.</summary>
    [Fact]
    public void A_second_node_under_the_id_of_one_that_lives_is_refused_and_one_that_came_back_at_its_address_is_not()
    {
        using var node = new NodeHarness();
        Join(node, 2);
        node.OpenTable();
        MapMember first = node.Node.Map!.Member(2)!.Value;
        node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Node, 2, first.Incarnation, 0, 0, []));
        AdminReplyBody refusal = node.Admin(FrameKind.JoinNode, new JoinNodeBody(2, 99, 100, "elsewhere", ""));
        Assert.Equal(Status.Conflict, refusal.Status);
        Assert.Contains(first.Address, refusal.Text);
        Assert.Equal(first, node.Node.Map!.Member(2));
        Assert.Equal(Status.Conflict, node.Admin(FrameKind.JoinNode, new JoinNodeBody(1, 99, 100, "elsewhere", "")).Status);
        Assert.Equal(Status.Acked, node.Admin(FrameKind.JoinNode, new JoinNodeBody(2, 98, 100, first.Address, "")).Status);
    }

    [Fact]
    public void A_node_that_still_holds_segments_does_not_leave()
    {
        using var node = new NodeHarness();
        Join(node, 2);
        node.OpenTable();
        AdminReplyBody refusal = node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Node, 2, 2));
        Assert.Equal(Status.Conflict, refusal.Status);
        Assert.Contains("is drained first", refusal.Text);
        Assert.NotNull(node.Node.Map!.Member(2));
    }

    [Fact]
    public void A_node_of_another_cluster_is_refused_in_words()
    {
        using var node = new NodeHarness();
        AdminReplyBody refusal = node.Admin(FrameKind.JoinNode, new JoinNodeBody(2, 2, 100, "b", ""), cluster: 0xBAD);
        Assert.Equal(Status.Conflict, refusal.Status);
        Assert.Contains("the frame names bad", refusal.Text);
        Assert.Single(node.Node.Map!.Members);
    }

    [Fact]
    public void A_silent_node_leaves_its_segments_to_nobody_and_the_loss_is_named()
    {
        using var node = new NodeHarness();
        Join(node, 2);
        node.OpenTable();
        int segments = node.Node.Map!.Chains.Count(c => c.Head == 1);
        node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Node, 2, 2, 0, 77, []));
        for (int tick = 0; tick < 52; tick++)
        {
            node.Now = node.Now.AfterMs(100);
            node.Tick();
        }

        ClusterMap map = node.Node.Map!;
        Assert.Single(map.Members);
        Assert.Equal(segments, map.Chains.Count(c => c.Head == ClusterMap.Nobody));
        Assert.Equal($"server b is gone and with it the only copy of {segments} segments (77 rows)", Assert.Single(map.Losses).ToString());
    }

    /// <summary>A stopped process, a laptop's lid: what others sent meanwhile lies unread, so their silence is the node's own.</summary>
    [Fact]
    public void A_node_that_was_itself_asleep_counts_nobody_gone_for_it()
    {
        using var node = new NodeHarness();
        Join(node, 2);
        node.OpenTable();
        uint group = node.OpenJob(1);
        ulong session = node.SessionOf(group, 0);
        node.Tick();
        node.Now = node.Now.AfterMs(60_000);
        node.Tick();
        Assert.Equal(2, node.Node.Map!.Members.Length);
        Assert.Equal(session, node.SessionOf(group, 0));
        for (int tick = 0; tick < 52; tick++)
        {
            node.Now = node.Now.AfterMs(100);
            node.Tick();
        }

        Assert.Single(node.Node.Map!.Members);
    }

    [Fact]
    public void A_link_that_ended_is_told_of_no_newer_map()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        Assert.NotNull(node.Find(FrameKind.HeartbeatReply));
        ulong session = node.SessionOf(group, 0);
        node.Node.LinkDown(NodeHarness.Link, "closed", node.Now);
        while (node.SessionOf(group, 0) == session)
        {
            node.Now = node.Now.AfterMs(100);
            node.Tick();
        }

        Assert.Null(node.Find(FrameKind.HeartbeatReply));
    }

    [Fact]
    public void What_ended_sessions_pushed_is_forgotten_also_where_as_many_began_in_the_same_map()
    {
        using var node = new NodeHarness();
        node.OpenTable();
        ulong session = node.OpenSession();
        node.Push(session, 1, new Seq(0, 0, 0), 1, 1);
        Assert.Equal(1, node.Node.RememberedStreams);
        node.Receive(FrameKind.RegisterRead, new RegisterBody(1, 0, default));
        Assert.True(RegisterReplyBody.TryRead(node.Body(FrameKind.RegisterReply), out RegisterReplyBody read));
        ClusterMap map = node.Node.Map!;
        byte[] next = MapEncoding.Encode(map with { Version = map.Version + 1, Sessions = [new MapSession(map.NextSession, 5)], NextSession = map.NextSession + 1 });
        node.Receive(FrameKind.RegisterSwap, new RegisterBody(1, read.Version, next));
        Assert.Equal(0, node.Node.RememberedStreams);
    }

    [Fact]
    public void Workers_are_shared_evenly_once_the_stated_hosts_are_there_and_sessions_are_never_used_again()
    {
        using var node = new NodeHarness();
        uint group = (uint)node.Admin(FrameKind.OpenJob, new OpenJobBody("job", 5, 2, false, 1)).First;
        node.Admin(FrameKind.JoinProcess, new JoinProcessBody(10, 1, group, ""));
        Assert.All(node.Node.Map!.Job(group)!.Workers, w => Assert.Equal(0UL, w.Session));
        node.Admin(FrameKind.JoinProcess, new JoinProcessBody(11, 1, group, ""));
        MapWorker[] workers = node.Node.Map!.Job(group)!.Workers;
        Assert.Equal([3, 2], workers.GroupBy(w => w.Process).OrderBy(g => g.Key).Select(g => g.Count()));
        HashSet<ulong> sessions = [.. workers.Select(w => w.Session)];
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        workers = node.Node.Map!.Job(group)!.Workers;
        Assert.All(workers, w => Assert.Equal(11UL, w.Process));
        Assert.Equal(3, workers.Count(w => sessions.Add(w.Session)));
    }

    /// <summary>First seen in a simulation: one host died and the others were cut off; those that came back waited for the dead one for ever.</summary>
    [Fact]
    public void A_job_that_has_begun_goes_on_with_any_host_that_comes_back()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 11, 1));
        Assert.All(node.Node.Map!.Job(group)!.Workers, w => Assert.Equal(0UL, w.Process));
        node.Admin(FrameKind.JoinProcess, new JoinProcessBody(12, 1, group, ""));
        Assert.All(node.Node.Map!.Job(group)!.Workers, w => Assert.Equal(12UL, w.Process));
    }

    [Fact]
    public void The_register_is_read_and_swapped_only_against_the_version_that_stands_R1()
    {
        using var node = new NodeHarness();
        node.Receive(FrameKind.RegisterRead, new RegisterBody(1, 0, default));
        Assert.True(RegisterReplyBody.TryRead(node.Body(FrameKind.RegisterReply), out RegisterReplyBody read));
        Assert.True(MapEncoding.TryDecode(read.Value.Span, out ClusterMap map));
        Assert.Equal(node.MapVersion, map.Version);
        byte[] next = MapEncoding.Encode(map with { Version = map.Version + 1, NextSession = 500 });
        node.Receive(FrameKind.RegisterSwap, new RegisterBody(1, read.Version + 1, next));
        Assert.True(RegisterReplyBody.TryRead(node.Body(FrameKind.RegisterReply), out RegisterReplyBody refused));
        Assert.Equal(Status.Conflict, refused.Status);
        node.Receive(FrameKind.RegisterSwap, new RegisterBody(1, read.Version, next));
        Assert.Equal(500UL, node.Node.Map!.NextSession);
        Assert.Equal(500UL, node.OpenSession());
    }

    /// <summary>R2: what one cluster's acceptor promised is nobody else's; an operator's slip in an address must not join two registers.</summary>
    [Theory]
    [InlineData(NodeHarness.Cluster, true)]
    [InlineData(NodeHarness.Cluster + 1, false)]
    [InlineData(0, false)]
    public void An_acceptor_answers_its_own_cluster_alone(ulong cluster, bool answers)
    {
        using var node = new NodeHarness();
        var request = new PaxosBody(0, new Ballot(1_000_000, 99), default, HasValue: false);
        node.Receive(FrameKind.PaxosPrepare, request, cluster: cluster, requestId: 0);
        Assert.Equal(answers, node.Find(FrameKind.PaxosReply) is not null);
        Assert.Equal(answers, node.Find(FrameKind.Error) is null);
    }

    /// <summary>A lease that nobody else may take, and a map of another term, are not swapped in the name of others.</summary>
    [Fact]
    public void Nobody_swaps_the_lease_or_another_managers_map_through_this_node()
    {
        using var node = new NodeHarness();
        node.Receive(FrameKind.RegisterSwap, new RegisterBody(0, 1, new byte[] { 1 }));
        Assert.True(RegisterReplyBody.TryRead(node.Body(FrameKind.RegisterReply), out RegisterReplyBody lease));
        Assert.Equal(Status.Malformed, lease.Status);
        ClusterMap map = node.Node.Map!;
        byte[] next = MapEncoding.Encode(map with { Version = map.Version + 1, ManagerTerm = map.ManagerTerm + 1, ManagerNode = 9 });
        node.Receive(FrameKind.RegisterSwap, new RegisterBody(1, 1, next));
        Assert.True(RegisterReplyBody.TryRead(node.Body(FrameKind.RegisterReply), out RegisterReplyBody swap));
        Assert.Equal(Status.Conflict, swap.Status);
        Assert.NotNull(node.Node.ManagerTerm);
    }

    [Fact]
    public void A_job_is_opened_once_however_often_its_request_arrives()
    {
        using var node = new NodeHarness();
        ulong first = node.Admin(FrameKind.OpenJob, new OpenJobBody("job", 2, 1, false, 9)).First;
        Assert.Equal(first, node.Admin(FrameKind.OpenJob, new OpenJobBody("job", 2, 1, false, 9)).First);
        AdminReplyBody other = node.Admin(FrameKind.OpenJob, new OpenJobBody("job", 2, 1, false, 10));
        Assert.Equal((Status.Conflict, "job job is running already"), (other.Status, other.Text));
    }

    private static void Join(NodeHarness node, ulong id) =>
        Assert.Equal(Status.Acked, node.Admin(FrameKind.JoinNode, new JoinNodeBody(id, id, 100, id == 2 ? "b" : "c", "")).Status);
}
