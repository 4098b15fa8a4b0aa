using BenchmarkDotNet.Attributes;
using Weir.Placement;
using Weir.World;

namespace Weir.Bench;

/// <summary>
/// The room Placement: the ring over many nodes, as the manager draws it for a new map, beside picking a node for each segment at random;
/// and the map as it crosses the wire. Times are for the whole map.
/// </summary>
[MemoryDiagnoser]
public class PlacementBench
{
    private readonly ulong[] _random = new ulong[1 << ClusterMap.MaxSegmentBits];
    private readonly Rng _rng = new(1);
    private RingMember[] _members = [];
    private byte[] _encoded = [];
    private byte[] _difference = [];
    private ClusterMap? _map;
    private ClusterMap? _next;
    private int _segmentBits;

    [Params(8, 100, 1000)]
    public int Nodes { get; set; }

    [GlobalSetup]
    public void Draw()
    {
        _segmentBits = ClusterMap.SegmentBitsFor(Nodes);
        _members = [.. Enumerable.Range(1, Nodes).Select(node => new RingMember((ulong)node, 100, ""))];
        MapMember[] members = [.. _members.Select(member => new MapMember(member.NodeId, 1, "10.0.0.1:4000", 100, ""))];
        _map = new ClusterMap
        {
            Cluster = 7,
            SegmentBits = _segmentBits,
            Members = members,
            Chains = [.. Enumerable.Range(0, 1 << _segmentBits).Select(segment => new MapChain(1, [ChainMember.Complete(segment % Nodes)]))],
        };
        _next = _map with { Version = 2, Chains = [.. _map.Chains.Select(chain => chain.Head == 3 ? chain with { Epoch = 2 } : chain)] };
        _encoded = MapEncoding.Encode(_map);
        _difference = MapDifference.Encode(_map, _next);
    }

    [Benchmark(Baseline = true)]
    public void PickAtRandom()
    {
        for (int segment = 0; segment < 1 << _segmentBits; segment++)
        {
            _random[segment] = _members[_rng.Below(_members.Length)].NodeId;
        }
    }

    [Benchmark]
    public ulong[][] PlaceOnTheRing() => new Ring(_members).Place(_segmentBits, replicas: 1);

    [Benchmark]
    public byte[] EncodeTheMap() => MapEncoding.Encode(_map!);

    [Benchmark]
    public bool DecodeTheMap() => MapEncoding.TryDecode(_encoded, out _);

    [Benchmark]
    public byte[] EncodeADifference() => MapDifference.Encode(_map!, _next!);

    [Benchmark]
    public bool ApplyADifference() => MapDifference.TryApply(_map!, _difference, out _);
}
