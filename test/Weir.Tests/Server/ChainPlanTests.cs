using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>What the manager makes of claims about chains, and what a member makes of the map: a claim that was true once counts no more (design R9, R16).</summary>
public sealed class ChainPlanTests : IDisposable
{
    private const ulong Second = 2;

    private readonly FramePool _pool = new();
    private readonly NodeState _node;

    public ChainPlanTests() => _node = new NodeState(
        new ServerOptions { Node = 1, Incarnation = 1, Cluster = FrameSamples.Cluster, Address = "a", SegmentBits = FrameSamples.SegmentBits },
        new Outbox(new FuzzNetwork(new LinkId(2))) { Pool = _pool });

    public void Dispose() => _node.Dispose();

    [Fact]
    public void A_member_leaves_that_diverged_in_this_epoch_and_not_for_what_it_said_in_an_older_one()
    {
        Adopt(new MapChain(4, [ChainMember.Complete(0), ChainMember.Complete(1)]));
        Assert.Empty(Steps(new Claim(0, ClaimKind.Diverged, 3)));
        Assert.Empty(Steps(new Claim(0, ClaimKind.Diverged, 0)));
        Assert.Equal([(PlannedKind.Remove, Second)], Steps(new Claim(0, ClaimKind.Diverged, 4)));
    }

    [Fact]
    public void A_newcomer_is_marked_that_claims_to_be_complete_under_its_append_and_not_under_another()
    {
        Adopt(new MapChain(4, [ChainMember.Complete(0), new ChainMember(1, 3)]));
        Assert.Empty(Steps(new Claim(0, ClaimKind.Complete, 2)));
        Assert.Equal([(PlannedKind.MarkComplete, Second)], Steps(new Claim(0, ClaimKind.Complete, 3)));
        PlannedStep step = new(0, PlannedKind.MarkComplete, Second, "");
        Assert.True(ChainChanges.Take(_node.Map!, [(step, 4)], 4, [[]]).Map!.Chains[0].Members[1].IsComplete);
    }

    /// <summary>Who leads and should not makes way only while it is sealed under the very map that the reorder follows (design R10).</summary>
    [Fact]
    public void A_chain_is_reordered_on_a_seal_under_the_newest_map_and_not_under_another()
    {
        RingMember[] ring = [new RingMember(1, 100, ""), new RingMember(Second, 100, "rack 1")];
        int segment = Array.FindIndex(new Ring(ring).Place(FrameSamples.SegmentBits, 1), nodes => nodes[0] == 1);
        Adopt(new MapChain(2, [ChainMember.Complete(1), ChainMember.Complete(0)]), segment);
        PlannedStep? Reorder(params Claim[] claims) => Planned(claims).Select(s => (PlannedStep?)s).FirstOrDefault(s => s!.Value.Kind == PlannedKind.Reorder);
        Assert.Null(Reorder());
        Assert.Null(Reorder(new Claim((uint)segment, ClaimKind.Sealed, 3)));
        Assert.Null(Reorder(new Claim((uint)segment, ClaimKind.Sealed, 0)));
        PlannedStep step = Reorder(new Claim((uint)segment, ClaimKind.Sealed, 4))!.Value;
        ulong[][] wanted = [.. Enumerable.Repeat<ulong[]>([1, Second], segment + 1)];
        MapChain reordered = ChainChanges.Take(_node.Map!, [(step, 2)], 4, wanted).Map!.Chains[segment];
        Assert.Equal((0, 5UL), (reordered.Head, reordered.Epoch));
        Assert.Same(_node.Map, ChainChanges.Take(_node.Map!, [(step, 2)], 3, wanted).Map);
    }

