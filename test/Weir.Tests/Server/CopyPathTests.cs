using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>A copy in the making at the newcomer (design R17).</summary>
public sealed class CopyPathTests : IDisposable
{
    private readonly FramePool _pool = new();
    private readonly NodeState _node;
    private readonly CopyPath _copies;

    public CopyPathTests()
    {
        _node = new NodeState(
            new ServerOptions { Node = 1, Incarnation = 1, Cluster = FrameSamples.Cluster, Address = "a", SegmentBits = FrameSamples.SegmentBits },
            new Outbox(new FuzzNetwork(new LinkId(2))) { Pool = _pool });
        _copies = new CopyPath(_node, new ChainPath(_node));
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);
        _node.Adopt(map with { Chains = [.. map.Chains.Select(_ => new MapChain(1, [ChainMember.Complete(1)]))] }, read: default);
        _copies.Want(0);
    }

    public void Dispose()
    {
        _copies.Dispose();
        _node.Dispose();
    }

    /// <summary>A slice of an attempt that was given up comes late: what it holds is older than what the new attempt has begun with.</summary>
    [Fact]
    public void A_slice_of_an_earlier_attempt_changes_nothing()
    {
        CopyTarget first = _node.Find(0)!.Target!;
        Slice(first.Attempt, 0);
        Assert.Equal(1UL, first.Position);
        _node.Now = _node.Now.AfterMs(3000);
        _copies.Tick();
        CopyTarget second = _node.Find(0)!.Target!;
        Assert.NotEqual(first.Attempt, second.Attempt);
        Slice(first.Attempt, 0);
        Slice(first.Attempt, 1);
        Assert.Equal(0UL, second.Position);
        Slice(second.Attempt, 0);
        Slice(first.Attempt, 1);
        Assert.Equal(1UL, second.Position);
    }

    private void Slice(ulong attempt, ulong position)
    {
        byte[] body = new byte[CopySliceHead.Size];
        var writer = new ByteWriter(body);
        new CopySliceHead(2, 22, 0, false, attempt, 1, position).Write(ref writer);
        Assert.True(_copies.Handle(new FrameHeader { Kind = FrameKind.CopySlice }, body));
    }
}
