using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>What a node is called among the members of its map (design R5).</summary>
public sealed class NodeStateTests : IDisposable
{
    private const ulong Id = 1, Started = 7;

    private readonly FramePool _pool = new();
    private readonly NodeState _node;
    private readonly ClusterMap _map = FrameSamples.Map(FrameSamples.Names.Default);
    private ulong _version;

    public NodeStateTests()
    {
        _version = _map.Version;
        _node = new NodeState(
            new ServerOptions { Node = Id, Incarnation = Started, Cluster = FrameSamples.Cluster, Address = "a", SegmentBits = FrameSamples.SegmentBits },
            new Outbox(new FuzzNetwork(new LinkId(2))) { Pool = _pool });
    }

    public void Dispose() => _node.Dispose();

    /// <summary>What was begun with it, or given to it, before then must not be taken for what it does now (seeds 29358 and 308447).</summary>
    [Fact]
    public void A_node_that_was_counted_gone_comes_in_again_as_another()
    {
        Adopt(isIn: false);
        Assert.Equal((Started, Started, -1), (_node.Incarnation, _node.Joining().Incarnation, _node.Self));
        Adopt(isIn: true);
        Adopt(isIn: true);
        Assert.Equal(Started, _node.Incarnation);
        Assert.True(_node.Self >= 0);
        Adopt(isIn: false);
        ulong second = _node.Incarnation;
        Assert.NotEqual(Started, second);
        Assert.Equal((second, -1), (_node.Joining().Incarnation, _node.Self));
        Adopt(isIn: false);
        Assert.Equal(second, _node.Incarnation);

        // The map that names it as it was once is none of which it is a member.
        Adopt(isIn: true, Started);
        Assert.Equal((second, -1), (_node.Incarnation, _node.Self));
        Adopt(isIn: true);
        Assert.True(_node.Self >= 0);
        Adopt(isIn: false);
        Assert.DoesNotContain(_node.Incarnation, (ulong[])[Started, second]);
    }

    private void Adopt(bool isIn, ulong? incarnation = null) => _node.Adopt(
        _map with
        {
            Version = ++_version,
            Members = [.. _map.Members.Where(m => isIn || m.Node != Id).Select(m => m.Node == Id ? m with { Incarnation = incarnation ?? _node.Incarnation } : m)],
            Chains = [.. _map.Chains.Select(_ => new MapChain(1, []))],
        },
        read: default);
}
