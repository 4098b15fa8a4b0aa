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

    /// <summary>It may wait for the same attempt still, and would take slices of both (seed 29358). Another attempt is served, of any segment.</summary>
    [Fact]
    public void An_attempt_is_served_once_though_the_newcomer_left_the_map_and_came_in_again()
    {
        ClusterMap map = _node.Map! with { Chains = [.. _node.Map!.Chains.Select(_ => new MapChain(1, [ChainMember.Complete(0)]))] };
        MapMember[] members = map.Members;
        ulong version = map.Version;
        Adopt(members);
        foreach (Segment segment in _node.Held)
        {
            segment.IsConfirmed = true;
        }

        Assert.True(IsServed(segment: 0, attempt: 1));
        Assert.True(IsServed(segment: 1, attempt: 4));
        Assert.False(IsServed(segment: 1, attempt: 4));
        Adopt([members[0]]);
        Adopt(members);
        Assert.False(IsServed(segment: 1, attempt: 4));
        Assert.False(IsServed(segment: 0, attempt: 1));
        Assert.True(IsServed(segment: 0, attempt: 5));

        void Adopt(MapMember[] named)
        {
            _node.Adopt(map with { Version = ++version, Members = named }, read: default);
            foreach (uint segment in (uint[])[0, 1])
            {
                _node.Find(segment)!.Adopt(_node.Map!.Chains[segment], 0);
            }

            _copies.Adopt();
        }

        bool IsServed(uint segment, ulong attempt)
        {
            _node.Find(segment)!.EndCopy();
            byte[] body = new byte[new CopyBody(2, 22, segment, attempt, 1, 0).Bytes];
            var writer = new ByteWriter(body);
            new CopyBody(2, 22, segment, attempt, 1, 0).Write(ref writer);
            Assert.True(_copies.Handle(new FrameHeader { Kind = FrameKind.CopyBegin }, body));
            return _node.Find(segment)!.Copy is not null;
        }
    }

    private void Slice(ulong attempt, ulong position)
    {
        byte[] body = new byte[CopySliceHead.Size];
        var writer = new ByteWriter(body);
        new CopySliceHead(2, 22, 0, false, attempt, 1, position).Write(ref writer);
        Assert.True(_copies.Handle(new FrameHeader { Kind = FrameKind.CopySlice }, body));
    }
}
