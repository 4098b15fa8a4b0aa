using Weir.Keys;
using Weir.World;

namespace Weir.Placement;

/// <summary>
/// Consistent hashing (Karger et al. 1997, section 4): every node has many points on a circle of 64-bit positions, every segment one,
/// and a segment belongs to the node whose point is at its own or next clockwise, that is, upward. Its chain is the first nodes clockwise
/// of distinct failure domains (Li et al. 2014, section 4.3, with the direction turned round).
/// <para>
/// Strictly monotone: a join, or a rise of a weight, inserts that one node in some chains and shifts the others down without changing
/// their order; a leave is the reverse. The result depends on the set of members alone, not on their order, on a platform or on time.
/// Immutable, so safe for any number of threads.
/// </para>
/// </summary>
internal sealed class Ring
{
    /// <summary>Points of a node of ordinary weight: with 8 nodes the fullest then has 1.13 times the mean (1.39 with 16, 2.81 with 1).</summary>
    public const int DefaultVirtualNodes = 128;

    /// <summary>The largest weight, 100 ordinary nodes: it bounds the points that one member can ask for.</summary>
    public const int MaxWeightPercent = 10_000;

    private const int MostOnStack = 64;

    // Karger's r_B and r_I: two families of Mix, so that a node's points and a segment's share nothing.
    private const ulong NodePointSeed = 0x6E6F64655F706F69;
    private const ulong SegmentPointSeed = 0x7365676D656E745F;

    // In order of the circle; the node of a point is its place in _members.
    private readonly ulong[] _positions;
    private readonly int[] _nodes;
    private readonly RingMember[] _members;
    private readonly int[] _zones;
    private readonly int _zoneCount;

    /// <summary>Places the points of the members.</summary>
    /// <param name="members">At least one, with distinct node ids, in any order.</param>
    /// <param name="virtualNodes">Points of a node of ordinary weight, at least 1.</param>
    public Ring(IReadOnlyList<RingMember> members, int virtualNodes = DefaultVirtualNodes)
    {
        Invariant.That(members.Count > 0, "a ring has at least one member");
        Invariant.That(virtualNodes > 0, "a node has at least one point on the ring");
        _members = [.. members.OrderBy(member => member.NodeId)];
        (_zones, _zoneCount) = NumberZones(_members);

        var positions = new List<ulong>();
        var nodes = new List<int>();
        for (int node = 0; node < _members.Length; node++)
        {
            RingMember member = _members[node];
            Invariant.That(node == 0 || _members[node - 1].NodeId != member.NodeId, "a node is on the ring once");
            Invariant.That(member.WeightPercent is > 0 and <= MaxWeightPercent, "a weight is 1 to 10,000 percent");
            // A heavier node has the points of a lighter one and more, so that a change of weight is monotone too.
            long count = Math.Max(1, (((long)virtualNodes * member.WeightPercent) + 50) / 100);
            for (long i = 0; i < count; i++)
            {
                positions.Add(NodePoint(member.NodeId, (ulong)i));
                nodes.Add(node);
            }
        }

        (_positions, _nodes) = ([.. positions], [.. nodes]);
        Array.Sort(_positions, _nodes);

        // Members are in the order of their ids, so a tie of positions goes to the lower id.
        for (int point = 1, first = 0; point <= _positions.Length; point++)
        {
            if (point == _positions.Length || _positions[point] != _positions[first])
            {
                Array.Sort(_nodes, first, point - first);
                first = point;
            }
        }
    }

    /// <summary>Where point <paramref name="index"/> of a node lies (Karger's r_B).</summary>
    public static ulong NodePoint(ulong nodeId, ulong index) => Mix.Of(index, Mix.Of(nodeId, NodePointSeed));

    /// <summary>Where a segment lies (Karger's r_I).</summary>
    public static ulong SegmentPoint(int segment) => Mix.Of((ulong)segment, SegmentPointSeed);

