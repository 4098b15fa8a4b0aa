using Weir.Placement;
using Weir.Register;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// This node's part in the role of the manager (design R3): it holds the lease and decides the map by its <see cref="Membership"/>, or stands by,
/// hears what the manager hears and takes over once the lease lapses. Not thread-safe.
/// </summary>
internal sealed class ManagerRole
{
    private readonly NodeState _node;
    private readonly Action<ClusterMap, Instant> _adopt;
    private readonly RegisterCalls _register;
    private readonly ManagerLease _lease;
    private readonly IReadOnlyList<string> _acceptors;
    private Instant _lastTick = Instant.Never;
    private Instant _cutOffSince = Instant.Never;

    /// <param name="node">The node.</param>
    /// <param name="register">The register.</param>
    /// <param name="acceptors">What the first map says of the register's acceptors.</param>
    /// <param name="heard">Who was heard; kept by the node, manager or not.</param>
    /// <param name="adopt">Has the node act on a map that was swapped in, or read from the register.</param>
    public ManagerRole(NodeState node, IRegister register, IReadOnlyList<string> acceptors, HeardMembers heard, Action<ClusterMap, Instant> adopt)
    {
        (_node, _adopt, _acceptors, Heard) = (node, adopt, acceptors, heard);
        _register = new RegisterCalls(register);
        _lease = new ManagerLease(node, _register);
    }

    public HeardMembers Heard { get; }

    /// <summary>Decides the next map; null on a node that does not hold the lease.</summary>
    public Membership? Membership { get; private set; }

    /// <summary>The lease as this node last saw it: the holder's term and the cell's version.</summary>
    public (ulong Term, ulong Version) Lease => (_lease.Term, _lease.Version);

    /// <summary>Where the holder of the lease is reached, where this node has read that.</summary>
    public string? Address => _lease.Address;

    /// <summary>Another node told how it last saw the lease.</summary>
    public void Observe(ulong term, ulong version, Instant now) => _lease.Observe(term, version, now);

    public void Tick(Instant now)
    {
        ForgiveOwnSilence(now);
        ClusterMap? map = _node.Map;
        if (map is not null)
        {
            Heard.ForgetStrangers(map);
        }

        bool isMember = map?.Member(_node.Options.Node)?.Incarnation == _node.Incarnation;
        if (_lease.IsHeld && map is not null && Membership is { IsReady: true } && !isMember)
        {
            _lease.Resign();
        }

        bool mayFound = (map is null && _node.Options.Join is null) || (!isMember && _node.Journal is { HasPast: true } && Membership is null);
        _lease.Tick(now, isMember ? Patience(map!) : mayFound ? FounderPatience : null, map?.ManagerTerm ?? 0, seeks: map is null);
        if (!IsCutOff(now))
        {
            Membership?.Tick(now);
        }
    }

    /// <summary>Goes on with what the register has answered, and swaps what is queued. To be called at the end of each turn.</summary>
    /// <returns>Whether there was anything to do.</returns>
    public bool Advance(Instant now)
    {
        bool any = _register.Advance(now);
        if (Membership is { IsOver: true } over)
        {
            Membership = null;
            _lease.GiveUp();
            over.Refuse(_lease.Address);
        }

        if (Membership is { } lost && (!_lease.IsHeld || lost.Term != _lease.Term))
        {
            Membership = null;
            lost.Refuse(_lease.Address);
            _node.Outbox.Note($"this node is the manager no longer: its term was {lost.Term}, that of {_lease.Address ?? "the holder"} is {_lease.Term}");
        }

        if (_lease.IsHeld && Membership is null)
        {
            // One that takes over having heard nobody for a while may have been deaf itself.
            Heard.Forgive(Heard.DeafMs(now), now);
            Membership = new Membership(_node, _register, Heard, _lease.Term, _acceptors, _adopt);
            any = true;
        }

        return Membership?.Advance() == true || any;
    }

    // The first standby waits as long as the lease lasts; each next one half of that longer, so that two do not try at once.
    private long Patience(ClusterMap map)
    {
        const int MostRanks = 16;
        long leaseMs = _node.Limits.LeaseTimeoutMs;
        return leaseMs + (leaseMs * Math.Clamp(Succession.Rank(map, _node.Options.Node), 0, MostRanks) / 2);
    }

    // A first node that comes back where everybody is gone: those who live come before it.
    // So does anyone that comes back with its journal, each after a time of its own.
    private long FounderPatience => _node.Limits.LeaseTimeoutMs * (_node.Options.Join is null ? 8 : 10 + (long)(_node.Options.Incarnation % 8)) / 4;

    /// <summary>
    /// Whether the register has been away for a good part of the lease: then it may be this node that is cut off, and nobody is counted gone. Once
    /// the register answers again, that time is not the others' silence. First seen in a simulation: a manager that could send and hear nothing for
    /// 500 ms removed every other node in its first swap after that.
    /// </summary>
    private bool IsCutOff(Instant now)
    {
        if (!_lease.IsHeld)
        {
            _cutOffSince = Instant.Never;
            return false;
        }

        if (now.MsSince(_lease.Answered) > _node.Limits.LeaseTimeoutMs / 2)
        {
            _cutOffSince = _lease.Answered;
            return true;
        }

        if (_cutOffSince != Instant.Never)
        {
            Heard.Forgive(now.MsSince(_cutOffSince), now);
            _cutOffSince = Instant.Never;
        }

        return false;
    }

    private void ForgiveOwnSilence(Instant now)
    {
        long gapMs = _lastTick == Instant.Never ? 0 : now.MsSince(_lastTick);
        _lastTick = now;
        if (gapMs > _node.Limits.AsleepMs)
        {
            Heard.Forgive(gapMs, now);
            _lease.Forgive(gapMs);
        }
    }
}