    /// <summary>R6: an incomplete one always; a complete one only if two complete members stay; nobody who is not heard.</summary>
    [Theory]
    [InlineData(0, true, false)]
    [InlineData(3, true, true)]
    [InlineData(3, false, false)]
    public void A_successor_that_does_not_acknowledge_leaves_as_far_as_enough_complete_members_stay(ulong appended, bool isHeard, bool leaves)
    {
        Adopt(new MapChain(4, [ChainMember.Complete(0), new ChainMember(1, appended)]));
        HeardMembers heard = new();
        if (isHeard)
        {
            heard.Heard(MemberRole.Node, Second, 22, default);
        }

        ChainPlan plan = new(_node, heard);
        plan.Reported(new ChainSender(1, 1, 1), _node.Map!.Version, [new Claim(0, ClaimKind.Stalled, Second)]);
        Assert.Equal(leaves, plan.Next(default, out _).Contains(new PlannedStep(0, PlannedKind.Remove, Second, "it does not acknowledge to its predecessor")));
    }

    /// <summary>What an operator gave up counts for nothing wherever it lies, whichever maps a node has missed (R6).</summary>
    [Fact]
    public void A_node_drops_what_it_holds_of_a_segment_that_was_emptied_since()
    {
        Segment Held(MapChain chain, ulong version)
        {
            _node.Adopt(_node.Map! with { Version = version, Chains = [chain, .. _node.Map.Chains[1..]] }, read: default);
            Segment held = _node.Find(0)!;
            held.Adopt(chain, 0);
            return held;
        }

        Adopt(new MapChain(4, [ChainMember.Complete(0)]));
        Segment before = Held(new MapChain(5, [ChainMember.Complete(0)]), 5);
        Segment after = Held(new MapChain(7, [ChainMember.Complete(0)], Emptied: 6), 7);
        Assert.NotSame(before, after);
        Assert.Same(after, Held(new MapChain(8, [ChainMember.Complete(0)], Emptied: 6), 8));
    }

    /// <summary>
    /// First seen in <c>weir bench join</c>: while a hundred segments moved, the version rose faster than sealed heads could report the newest, and pushes to
    /// a sealed segment waited 650 ms for its reorder.
    /// </summary>
    [Fact]
    public void Other_changes_wait_a_while_for_sealed_heads_to_say_so_of_the_newest_map()
    {
        Adopt(new MapChain(4, [ChainMember.Complete(0), new ChainMember(1, 3)]));
        Claim[] claims = [new Claim(0, ClaimKind.Complete, 3), new Claim(5, ClaimKind.Sealed, 3)];
        ChainPlan plan = new(_node, new HeardMembers());
        plan.Reported(new ChainSender(Second, 22, claims.Length), 3, claims);
        Assert.Empty(plan.Next(new Instant(0), out _));
        Assert.Equal(PlannedKind.MarkComplete, Assert.Single(plan.Next(new Instant(0).AfterMs(250), out _)).Kind);
        plan = new ChainPlan(_node, new HeardMembers());
        plan.Reported(new ChainSender(Second, 22, claims.Length), 4, claims);
        Assert.Equal(PlannedKind.MarkComplete, Assert.Single(plan.Next(new Instant(0), out _)).Kind);
    }

    [Fact]
    public void A_member_is_complete_by_the_map_or_under_the_append_that_it_was_told_of()
    {
        using Segment segment = new(0, new LogBytes());
        bool IsComplete(ulong epoch, ulong appended)
        {
            segment.Adopt(new MapChain(epoch, [ChainMember.Complete(0), new ChainMember(1, appended)]), 1);
            return segment.IsComplete;
        }

        Assert.False(IsComplete(2, 2));
        segment.CompleteUnder = 2;
        Assert.True(IsComplete(2, 2));
        Assert.True(IsComplete(2, 0));
        Assert.False(IsComplete(5, 5));
        Assert.True(IsComplete(5, 0));
    }