    /// <summary>The chains of all segments.</summary>
    /// <param name="segmentBits">s: there are 2^s segments, s from 0 to 17.</param>
    /// <param name="replicas">k: how many followers a chain has where there are nodes enough, at least 0.</param>
    /// <param name="areApart">Nodes that are not to be in one chain, whichever comes first; null for none. A chain may come out shorter for it.</param>
    /// <returns>By segment: the ids of its nodes, head first.</returns>
    public ulong[][] Place(int segmentBits, int replicas, Func<ulong, ulong, bool>? areApart = null)
    {
        Invariant.That(segmentBits is >= 0 and <= 17, "there are 2^0 to 2^17 segments");
        var chains = new ulong[1 << segmentBits][];
        for (int segment = 0; segment < chains.Length; segment++)
        {
            chains[segment] = ChainAt(SegmentPoint(segment), replicas, areApart);
        }

        return chains;
    }

    /// <summary>
    /// The chain of what lies at a position: min(k + 1, nodes) distinct nodes in clockwise order. Each is the first of its failure domain;
    /// only where there are fewer than k + 1 domains, the next nodes clockwise fill up.
    /// </summary>
    /// <param name="position">A place on the circle, such as <see cref="SegmentPoint"/>.</param>
    /// <param name="replicas">k, at least 0.</param>
    /// <param name="areApart">Nodes that are not to be in one chain; null for none.</param>
    public ulong[] ChainAt(ulong position, int replicas, Func<ulong, ulong, bool>? areApart = null)
    {
        Invariant.That(replicas >= 0, "a chain has no negative number of followers");
        int length = (int)Math.Min(replicas + 1L, _members.Length);
        int firstsWanted = Math.Min(length, _zoneCount);
        int repeatsWanted = length - firstsWanted;
        var chain = new ulong[length];
        Span<int> nodes = length <= MostOnStack ? stackalloc int[length] : new int[length];
        int count = 0, first = PointAtOrAfter(position);
        for (int passed = 0; count < length && passed < 2 * _positions.Length; passed++)
        {
            if (passed == _positions.Length)
            {
                // Those that are kept apart left domains without a node: others fill up.
                repeatsWanted = length - count;
            }

            int point = first + passed;
            while (point >= _positions.Length)
            {
                point -= _positions.Length;
            }

            int node = _nodes[point];
            if (nodes[..count].Contains(node) || (areApart is not null && IsApart(chain.AsSpan(0, count), _members[node].NodeId, areApart)))
            {
                continue;
            }

            // A repeat stands where it lies, not at the end: a node that joins then reorders nobody.
            ref int wanted = ref SharesZone(nodes[..count], node) ? ref repeatsWanted : ref firstsWanted;
            if (wanted > 0)
            {
                wanted--;
                nodes[count] = node;
                chain[count++] = _members[node].NodeId;
            }
        }

        return count == length ? chain : chain[..count];
    }

    private static bool IsApart(ReadOnlySpan<ulong> chain, ulong node, Func<ulong, ulong, bool> areApart)
    {
        foreach (ulong other in chain)
        {
            if (areApart(other, node))
            {
                return true;
            }
        }

        return false;
    }

    private bool SharesZone(ReadOnlySpan<int> chain, int node)
    {
        foreach (int other in chain)
        {
            if (_zones[other] == _zones[node])
            {
                return true;
            }
        }

        return false;
    }

    private int PointAtOrAfter(ulong position)
    {
        // Equal positions: the search may find any of them, and the first is meant.
        int found = Array.BinarySearch(_positions, position);
        int point = found < 0 ? ~found : found;
        while (found >= 0 && point > 0 && _positions[point - 1] == position)
        {
            point--;
        }

        return point % _positions.Length;
    }

    private static (int[] Zones, int Count) NumberZones(RingMember[] members)
    {
        var numbers = new Dictionary<string, int>(StringComparer.Ordinal);
        int[] zones = new int[members.Length];
        for (int node = 0; node < members.Length; node++)
        {
            if (!numbers.TryGetValue(members[node].Zone, out zones[node]))
            {
                zones[node] = numbers.Count;
                numbers.Add(members[node].Zone, zones[node]);
            }
        }

        return (zones, numbers.Count);
    }
}
