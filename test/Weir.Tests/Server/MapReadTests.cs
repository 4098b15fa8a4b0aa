using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>Readers of the map get what changed since the version that they have, or the whole map (issue 5, item 1).</summary>
public sealed class MapReadTests : IDisposable
{
    private static readonly LinkId Client = new(2);

    private readonly FramePool _pool = new();
    private readonly FuzzNetwork _network = new(Client);
    private readonly List<ServerNode> _nodes = [];

    public void Dispose() => _nodes.ForEach(n => n.Dispose());

    [Fact]
    public void Whoever_has_an_older_map_is_told_what_changed_and_nobody_else_is()
    {
        FuzzPeer peer = First(out ServerNode node);
        Dictionary<ulong, ClusterMap> had = new() { [1] = node.Map! };
        for (int i = 0; i < 20; i++)
        {
            peer.Change(FrameKind.OpenTable, new OpenTableBody($"t{i}", 2, UpdateRule.Add, 0, false, 0, KeyLifetime.Default));
            had.Add(node.Map!.Version, node.Map);
        }

        Assert.Equal(21, had.Count);
        foreach (ClusterMap older in had.Values.Where(m => m.Version < node.Map!.Version))
        {
            // Many differences of a map as small as this are longer than the map.
            byte[] answer = Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = older.Version })));
            Assert.InRange(answer.Length, 1, FrameHeader.Size + MapEncoding.Size(node.Map!));
            if (Kind(answer) == FrameKind.ReadMapReply)
            {
                Assert.InRange(older.Version, 1ul, 16ul);
                continue;
            }

            Assert.True(MapDifference.TryApply(older, answer.AsSpan(FrameHeader.Size), out ClusterMap read));
            Assert.Equal(MapEncoding.Encode(node.Map!), MapEncoding.Encode(read));
        }

        byte[] known = Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = node.Map!.Version })));
        Assert.Equal((FrameKind.ReadMapReply, FrameHeader.Size), (Kind(known), known.Length));
        foreach (ulong never in (ulong[])[0, node.Map.Version + 1])
        {
            byte[] whole = Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = never })));
            Assert.Equal(FrameKind.ReadMapReply, Kind(whole));
            Assert.Equal(MapEncoding.Encode(node.Map), whole[FrameHeader.Size..]);
        }
    }

    [Fact]
    public void A_reader_without_a_version_that_the_node_had_gets_the_whole_map_however_short_its_history()
    {
        FuzzPeer peer = First(out ServerNode node);
        peer.Change(FrameKind.OpenSession, new OpenSessionBody(20, 21, 0, 0, 0));
        Assert.Equal(FrameKind.MapDifferences, Kind(Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = 1 })))));
        foreach (ulong never in (ulong[])[0, node.Map!.Version + 1])
        {
            byte[] whole = Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = never })));
            Assert.Equal(FrameKind.ReadMapReply, Kind(whole));
        }
    }

    /// <summary>
    /// Found by <c>weir bench failover</c>: a client that had read the new manager's map named it to a node, which asked the manager it knew - the dead one -
    /// and then passed over the new one's word of the same map, for 100 ms.
    /// </summary>
    [Fact]
    public void A_node_that_asked_the_dead_manager_for_a_map_asks_whoever_names_it_next_as_well()
    {
        using var state = new NodeState(
            new ServerOptions { Node = 2, Incarnation = 2, Cluster = FrameSamples.Cluster, Address = "b", SegmentBits = FrameSamples.SegmentBits },
            new Outbox(_network) { Pool = _pool });
        state.Adopt(FrameSamples.Map(FrameSamples.Names.Default) with { Version = 4 }, read: default);
        var follower = new MapFollower(state);
        follower.Want(5, default);
        state.Outbox.Flush();
        Assert.Empty(_network.Replies);
        follower.Want(5, default, Client);
        follower.Want(5, default, Client);
        state.Outbox.Flush();
        Assert.Equal(FrameKind.ReadMap, Kind(Assert.Single(_network.Replies)));
    }

    [Fact]
    public void A_reader_that_is_far_behind_gets_the_whole_map()
    {
        FuzzPeer peer = First(out ServerNode node);
        peer.Change(FrameKind.OpenTable, new OpenTableBody("t", 2, UpdateRule.Add, 0, false, 0, KeyLifetime.Default));
        for (int i = 0; i < 300; i++)
        {
            peer.Change(FrameKind.OpenSession, new OpenSessionBody(20, 21, 0, 0, 0));
        }

        Assert.Equal(302ul, node.Map!.Version);
        byte[] answer = Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = 2 })));
        Assert.Equal(FrameKind.ReadMapReply, Kind(answer));
    }

    [Fact]
    public void A_node_follows_by_differences_and_asks_for_the_whole_map_where_they_do_not_lead_on()
    {
        FuzzPeer peer = Joined(out ServerNode node);
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default), next = FrameSamples.NextMap(FrameSamples.Names.Default);
        byte[] fromElsewhere = MapDifference.Encode(
            map with { Chains = [map.Chains[0] with { Epoch = 3 }, .. map.Chains[1..]] }, next with { Chains = [next.Chains[0] with { Epoch = 3 }, .. next.Chains[1..]] });
        peer.Send(FrameSamples.Frame(FrameKind.MapDifferences, new RawBody(fromElsewhere), Names with { MapVersion = next.Version }));
        Assert.Equal(map.Version, node.Map!.Version);
        Assert.Equal(0ul, AskedFor(node, atMs: 1_000));

        peer.Send(FrameSamples.Frame(FrameKind.MapDifferences, new RawBody(MapDifference.Encode(map, next)), Names with { MapVersion = next.Version }));
        Assert.Equal(MapEncoding.Encode(next), MapEncoding.Encode(node.Map!));
        Assert.Equal(next.Version, AskedFor(node, atMs: 2_000));
    }

    /// <summary>
    /// Found by <c>weir bench join</c>: a newcomer encoded the differences to each map anew, before it served the segments that the map gave it, and pushes waited.
    /// </summary>
    [Fact]
    public void A_node_passes_on_the_differences_that_it_read()
    {
        FuzzPeer peer = Joined(out _);
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default), next = FrameSamples.NextMap(FrameSamples.Names.Default);

        // One that leads up to the node's map shows whether the bytes are the same.
        byte[] read = [.. MapDifference.Encode(map with { Version = map.Version - 1 }, map), .. MapDifference.Encode(map, next)];
        peer.Send(FrameSamples.Frame(FrameKind.MapDifferences, new RawBody(read), Names with { MapVersion = next.Version }));
        byte[] told = Assert.Single(peer.Send(FrameSamples.Frame(FrameKind.ReadMap, default(EmptyBody), Names with { MapVersion = map.Version })));
        Assert.Equal(FrameKind.MapDifferences, Kind(told));
        Assert.Equal(read, told[FrameHeader.Size..]);
        Assert.True(MapDifference.TryApply(map, told.AsSpan(FrameHeader.Size), out ClusterMap newer) && newer.Version == next.Version);
    }

    /// <summary>The version that a node names when it asks for a map, once it has heard of a newer one.</summary>
    private ulong AskedFor(ServerNode node, long atMs)
    {
        Instant now = new(atMs * 1000);
        _network.Sent.Clear();
        byte[] reply = FrameSamples.Frame(FrameKind.HeartbeatReply, new HeartbeatReplyBody(Status.Acked, []), Names with { MapVersion = (ulong)atMs });
        FrameBuffer frame = _pool.Rent(reply.Length);
        reply.CopyTo(frame.Span);
        node.Receive(_network.Open("a"), frame, now);
        node.Tick(now);
        node.EndTurn();
        return _network.Sent.Last(h => h.Kind == FrameKind.ReadMap).MapVersion;
    }

    private static FrameSamples.Names Names => FrameSamples.Names.Default;

    private FuzzPeer First(out ServerNode node)
    {
        node = Started(new ServerOptions { Node = 1, Incarnation = 1, Cluster = FrameSamples.Cluster, Address = "a", SegmentBits = FrameSamples.SegmentBits });
        return new FuzzPeer(node, _pool, _network, Client);
    }

    private FuzzPeer Joined(out ServerNode node)
    {
        node = Started(new ServerOptions { Node = 2, Incarnation = 22, Address = "b", Join = "a" });
        var peer = new FuzzPeer(node, _pool, _network, Client);
        peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(FrameSamples.Map(Names))), Names));
        return peer;
    }

    private ServerNode Started(ServerOptions options)
    {
        ServerNode node = new(options, _network, pool: _pool);
        _nodes.Add(node);
        return node;
    }

    private static FrameKind Kind(byte[] frame)
    {
        Assert.Equal(HeaderFault.None, FrameHeader.TryRead(frame, out FrameHeader header));
        return header.Kind;
    }
}