    /// <summary>R6: the first of those left must be complete, not just any: it would lead without what others have acknowledged.</summary>
    [Fact]
    public void A_silent_head_stays_where_the_next_in_its_chain_is_not_complete()
    {
        Adopt(new MapChain(4, [ChainMember.Complete(0), new ChainMember(1, 3), ChainMember.Complete(2)]));
        ClusterMap map = _node.Map! with { Members = [.. _node.Map!.Members[..2], new MapMember(3, 33, "c", 100, "")] };
        MapChain waits = MapChanges.RemoveNode(map, 1, 0).Map!.Chains[0];
        Assert.Equal((true, 0, 3), (waits.IsDown, waits.Head, waits.Members.Length));
        ClusterMap known = map with { Chains = [map.Chains[0] with { Members = [ChainMember.Complete(0), ChainMember.Complete(1), ChainMember.Complete(2)] }, .. map.Chains[1..]] };
        MapChain goesOn = MapChanges.RemoveNode(known, 1, 0).Map!.Chains[0];
        Assert.Equal((false, 2), (goesOn.IsDown, goesOn.Members.Length));
    }

    /// <summary>R10: nobody else has the parts of an open iteration, so a head that makes way holds none of any table.</summary>
    [Fact]
    public void A_head_is_sealed_once_it_holds_no_part_of_an_iteration()
    {
        Adopt(new MapChain(4, [ChainMember.Complete(0), ChainMember.Complete(1)]));
        var chain = new ChainPath(_node);
        chain.Adopt();
        Segment segment = _node.Headed(0)!;
        Aggregation aggregation = _node.TableSegment(segment, _node.Map!.Tables.First(t => t.Aggregate)).Aggregation!;
        aggregation.Hold(new Contribution(WorkerId.OfJob(1, 0), new Seq(7, 1, 1), [1], [1, 1]));
        var seals = new SealPath(_node, chain);
        seals.Seal(0);
        seals.Tick();
        Assert.Equal((true, false), (segment.IsSealing, segment.IsSealed));
        aggregation.Close(7);
        seals.Tick();
        Assert.True(segment.IsSealed);
        chain.Dispose();
    }

    /// <summary>R15: what a neighbour says by a map older than the epoch may be of a chain that is over, and changes nothing.</summary>
    [Fact]
    public void A_frame_of_the_chain_by_a_map_older_than_the_epoch_changes_nothing()
    {
        Adopt(new MapChain(4, [ChainMember.Complete(1), ChainMember.Complete(0)]));
        var chain = new ChainPath(_node);
        chain.Adopt();
        Segment segment = _node.Find(0)!;
        var words = new ChainBody<ConfirmEntry>(Second, 22, [new ConfirmEntry(0, segment.Log.Last, true, true)]);
        byte[] body = new byte[words.Bytes];
        var writer = new ByteWriter(body);
        words.Write(ref writer);
        Assert.True(chain.Handle(new FrameHeader { Kind = FrameKind.Confirmed, MapVersion = 3 }, body));
        Assert.False(segment.IsConfirmed);
        Assert.True(chain.Handle(new FrameHeader { Kind = FrameKind.Confirmed, MapVersion = 4 }, body));
        Assert.True(segment.IsConfirmed);
        chain.Dispose();
    }

    private void Adopt(MapChain chain, int segment = 0)
    {
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);

        // All other segments have nobody, so that nothing is planned for them.
        _node.Adopt(map with { Replicas = 1, Version = 4, Chains = [.. map.Chains.Select((_, index) => index == segment ? chain : new MapChain(1, []))] }, read: default);
    }

    private IReadOnlyList<PlannedStep> Planned(Claim[] claims)
    {
        ChainPlan plan = new(_node, new HeardMembers());
        plan.Reported(new ChainSender(Second, 22, claims.Length), 4, claims);
        return plan.Next(default, out _);
    }

    private List<(PlannedKind Kind, ulong Node)> Steps(params Claim[] claims) =>
        [.. Planned(claims).Where(s => s.Kind is PlannedKind.MarkComplete or PlannedKind.Remove).Select(s => (s.Kind, s.Node))];
}
