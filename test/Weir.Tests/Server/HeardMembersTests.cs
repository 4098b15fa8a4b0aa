using Weir.Placement;
using Weir.Server;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>Who was heard when.</summary>
public class HeardMembersTests
{
    private static readonly MapMember Dead = new(2, 22, "b", 100, "");

    /// <summary>A server that comes back without its memory asks to be let in; what it was stays silent, and the last that has everything is not taken out for it (R5, R6).</summary>
    [Fact]
    public void A_node_that_comes_back_empty_is_no_sign_of_life_of_what_it_was()
    {
        HeardMembers heard = new();
        Instant now = new Instant(0).AfterMs(1000);
        heard.Heard(MemberRole.Node, Dead.Node, Dead.Incarnation, new Instant(0));
        heard.Told(Dead.Node, Dead.Incarnation, 70, 9);
        heard.Heard(MemberRole.Node, Dead.Node, 23, now);
        Assert.True(heard.IsSilent(MemberRole.Node, Dead.Node, Dead.Incarnation, 500, now));
        Assert.False(heard.IsHeard(Dead, 500, now));
        Assert.Equal((70UL, 9UL), (heard.Rows(Dead), heard.Read(Dead)));
        Assert.False(heard.IsSilent(MemberRole.Node, Dead.Node, 23, 500, now));
        Assert.True(heard.IsHeard(Dead with { Incarnation = 23 }, 500, now));
        Assert.Equal((0UL, 0UL), (heard.Rows(Dead with { Incarnation = 23 }), heard.Read(Dead with { Incarnation = 23 })));
    }

    /// <summary>
    /// Seed 559: a new manager had asked for the first time after members that were dead, so that they counted as heard; the only one alive said that they did not
    /// acknowledge to it, and was taken out as the one at fault. What its segments held was lost (R6).
    /// </summary>
    [Fact]
    public void Who_was_asked_after_or_forgiven_is_not_silent_and_was_not_heard_either()
    {
        HeardMembers heard = new();
        Instant now = new Instant(0).AfterMs(1000);
        Assert.False(heard.IsSilent(MemberRole.Node, Dead.Node, Dead.Incarnation, 500, now));
        Assert.False(heard.IsHeard(Dead, 500, now));
        heard.Heard(MemberRole.Node, Dead.Node, Dead.Incarnation, now);
        now = now.AfterMs(600);
        heard.Forgive(600, now);
        Assert.False(heard.IsSilent(MemberRole.Node, Dead.Node, Dead.Incarnation, 500, now));
        Assert.False(heard.IsHeard(Dead, 500, now));
    }
}
