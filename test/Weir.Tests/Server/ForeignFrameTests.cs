using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>Frames that once broke a node, each kept as a test (G10).</summary>
public sealed class ForeignFrameTests : IDisposable
{
    private static readonly LinkId Client = new(2);

    private readonly FramePool _pool = new();
    private readonly FuzzNetwork _network = new(Client);
    private ServerNode? _node;

    private ServerNode Node => _node!;

    public void Dispose()
    {
        _node?.Dispose();
        Assert.Equal(0, _pool.Rented);
    }

    [Fact]
    public void A_full_frame_of_refused_parts_is_answered_in_one_frame()
    {
        FuzzPeer peer = First();
        int parts = (FrameHeader.MaxBodyBytes - DataRequestReader.CountsSize) / PartHeader.Size;
        SamplePart part = new(1, 3, 1, new Seq(0, 0, 0), PartOperation.Delete, [], []);
        byte[] push = FrameSamples.Frame(FrameKind.Push, new DataBody([.. Enumerable.Repeat(part, parts)], []), Names, session: 99);
        List<PartReply> replies = Replies(Assert.Single(peer.Send(push)));
        Assert.Equal(parts, replies.Count);
        Assert.All(replies, r => Assert.Equal(Status.Ended, r.Status));
        Assert.Equal("session 99 has ended", replies[0].Text);
    }

