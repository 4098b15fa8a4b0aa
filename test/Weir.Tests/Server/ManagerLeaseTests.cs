using Weir.Register;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>When a standby takes the lease over (design R3).</summary>
public sealed class ManagerLeaseTests : IDisposable
{
    private readonly FramePool _pool = new();
    private readonly LoneCell _register = new();
    private readonly NodeState _holderNode, _standbyNode;
    private readonly RegisterCalls _holderCalls, _standbyCalls;
    private readonly ManagerLease _holder, _standby;

    public ManagerLeaseTests()
    {
        (_holderNode, _standbyNode) = (Node(1), Node(2));
        (_holderCalls, _standbyCalls) = (new RegisterCalls(_register), new RegisterCalls(_register));
        (_holder, _standby) = (new ManagerLease(_holderNode, _holderCalls), new ManagerLease(_standbyNode, _standbyCalls));
        Tick(_holder, _holderCalls, At(0));
        Tick(_holder, _holderCalls, At(0));
        Assert.True(_holder.IsHeld);
    }

    private long LeaseMs => _holderNode.Limits.LeaseTimeoutMs;

    private long RenewMs => _holderNode.Limits.LeaseRenewMs;

    /// <summary>
    /// It renewed once or twice after it was last heard of, so that the first swap meets a newer version. Waiting a whole lease from there made one failover in
    /// ten take 1.2 s instead of .7.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_holder_that_renewed_unheard_before_it_died_is_not_waited_for_a_whole_lease_anew(int renewals)
    {
        _standby.Observe(_holder.Term, _holder.Version, At(0));
        for (int renewal = 1; renewal <= renewals; renewal++)
        {
            Tick(_holder, _holderCalls, At(renewal * RenewMs));
        }

        long tookOverMs = Enumerable.Range(0, 100).Select(tick => tick * 10L).First(ms =>
        {
            Tick(_standby, _standbyCalls, At(ms));
            return _standby.IsHeld;
        });
        Assert.InRange(tookOverMs, LeaseMs, LeaseMs + ((renewals + 1) * RenewMs));
    }

    [Fact]
    public void A_holder_that_lives_and_is_not_heard_of_keeps_the_lease()
    {
        _standby.Observe(_holder.Term, _holder.Version, At(0));
        for (long ms = 0; ms < 20 * LeaseMs; ms += 10)
        {
            Tick(_holder, _holderCalls, At(ms));
            Tick(_standby, _standbyCalls, At(ms));
            Assert.True(_holder.IsHeld && !_standby.IsHeld);
        }
    }

    /// <summary>All whom it knows were started again without a map, as it was: they would ask each other for ever (seed 320483).</summary>
    [Fact]
    public void A_node_that_seeks_the_manager_reads_where_it_is_and_takes_nothing_over()
    {
        for (long ms = 0; ms <= 2 * LeaseMs; ms += 10)
        {
            _standby.Tick(At(ms), patienceMs: null, lowestTerm: 0, seeks: ms >= LeaseMs / 2);
            _standbyCalls.Advance(At(ms));
            Assert.False(_standby.IsHeld);
            Assert.Equal(ms < LeaseMs * 3 / 2 ? null : _holderNode.Options.Address, _standby.Address);
        }

        Tick(_holder, _holderCalls, At(2 * LeaseMs));
        Assert.True(_holder.IsHeld);
    }

    public void Dispose()
    {
        _holderNode.Dispose();
        _standbyNode.Dispose();
    }

    private static Instant At(long ms) => new Instant(0).AfterMs(ms);

    private NodeState Node(ulong id) => new(
        new ServerOptions { Node = id, Incarnation = id, Cluster = FrameSamples.Cluster, Address = $"{id}", SegmentBits = FrameSamples.SegmentBits, Limits = ServerLimits.FastFailover },
        new Outbox(new FuzzNetwork(new LinkId(2))) { Pool = _pool });

    private void Tick(ManagerLease lease, RegisterCalls calls, Instant now)
    {
        lease.Tick(now, LeaseMs, lowestTerm: 0, seeks: false);
        calls.Advance(now);
    }
}
