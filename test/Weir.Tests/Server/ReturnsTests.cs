using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>What the map says of members that come back with their journals (design R5, R6, R23).</summary>
public class ReturnsTests
{
    private static readonly ChainMember First = ChainMember.Complete(0), Second = ChainMember.Complete(1);

    [Fact]
    public void Who_comes_back_waits_behind_those_who_may_have_all_and_the_epoch_is_another()
    {
        ClusterMap map = Returns.ComeBack(Map(new MapChain(3, [First, Second])), Back(0));
        Assert.Equal([Second, ChainMember.Back(0)], map.Chains[0].Members);
        Assert.Equal(5UL, map.Chains[0].Epoch);
        Assert.False(map.Chains[0].IsDown);
        Assert.Equal(99UL, map.Members[0].Incarnation);
        Assert.All(map.Tables, t => Assert.False(t.IsLost));
    }

    [Fact]
    public void Where_nobody_has_all_the_segment_waits_and_what_is_in_no_journal_is_lost()
    {
        ClusterMap map = Returns.ComeBack(Returns.ComeBack(Map(new MapChain(3, [First, Second])), Back(0)), Back(1));
        Assert.True(map.Chains[0].IsDown);
        Assert.All(map.Chains[0].Members, m => Assert.True(m.IsRestarted));
        Assert.Equal([false, true], map.Tables.Select(t => t.IsLost));
        MapChain led = Returns.Lead(map.Chains[0], 1, 5, out bool hasGivenUp)!.Value;
        Assert.Equal([Second, new ChainMember(0, 5)], led.Members);
        Assert.False(led.IsDown | hasGivenUp);
        Assert.Null(Returns.Lead(led, 0, 6, out _));
    }

    [Fact]
    public void A_member_that_was_not_complete_is_out_and_leads_nowhere()
    {
        ClusterMap map = Returns.ComeBack(Map(new MapChain(3, [First, new ChainMember(1, 3)])), Back(1));
        Assert.Equal([First], map.Chains[0].Members);

        // The complete one comes back: nobody else leads meanwhile.
        map = Returns.ComeBack(Map(new MapChain(3, [First, new ChainMember(1, 3)])), Back(0));
        Assert.True(map.Chains[0].IsDown);
        Assert.Equal(ChainMember.Back(0), map.Chains[0].Members[0]);
        Assert.Null(Returns.Lead(map.Chains[0], 1, 5, out _));
    }

    [Fact]
    public void A_silent_server_with_a_journal_is_waited_for_where_it_has_the_only_copy()
    {
        ClusterMap map = Map(new MapChain(3, [First])) with { Replicas = 0, Acceptors = [] };
        Assert.True(MapChanges.RemoveNode(map, map.Members[0].Node, 0).Map!.Chains[0].IsDown);
        map = map with { Members = [.. map.Members.Select(m => m with { Journal = 0 })] };
        Assert.Empty(MapChanges.RemoveNode(map, map.Members[0].Node, 0).Map!.Chains[0].Members);
    }

    [Fact]
    public void Journals_are_kept_when_the_last_member_that_had_all_is_gone_for_good()
    {
        ClusterMap map = Map(new MapChain(3, [First, ChainMember.Back(1)])) with { Acceptors = [] };
        ClusterMap without = MapChanges.RemoveNode(map, map.Members[0].Node, 0, isGone: true).Map!;
        Assert.True(without.Chains[0].IsDown);
        Assert.Equal([ChainMember.Back(0)], without.Chains[0].Members);
        Assert.Equal([false, true], without.Tables.Select(t => t.IsLost));
    }

    /// <summary>
    /// A server whose disk was lost, and that was started twice before the map had it, has a journal with a past: of itself alone. What the map says that its node holds was in another.
    /// </summary>
    [Theory]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public void Who_has_another_journal_than_the_member_that_it_was_has_nothing_of_what_that_held(bool isTheSame, bool mayTake)
    {
        ClusterMap map = Map(new MapChain(3, [First, ChainMember.Complete(1)])) with { Acceptors = [] };
        MapMember lost = map.Members[0];
        var join = new JoinNodeBody(lost.Node, 99, 100, lost.Address, "") { Journal = isTheSame ? lost.Journal : lost.Journal + 1 };
        ClusterMap next = MapChanges.AddNode(map, join).Map!;
        int index = next.IndexOf(lost.Node);
        Assert.Equal(99UL, next.Members[index].Incarnation);
        Assert.Equal(join.Journal, next.Members[index].Journal);
        Assert.Equal(mayTake ? -1 : 1, next.Chains[0].PlaceOf(index));
    }

    private static MapMember Back(int index) => Map(default).Members[index] with { Incarnation = 99 };

    private static ClusterMap Map(MapChain first)
    {
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);
        return map with
        {
            Version = 4,
            Replicas = 1,
            Members = [.. map.Members.Take(2).Select(m => m with { Journal = m.Node })],
            Tables = [map.Tables[0] with { Durable = true }, map.Tables[1]],
            Chains = [first with { Members = first.Members ?? [] }, .. map.Chains[1..].Select(_ => new MapChain(1, []))],
        };
    }
}
