using Weir.Keys;
using Weir.Placement;
using Weir.Tests.Wire;
using Weir.World;

namespace Weir.Tests.Placement;

/// <summary>
/// The largest cluster planned for: 1,000 nodes, 2^17 segments, chains of three. Its map fits a frame, the answer of an acceptor, and a
/// request to etcd (issue 5, item 1).
/// </summary>
public class MapSizeTests
{
    private const int Nodes = 1_000;
    private const int Followers = 2;
    private const int Replaced = 600;

    [Fact]
    public void A_map_of_a_thousand_nodes_with_chains_of_three_fits_after_hundreds_of_nodes_were_replaced()
    {
        ClusterMap map = Largest();
        Assert.InRange(MapEncoding.Size(map), 1, 750_000);
        Rng rng = new(1);
        for (int i = 0; i < Replaced; i++)
        {
            // A copy takes a while: of the last twenty nodes that went, some newcomers are still copying.
            map = Replace(map, rng.Below(Nodes), isRecent: i > Replaced - 20, rng);
        }

        Assert.InRange(map.Version, (ulong)Replaced * 11, ulong.MaxValue);
        Assert.InRange(map.Chains.SelectMany(c => c.Members).Count(m => !m.IsComplete), 1_000, 10_000);
        Assert.InRange(MapEncoding.Size(map), 1, 940_000);
        Assert.True(MapEncoding.TryDecode(MapEncoding.Encode(map), out ClusterMap read));
        Assert.Equal(MapEncoding.Fingerprint(map), MapEncoding.Fingerprint(read));

        // Years of changes: some hundreds of workers come and go between any two steps that move eight segments, and versions pass 2^32.
        map = map with
        {
            Version = 1UL << 40,
            Chains = [.. map.Chains.Select(c => c with { Epoch = (1UL << 33) + (ulong)((rng.Below(1 << 14) + 1) * 300) })],
        };
        Assert.InRange(MapEncoding.Size(map), 1, MapEncoding.MaxBytes);
    }

    [Fact]
    public void The_size_is_that_of_the_bytes_whatever_chains_a_copy_of_the_map_has()
    {
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);
        Assert.Equal(MapEncoding.Encode(map).Length, MapEncoding.Size(map));
        ClusterMap[] others =
        [
            map with { Sessions = [], Version = map.Version + 1 },
            map with { Chains = [.. map.Chains.Select((c, s) => c with { Epoch = (ulong)s % 3 })] },
            map with { SegmentBits = 7, Chains = [.. map.Chains, .. map.Chains] },
        ];
        foreach (ClusterMap other in others)
        {
            byte[] bytes = MapEncoding.Encode(other);
            Assert.Equal(bytes.Length, MapEncoding.Size(other));
            Assert.True(MapEncoding.TryDecode(bytes, out ClusterMap read));
            Assert.Equal(other.Chains.Select(c => c.Epoch), read.Chains.Select(c => c.Epoch));
        }
    }

    [Fact]
    public void The_bound_leaves_room_for_what_stands_before_a_map_in_every_frame_that_carries_one()
    {
        byte[] map = new byte[MapEncoding.MaxBytes];
        Assert.InRange(new Weir.Wire.RegisterReplyBody(Status.Acked, 1, map).Bytes, 1, Weir.Wire.FrameHeader.MaxBodyBytes);
        var value = new Weir.Wire.CellValue(1, 2, map);
        Assert.InRange(new Weir.Wire.PaxosBody(1, new(1, 1), value, HasValue: true).Bytes, 1, Weir.Wire.FrameHeader.MaxBodyBytes);
        Assert.InRange(new Weir.Wire.PaxosReplyBody(1, true, new(1, 1), new(1, 1), new(1, 1), value).Bytes, 1, Weir.Wire.FrameHeader.MaxBodyBytes);
    }

    [Fact]
    public void What_a_node_that_goes_changes_of_the_largest_map_takes_a_few_kilobytes()
    {
        ClusterMap map = Largest();
        ClusterMap gone = map with
        {
            Version = 2,
            Members = [.. map.Members.Where((_, i) => i != 500)],
            Chains = [.. map.Chains.Select(c => c with
            {
                Members = [.. c.Members.Where(m => m.Member != 500).Select(m => m with { Member = m.Member > 500 ? m.Member - 1 : m.Member })],
                Epoch = c.PlaceOf(500) >= 0 ? 2UL : c.Epoch,
            })],
        };
        byte[] bytes = MapDifference.Encode(map, gone);
        Assert.InRange(bytes.Length, 1, 4_000);
        Assert.True(MapDifference.TryApply(map, bytes, out ClusterMap applied));
        Assert.Equal(MapEncoding.Encode(gone), MapEncoding.Encode(applied));
    }

    /// <summary>A map with all that large clusters have: long addresses, zones, tables, a worker and a process a node. Its chains are the ring's.</summary>
    internal static ClusterMap Largest()
    {
        ulong[][] chains = RingChains();
        return new ClusterMap
        {
            Cluster = 7,
            SegmentBits = ClusterMap.MaxSegmentBits,
            Members = [.. Enumerable.Range(1, Nodes).Select(n => new MapMember((ulong)n, 0x1234_5678_9ABC_DEF0, $"weir-server-{n:d4}.training.example.org:47000", 100, $"zone-{n % 40}"))],
            Tables = [.. Enumerable.Range(1, 64).Select(t => new MapTable((uint)t, $"layer {t} weights", 64, UpdateRule.Adam(), 0, false, 0, KeyLifetime.Default))],
            Jobs = [new MapJob(1, "job", 1, false, 1, default, [.. Enumerable.Range(1, Nodes).Select(w => MapWorker.Opened with { Process = (ulong)w, Session = (ulong)w })])],
            Processes = [.. Enumerable.Range(1, Nodes).Select(p => new MapProcess((ulong)p, 99, 1, $"trainer-{p:d4}"))],
            NextTable = 65,
            NextGroup = 2,
            NextSession = Nodes + 1,
            Replicas = Followers,
            Chains = [.. chains.Select(nodes => new MapChain(1, [.. nodes.Select(node => ChainMember.Complete((int)node - 1))]))],
        };
    }

    private static ulong[][] RingChains() =>
        new Ring([.. Enumerable.Range(1, Nodes).Select(n => new RingMember((ulong)n, 100, $"zone-{n % 40}"))]).Place(ClusterMap.MaxSegmentBits, Followers);

    /// <summary>
    /// A node goes in one version, and another comes in its place: each of its chains is mended in one of the next ten by another node, which the
    /// map then knows complete, unless it is recent.
    /// </summary>
    private static ClusterMap Replace(ClusterMap map, int gone, bool isRecent, Rng rng)
    {
        var chains = (MapChain[])map.Chains.Clone();
        for (int segment = 0; segment < chains.Length; segment++)
        {
            MapChain chain = chains[segment];
            if (chain.PlaceOf(gone) < 0)
            {
                continue;
            }

            int member;
            do
            {
                member = rng.Below(Nodes);
            }
            while (chain.PlaceOf(member) >= 0);
            ulong appended = map.Version + 2 + (ulong)rng.Below(10);
            ChainMember newcomer = isRecent && rng.Chance(1, 2) ? new ChainMember(member, appended) : ChainMember.Complete(member);
            chains[segment] = new MapChain(appended, [.. chain.Members.Where(m => m.Member != gone), newcomer]);
        }

        return map with { Version = map.Version + 11, Chains = chains };
    }
}