    [Fact]
    public void An_iteration_that_closes_at_more_segments_than_one_frame_can_acknowledge_is_acknowledged_in_several()
    {
        const int Bits = 16, Segments = 40_000, PartsAFrame = 16_000;
        FuzzPeer peer = First(new ServerLimits(), Bits);
        uint group = (uint)peer.Change(FrameKind.OpenJob, new OpenJobBody("job", 1, 1, false, 5)).First;
        peer.Change(FrameKind.JoinProcess, new JoinProcessBody(20, 21, group, ""));
        uint table = (uint)peer.Change(FrameKind.OpenTable, new OpenTableBody("sums", 1, UpdateRule.Add, 0, true, group, KeyLifetime.Default)).First;
        ulong session = Node.Map!.Job(group)!.Workers[0].Session;
        SamplePart[] parts = [.. Enumerable.Range(0, Segments).Select(s =>
            new SamplePart(table, s, 1, new Seq(1, 0, 0), PartOperation.Update, [Mix.Inverse(KeyRange.OfSegment(s, Bits).First)], [1f]))];
        foreach (SamplePart[] some in parts.Chunk(PartsAFrame))
        {
            Assert.All(Replies(Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.Push, new DataBody(some, []), Names, session)))), r => Assert.Equal(Status.Held, r.Status));
        }

        SentEntry[] sent = [.. Enumerable.Range(0, Segments).Select(s => new SentEntry(table, (uint)s, 1))];
        List<byte[]> answers = peer.Send(FrameSamples.Frame(FrameKind.Sent, new SentBody(group, 0, 1, 0, uint.MaxValue, sent), Names, session));
        List<PartReply> acked = [.. answers.Where(a => Kind(a) == FrameKind.PushReply).SelectMany(Replies)];
        Assert.Equal(Segments, acked.Select(r => r.Segment).Distinct().Count());
        Assert.All(acked, r => Assert.Equal(Status.Acked, r.Status));
    }

    [Fact]
    public void A_change_whose_map_would_not_fit_a_frame_is_refused()
    {
        FuzzPeer peer = First();
        AdminReplyBody reply = Admin(peer.Send(FrameSamples.Frame(FrameKind.OpenJob, new OpenJobBody("job", 100_000, 1, false, 5), Names)));
        Assert.Equal(Status.Full, reply.Status);
        Assert.Equal(FrameKind.ReadMapReply, Kind(Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names)))));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Nobody_takes_the_node_with_the_register_out_of_the_map(bool byLeave)
    {
        FuzzPeer peer = First();
        byte[] frame = byLeave
            ? FrameSamples.Frame(FrameKind.Leave, new LeaveBody(MemberRole.Node, 1, 1), Names)
            : FrameSamples.Frame(FrameKind.JoinNode, new JoinNodeBody(1, 99, 100, "b", ""), Names);
        Assert.Equal(Status.Conflict, Admin(peer.Send(frame)).Status);
        Assert.True(peer.PushesAndPulls("afterwards"));
    }

    [Fact]
    public void The_node_with_the_register_takes_no_map_and_no_ending_from_others()
    {
        FuzzPeer peer = First();
        peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(FrameSamples.Map(Names))), Names));
        peer.Send(FrameSamples.Frame(FrameKind.HeartbeatReply, new HeartbeatReplyBody(Status.Ended, []), Names with { MapVersion = 1000 }));
        Assert.Equal(1ul, Node.Map!.Version);
        Assert.Null(Node.StopReason);
    }

    [Fact]
    public void A_node_hears_that_it_is_gone_from_the_one_it_asked_alone()
    {
        Joined(out FuzzPeer stranger);
        byte[] ended = FrameSamples.Frame(FrameKind.HeartbeatReply, new HeartbeatReplyBody(Status.Ended, []), Names with { MapVersion = 1000 });
        stranger.Send(ended);
        Assert.Null(Node.StopReason);
        new FuzzPeer(Node, _pool, _network, _network.Open("a")).Send(ended);
        Assert.NotNull(Node.StopReason);
    }

    [Fact]
    public void A_node_adopts_no_map_of_other_segments_and_none_that_redefines_a_table_or_job()
    {
        ClusterMap map = Joined(out FuzzPeer peer) with { Version = 100 };
        int segments = 1 << (FrameSamples.SegmentBits + 1);
        ClusterMap[] refused =
        [
            map with { SegmentBits = FrameSamples.SegmentBits + 1, Chains = [.. Enumerable.Repeat(map.Chains[0], segments)] },
            map with { Cluster = 8 },
            map with { Tables = [map.Tables[0] with { Width = 3 }, map.Tables[1]] },
            map with { Jobs = [map.Jobs[0] with { Workers = [map.Jobs[0].Workers[0]] }] },
            map with { Version = 2 },
        ];
        foreach (ClusterMap other in refused)
        {
            peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(other)), Names));
            Assert.Equal(4ul, Node.Map!.Version);
        }

        peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(map)), Names));
        Assert.Equal(100ul, Node.Map!.Version);
    }

    [Fact]
    public void A_clock_frame_with_a_byte_too_many_raises_nothing()
    {
        FuzzPeer peer = First();
        FrameSamples.Names names = peer.OpenEverything();
        byte[] sound = FrameSamples.Frame(FrameKind.Clock, new ClockBody([new ClockEntry(names.Group, 0, 5, 1)]), names);
        byte[] longer = [.. sound, 0];
        FrameMutator.Reseal(longer);
        Assert.Equal(FrameKind.Error, Kind(Assert.Single(peer.Send(longer))));
        Assert.DoesNotContain("0:5", Node.Describe(), StringComparison.Ordinal);
        peer.Send(sound);
        Assert.Contains("0:5", Node.Describe(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_push_whose_last_part_is_broken_applies_none_of_its_parts()
    {
        FuzzPeer peer = First();
        FrameSamples.Names names = peer.OpenEverything();
        SamplePart part = FrameSamples.Part(names.Plain, 3, 1, 0, 2);
        byte[] broken = FrameSamples.Frame(FrameKind.Push, new DataBody([part, part with { N = 0 }], []), names, names.OwnSession);
        Assert.Equal(FrameKind.Error, Kind(Assert.Single(peer.Send(broken))));
        Assert.Equal(0, Node.StoredRows);
    }

    [Fact]
    public void A_push_without_a_body_is_refused_and_not_passed_over()
    {
        FuzzPeer peer = First();
        Assert.Equal(FrameKind.Error, Kind(Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.Push, default(EmptyBody), Names)))));
    }

    [Fact]
    public void Held_parts_without_rows_count_against_the_bound_too()
    {
        FuzzPeer peer = First(new ServerLimits { HeldBytes = 1000 });
        FrameSamples.Names names = peer.OpenEverything();
        SamplePart[] parts = [.. Enumerable.Range(1, 30).Select(n =>
            new SamplePart(names.Aggregating, 5, (ulong)n, new Seq(2, (uint)n, 0), PartOperation.Update, [], []))];
        byte[] push = FrameSamples.Frame(FrameKind.Push, new DataBody(parts, []), names, names.WorkerSession);
        List<PartReply> replies = Replies(Assert.Single(peer.Send(push)));
        Assert.Equal(Status.Held, replies[0].Status);
        Assert.Contains(replies, r => r.Status == Status.Busy);
    }

    [Fact]
    public void Frames_that_wait_for_a_newer_map_are_bounded_by_the_buffers_they_hold()
    {
        Joined(out FuzzPeer peer, new ServerLimits { WaitingBytes = 4 * 512 });
        FrameSamples.Names newer = Names with { MapVersion = 1000 };
        byte[] pull = FrameSamples.Frame(FrameKind.Pull, new DataBody([], [new SampleItem(1, 3, 0, PullItem.NoBound, 0, [])]), newer);
        for (int i = 0; i < 4; i++)
        {
            Assert.Empty(peer.Send(pull));
        }

        Assert.Equal(FrameKind.PullReply, Kind(Assert.Single(peer.Send(pull))));
    }

    [Fact]
    public void A_frame_that_waits_for_a_newer_map_goes_with_its_link()
    {
        Joined(out FuzzPeer peer);
        byte[] pull = FrameSamples.Frame(
            FrameKind.Pull, new DataBody([], [new SampleItem(1, 3, 0, PullItem.NoBound, 0, [])]), Names with { MapVersion = 1000 });
        Assert.Empty(peer.Send(pull));
        long waiting = _pool.Rented;
        Node.LinkDown(Client, "closed by the peer", default);
        Assert.Equal(waiting - 1, _pool.Rented);
        Node.Tick(new Instant(10_000_000));
        Node.EndTurn();
        Assert.Empty(_network.Replies);
    }

    [Fact]
    public void A_worker_cannot_end_before_its_first_iteration()
    {
        FuzzPeer peer = First();
        FrameSamples.Names names = peer.OpenEverything();
        byte[] end = FrameSamples.Frame(FrameKind.EndSession, new EndSessionBody(names.WorkerSession, names.Group, 0, -1), names);
        Assert.Equal(FrameKind.Error, Kind(Assert.Single(peer.Send(end))));
        Assert.Equal(names.WorkerSession, Node.Map!.Job(names.Group)!.Workers[0].Session);
    }

    /// <summary>A map that does not follow the manager's own is no reason to step down, whatever term it names.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_manager_is_not_deposed_by_a_map_that_does_not_follow_its_own(bool isOtherCluster)
    {
        FuzzPeer peer = First();
        peer.OpenEverything();
        ClusterMap own = Node.Map!;
        ulong? term = Node.ManagerTerm;
        ClusterMap other = own with { ManagerTerm = own.ManagerTerm + 5, Version = own.Version + (isOtherCluster ? 9ul : 0), Cluster = isOtherCluster ? own.Cluster + 1 : own.Cluster };
        peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(other)), FrameSamples.Names.Default with { MapVersion = other.Version }));
        Node.Tick(new Instant(5_000_000));
        Node.EndTurn();
        Assert.Equal((own, term), (Node.Map, Node.ManagerTerm));
        Assert.NotNull(term);
    }

    [Fact]
    public void Refusals_that_peers_send_leave_a_bounded_number_of_notes()
    {
        _node = new ServerNode(new ServerOptions { Node = 2, Incarnation = 22, Address = "b", Join = "a" }, _network, pool: _pool);
        FuzzPeer peer = new(Node, _pool, _network, Client);
        byte[] refusal = FrameSamples.Frame(FrameKind.AdminReply, new AdminReplyBody(Status.Conflict, 0, 0, new string('x', 60_000)), Names);
        for (int i = 0; i < 1100; i++)
        {
            peer.Send(refusal);
        }

        Assert.Equal(1000, Node.Outbox.Notes.Count);
        Assert.All(Node.Outbox.Notes, n => Assert.InRange(n.Length, 1, 1000));
    }

    private static FrameSamples.Names Names => FrameSamples.Names.Default with { MapVersion = 1 };

    private FuzzPeer First(ServerLimits? limits = null, int segmentBits = FrameSamples.SegmentBits)
    {
        var options = new ServerOptions
        {
            Node = 1,
            Incarnation = 1,
            Cluster = FrameSamples.Cluster,
            Address = "a",
            SegmentBits = segmentBits,
            Limits = limits ?? new ServerLimits(),
        };
        _node = new ServerNode(options, _network, pool: _pool);
        return new FuzzPeer(Node, _pool, _network, Client);
    }

    /// <summary>A node that joined, with a map of version 4.</summary>
    private ClusterMap Joined(out FuzzPeer peer, ServerLimits? limits = null)
    {
        var options = new ServerOptions { Node = 2, Incarnation = 22, Address = "b", Join = "a", Limits = limits ?? new ServerLimits() };
        _node = new ServerNode(options, _network, pool: _pool);
        peer = new FuzzPeer(Node, _pool, _network, Client);
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);
        peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(map)), Names));
        Assert.Equal(4ul, Node.Map!.Version);
        return map;
    }

    private static FrameKind Kind(byte[] frame)
    {
        Assert.Equal(HeaderFault.None, FrameHeader.TryRead(frame, out FrameHeader header));
        return header.Kind;
    }

    private static List<PartReply> Replies(byte[] frame)
    {
        List<PartReply> replies = [];
        Assert.Equal(FrameKind.PushReply, Kind(frame));
        Assert.True(PushReplyBody.TryRead(frame.AsSpan(FrameHeader.Size), replies));
        return replies;
    }

    private static AdminReplyBody Admin(List<byte[]> frames)
    {
        byte[] frame = Assert.Single(frames, f => Kind(f) == FrameKind.AdminReply);
        Assert.True(AdminReplyBody.TryRead(frame.AsSpan(FrameHeader.Size), out AdminReplyBody reply));
        return reply;
    }
}
