using Weir.Keys;
using Weir.Placement;
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
    private const int Changes = 600;

    [Fact]
    public void A_map_of_a_thousand_nodes_with_chains_of_three_fits_after_hundreds_of_changes()
    {
        ClusterMap map = Largest();
        int lists = MapEncoding.Size(map) - MapParts.Columns.Sum(c => PackedColumn.Encode(c.Get(map)).Length);
        Chains chains = new();
        Assert.InRange(lists + chains.Bytes(), 1, MapEncoding.MaxBytes);
        Rng rng = new(1);
        for (uint version = 2; version < 2 + Changes; version++)
        {
            chains.Replace((uint)rng.Below(Nodes) + 1, version, rng);
        }

        Assert.InRange(lists + chains.Bytes(), 1, 880_000);
        chains.SpreadEpochs(rng, steps: 1 << 14, versionsApart: 300);
        Assert.InRange(lists + chains.Bytes(), 1, MapEncoding.MaxBytes);
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
    public void A_larger_map_does_not_fit_and_the_sure_bound_is_never_below_the_size()
    {
        ClusterMap map = Largest();
        Assert.True(MapEncoding.Fits(map, out _));
        MapWorker[] workers = [.. Enumerable.Repeat(MapWorker.Opened, 24_000)];
        ClusterMap larger = map with { Jobs = [new MapJob(1, "job", 1, 1, default, workers)], NextGroup = 2 };
        Assert.False(MapEncoding.Fits(larger, out int bytes));
        Assert.Equal(MapEncoding.Encode(larger).Length, bytes);
        ClusterMap small = map with { SegmentBits = 6, Heads = new int[64], Epochs = [.. Enumerable.Range(0, 64).Select(i => (uint)i * 60_000_000)] };
        Assert.True(MapEncoding.Fits(small, out int most));
        Assert.InRange(MapEncoding.Encode(small).Length, 1, most);
    }

    [Fact]
    public void What_a_node_that_goes_changes_of_the_largest_map_takes_a_few_kilobytes()
    {
        ClusterMap map = Largest();
        ClusterMap gone = map with
        {
            Version = 2,
            Members = [.. map.Members.Where((_, i) => i != 500)],
            Heads = [.. map.Heads.Select(h => h == 500 ? 400 : h > 500 ? h - 1 : h)],
            Epochs = [.. map.Epochs.Select((e, s) => map.Heads[s] == 500 ? 2 : e)],
        };
        byte[] bytes = MapDifference.Encode(map, gone);
        Assert.InRange(bytes.Length, 1, 4_000);
        Assert.True(MapDifference.TryApply(map, bytes, out ClusterMap applied));
        Assert.Equal(MapEncoding.Encode(gone), MapEncoding.Encode(applied));
    }

    /// <summary>A map with all that large clusters have: long addresses, zones, tables, a worker and a process a node. Its heads are the ring's.</summary>
    internal static ClusterMap Largest()
    {
        ulong[][] chains = RingChains();
        return new ClusterMap
        {
            Cluster = 7,
            SegmentBits = ClusterMap.MaxSegmentBits,
            Members = [.. Enumerable.Range(1, Nodes).Select(n => new MapMember((ulong)n, 0x1234_5678_9ABC_DEF0, $"weir-server-{n:d4}.training.example.org:47000", 100, $"zone-{n % 40}"))],
            Tables = [.. Enumerable.Range(1, 64).Select(t => new MapTable((uint)t, $"layer {t} weights", 64, UpdateRule.Adam(), 0, false, 0, KeyLifetime.Default))],
            Jobs = [new MapJob(1, "job", 1, 1, default, [.. Enumerable.Range(1, Nodes).Select(w => MapWorker.Opened with { Process = (ulong)w, Session = (ulong)w })])],
            Processes = [.. Enumerable.Range(1, Nodes).Select(p => new MapProcess((ulong)p, 99, 1, $"trainer-{p:d4}"))],
            NextTable = 65,
            NextGroup = 2,
            NextSession = Nodes + 1,
            Heads = [.. chains.Select(c => (int)c[0] - 1)],
            Epochs = [.. Enumerable.Repeat(1u, chains.Length)],
        };
    }

    private static ulong[][] RingChains() =>
        new Ring([.. Enumerable.Range(1, Nodes).Select(n => new RingMember((ulong)n, 100, $"zone-{n % 40}"))]).Place(ClusterMap.MaxSegmentBits, Followers);

    /// <summary>
    /// Chains as columns: for each place who stands there, and the version that appended it until the map marks it complete, 0 from then on;
    /// and the segment's epoch.
    /// </summary>
    private sealed class Chains
    {
        private readonly uint[][] _places = [.. Enumerable.Range(0, Followers + 1).Select(_ => new uint[1 << ClusterMap.MaxSegmentBits])];
        private readonly uint[][] _appended = [.. Enumerable.Range(0, Followers + 1).Select(_ => new uint[1 << ClusterMap.MaxSegmentBits])];
        private readonly uint[] _epochs = [.. Enumerable.Repeat(1u, 1 << ClusterMap.MaxSegmentBits)];

        public Chains()
        {
            ulong[][] chains = RingChains();
            for (int segment = 0; segment < chains.Length; segment++)
            {
                for (int place = 0; place <= Followers; place++)
                {
                    _places[place][segment] = (uint)chains[segment][place];
                }
            }
        }

        public int Bytes() => _places.Concat(_appended).Append(_epochs).Sum(column => PackedColumn.Encode(column).Length);

        /// <summary>A node goes: in each of its chains the rest moves up and another node is appended, whom the map does not know complete yet.</summary>
        public void Replace(uint node, uint version, Rng rng)
        {
            for (int segment = 0; segment < _epochs.Length; segment++)
            {
                int place = 0;
                while (place <= Followers && _places[place][segment] != node)
                {
                    place++;
                }

                if (place > Followers)
                {
                    continue;
                }

                for (; place < Followers; place++)
                {
                    _places[place][segment] = _places[place + 1][segment];
                    _appended[place][segment] = _appended[place + 1][segment];
                }

                do
                {
                    _places[Followers][segment] = (uint)rng.Below(Nodes) + 1;
                }
                while (Enumerable.Range(0, Followers).Any(other => _places[other][segment] == _places[Followers][segment]));

                // A copy takes a while: of the last twenty nodes that went, some newcomers are still copying.
                _appended[Followers][segment] = version > Changes - 20 && rng.Chance(1, 2) ? version : 0;
                _epochs[segment] = version;
            }
        }

        /// <summary>Years of changes, some hundreds of workers that come and go between any two steps that move eight segments.</summary>
        public void SpreadEpochs(Rng rng, int steps, int versionsApart)
        {
            for (int segment = 0; segment < _epochs.Length; segment++)
            {
                _epochs[segment] = (uint)((rng.Below(steps) + 1) * versionsApart);
            }
        }
    }
}
