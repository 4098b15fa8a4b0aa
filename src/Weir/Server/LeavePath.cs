using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// A node's own planned leave: it has itself drained, waits until no chain names it, says goodbye and has left once the map is without it. A pure
/// machine like the rest: each tick does what is due.
/// </summary>
internal sealed class LeavePath(NodeState node)
{
    private const long RetryMs = 100;

    private Instant _nextAsk;
    private ClusterMap? _counted;

    /// <summary>The node has been asked to leave.</summary>
    public bool HasBegun { get; private set; }

    /// <summary>The map is without this node, and nothing of it is missed.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Why the cluster does not let it go; null where it does.</summary>
    public string? Refusal { get; private set; }

    /// <summary>Chains that name this node yet, as far as its map says.</summary>
    public int SegmentsLeft { get; private set; }

    /// <summary>The map names its former start, and it has that one's journal: it comes in before it leaves, as others may wait for what only it has.</summary>
    public bool ComesBack => node.Self < 0 && node.Journal is { } journal && node.Map?.Member(node.Options.Node)?.Journal == journal.Number;

    public void Begin()
    {
        if (!HasBegun)
        {
            (HasBegun, _nextAsk) = (true, node.Now);
        }
    }

    /// <summary>The manager's answer to what this node asked.</summary>
    public void Answered(in AdminReplyBody reply)
    {
        if (reply.Status is Status.Conflict or Status.Full)
        {
            Refusal = reply.Text;
        }
    }

    public void Tick(ManagerRole? role, MapFollower follower)
    {
        if (!HasBegun || IsOver || node.Map is not { } map)
        {
            return;
        }

        ServerOptions options = node.Options;
        if (map.Acceptors is [string only] && only == options.Address)
        {
            Refusal = "this server has the register's only acceptor: the cluster ends with it";
            return;
        }

        int self = map.IndexOf(node.Options.Node, node.Incarnation);
        if (self < 0)
        {
            // A manager goes on until its lease is given back.
            IsOver = role?.Membership is null && !ComesBack;
            return;
        }

        if (!ReferenceEquals(_counted, map))
        {
            (_counted, SegmentsLeft) = (map, Held(map, self));
        }

        bool isDrained = map.Members[self].IsDraining && (SegmentsLeft == 0 || map.Tables.Length == 0);
        if (node.Now < _nextAsk || (map.Members[self].IsDraining && !isDrained))
        {
            return;
        }

        _nextAsk = node.Now.AfterMs(RetryMs);
        Ask(role, follower, isDrained);
    }

    private static int Held(ClusterMap map, int member) => map.Chains.Count(c => c.PlaceOf(member) >= 0);

    private void Ask(ManagerRole? role, MapFollower follower, bool isDrained)
    {
        (ulong id, ulong incarnation) = (node.Options.Node, node.Incarnation);
        if (role?.Membership is { } membership)
        {
            membership.Request(LinkId.None, default, m => Told(isDrained ? MemberDepartures.Leave(m, id) : MemberDepartures.Drain(m, id, incarnation, isTakenBack: false)));
        }
        else if (follower.Source(0) is { } manager && node.Outbox.Open(manager) is var link)
        {
            if (isDrained)
            {
                node.Outbox.Send(link, node.Header(FrameKind.Leave), new LeaveBody(MemberRole.Node, id, incarnation));
            }
            else
            {
                node.Outbox.Send(link, node.Header(FrameKind.Drain), new DrainBody(id, incarnation, false));
            }
        }
    }

    private Membership.Decision Told(Membership.Decision decision)
    {
        Refusal = decision.Map is null ? decision.Text : Refusal;
        return decision;
    }
}
