using CsCheck;
using Weir.Keys;
using Weir.Placement;

namespace Weir.Tests.Placement;

/// <summary>Karger et al. 1997, section 4: monotone, balanced, small spread and load. What each test states is exact or has its bound.</summary>
public class RingTests
{
    private const int SegmentBits = 9;

    private static readonly Gen<RingMember[]> Members =
        Gen.Select(Gen.ULong, Gen.Int[20, 400], Gen.Int[0, 3]).Select((id, weight, zone) => new RingMember(id, weight, $"zone {zone}"))
            .Array[1, 12].Where(members => members.DistinctBy(member => member.NodeId).Count() == members.Length);

    private static readonly Gen<int> Replicas = Gen.Int[0, 4];

    [Fact]
    public void A_join_only_inserts_the_joiner_and_a_leave_only_takes_the_leaver_out() =>
        Gen.Select(Members.Where(members => members.Length > 1), Replicas).Sample((members, replicas) =>
        {
            ulong joiner = members[^1].NodeId;
            ulong[][] without = Place(members[..^1], replicas);
            ulong[][] with = Place(members, replicas);
            for (int segment = 0; segment < with.Length; segment++)
            {
                AssertInserted(joiner, without[segment], with[segment]);
            }
        });

    [Fact]
    public void A_rise_of_a_weight_moves_segments_only_to_the_node_that_became_heavier() =>
        Gen.Select(Members, Replicas, Gen.Int[0, 300]).Sample((members, replicas, rise) =>
        {
            ulong[][] before = Place(members, replicas);
            RingMember risen = members[0] with { WeightPercent = members[0].WeightPercent + rise };
            ulong[][] after = Place([risen, .. members[1..]], replicas);
            for (int segment = 0; segment < after.Length; segment++)
            {
                AssertInserted(risen.NodeId, before[segment].Where(node => node != risen.NodeId), after[segment]);
            }
        });

    [Fact]
    public void The_order_in_which_members_are_listed_does_not_matter() =>
        Members.SelectMany(members => Gen.Select(Gen.Const(members), Gen.Shuffle(members))).Sample((members, shuffled) =>
            Assert.Equal(Place(members, replicas: 2), Place(shuffled, replicas: 2)));

    [Fact]
    public void A_chain_is_what_a_plain_walk_clockwise_finds() =>
        Gen.Select(Members, Replicas, Gen.Int[1, 20]).Sample((members, replicas, virtualNodes) =>
        {
            ulong[][] chains = new Ring(members, virtualNodes).Place(6, replicas);
            for (int segment = 0; segment < chains.Length; segment++)
            {
                Assert.Equal(WalkClockwise(members, virtualNodes, Ring.SegmentPoint(segment), replicas), chains[segment]);
            }
        });

    [Fact]
    public void A_chain_repeats_a_failure_domain_only_when_there_are_too_few_and_a_node_never() =>
        Gen.Select(Members, Replicas).Sample((members, replicas) =>
        {
            Dictionary<ulong, string> zoneOf = members.ToDictionary(member => member.NodeId, member => member.Zone);
            int zones = zoneOf.Values.Distinct().Count();
            foreach (ulong[] chain in Place(members, replicas))
            {
                Assert.Equal(Math.Min(replicas + 1, members.Length), chain.Distinct().Count());
                Assert.Equal(Math.Min(replicas + 1, members.Length), chain.Length);
                Assert.Equal(Math.Min(chain.Length, zones), chain.Select(node => zoneOf[node]).Distinct().Count());
            }
        });

    [Fact]
    public void A_point_at_the_very_place_belongs_there_and_the_last_arc_to_the_first_point()
    {
        RingMember[] members = [.. Enumerable.Range(1, 5).Select(id => new RingMember((ulong)id, 100, "z"))];
        var ring = new Ring(members, virtualNodes: 1);
        (ulong Position, ulong Node)[] points = [.. members.Select(member => (Ring.NodePoint(member.NodeId, 0), member.NodeId)).Order()];
        for (int i = 0; i < points.Length; i++)
        {
            Assert.Equal(points[i].Node, ring.ChainAt(points[i].Position, 0)[0]);
            Assert.Equal(points[(i + 1) % points.Length].Node, ring.ChainAt(points[i].Position + 1, 0)[0]);
        }
    }

    // Max / mean of 8 nodes over 2^14 items: the oracle is a simulation of random arcs, and the error that of 60 redrawn rings.
    [Theory]
    [InlineData(1, 2.81, 0.35)]
    [InlineData(16, 1.39, 0.07)]
    [InlineData(128, 1.13, 0.03)]
    public void Eight_nodes_are_as_balanced_as_random_arcs_are(int virtualNodes, double expected, double error)
    {
        const int Rings = 60;
        double sum = 0;
        for (int ring = 0; ring < Rings; ring++)
        {
            RingMember[] members = [.. Enumerable.Range(0, 8).Select(node => new RingMember(Mix.Of((ulong)((ring * 8) + node)), 100, "z"))];
            sum += Loads(new Ring(members, virtualNodes).Place(14, replicas: 0)).Values.Max() / (16384 / 8.0);
        }

        Assert.InRange(sum / Rings, expected - error, expected + error);
    }

    [Fact]
    public void A_node_of_three_times_the_weight_holds_three_times_the_segments()
    {
        long heavy = 0;
        for (ulong ring = 0; ring < 40; ring++)
        {
            RingMember[] members = [.. Enumerable.Range(0, 6).Select(node => new RingMember((ring * 6) + (ulong)node, node == 0 ? 300 : 100, "z"))];
            heavy += Loads(new Ring(members).Place(13, replicas: 0))[members[0].NodeId];
        }

        // 3 of 8 shares. One ring errs by about 1 / sqrt(3 * 128) of them, the mean of 40 rings by a sixth of that.
        Assert.InRange(heavy / (40 * 8192.0), 0.375 * 0.97, 0.375 * 1.03);
    }

    // Karger, theorem 4.1: with V views that each know at least C / t of the C nodes, an item's spread and a node's load are O(t log C).
    // A view misses the r nodes next to an item with probability (1 - 1/t)^r <= exp(-r/t), so over V views and I items the spread is
    // at most t ln(V I) + 1 but for a chance that is e^-1 in all. A hash modulo the
    // number of nodes would have 40 homes for an item where there are 64 views, and all 64 where there are 256.
    [Theory]
    [InlineData(256)]
    [InlineData(64)]
    public void Over_stale_views_an_item_has_few_homes_and_a_node_few_items(int views)
    {
        const int Nodes = 64, Items = 1 << SegmentBits, T = 2;
        var homes = new HashSet<ulong>[Items];
        for (int item = 0; item < Items; item++)
        {
            homes[item] = [];
        }

        for (int view = 0; view < views; view++)
        {
            RingMember[] known =
            [
                .. Enumerable.Range(0, Nodes).OrderBy(node => Mix.Of((ulong)node, (ulong)view)).Take(Nodes / T)
                    .Select(node => new RingMember((ulong)node, 100, "z")),
            ];
            ulong[][] chains = new Ring(known).Place(SegmentBits, replicas: 0);
            for (int item = 0; item < Items; item++)
            {
                homes[item].Add(chains[item][0]);
            }
        }

        double spreadBound = (T * Math.Log(views * Items)) + 1;
        Assert.InRange(homes.Max(home => home.Count), 2, spreadBound);
        // An item's spread is on average t (ln V + 1) at most, so a node's load is that times its share of the items, within a factor of 2.
        double loadBound = 2 * T * (Math.Log(views) + 1) * Items / Nodes;
        Assert.InRange(homes.SelectMany(home => home).CountBy(node => node).Max(load => load.Value), 1, loadBound);
    }

    [Fact]
    public void The_same_members_are_placed_the_same_on_every_platform_and_in_every_version()
    {
        RingMember[] members = [.. Enumerable.Range(1, 10).Select(id => new RingMember((ulong)id, 50 + (id * 10), $"zone {id % 4}"))];
        ulong hash = 0;
        foreach (ulong node in Place(members, replicas: 2).SelectMany(chain => chain))
        {
            hash = Mix.Of(node, hash);
        }

        // A change of this number moves the rows of every cluster that exists.
        Assert.Equal(1664813691727801375UL, hash);
    }

    private static ulong[][] Place(RingMember[] members, int replicas) => new Ring(members).Place(SegmentBits, replicas);

    // What a join may do to a chain: the joiner stands in it and at most one other has left; the rest keep their order.
    private static void AssertInserted(ulong joiner, IEnumerable<ulong> without, ulong[] with)
    {
        int position = Array.IndexOf(with, joiner);
        ulong[] others = [.. with.Where(node => node != joiner)];
        ulong[] old = [.. without];
        if (position < 0)
        {
            Assert.Equal(old, others);
        }
        else
        {
            Assert.InRange(old.Length - others.Length, 0, 1);
            Assert.Equal(others, old.Where(others.Contains));
        }
    }

    private static Dictionary<ulong, int> Loads(ulong[][] chains) => chains.CountBy(chain => chain[0]).ToDictionary();

    // The definition, without an index: nodes in the order of their first point clockwise from the item; of these the first of each
    // failure domain, then any others while the chain is short; all in that order.
    private static IEnumerable<ulong> WalkClockwise(RingMember[] members, int virtualNodes, ulong position, int replicas)
    {
        RingMember[] clockwise =
        [
            .. members.OrderBy(member => Enumerable.Range(0, Math.Max(1, ((virtualNodes * member.WeightPercent) + 50) / 100))
                .Min(index => Ring.NodePoint(member.NodeId, (ulong)index) - position)).ThenBy(member => member.NodeId),
        ];
        RingMember[] firsts = [.. clockwise.DistinctBy(member => member.Zone).Take(replicas + 1)];
        IEnumerable<RingMember> repeats = clockwise.Except(firsts).Take(replicas + 1 - firsts.Length);
        return clockwise.Where(member => firsts.Contains(member) || repeats.Contains(member)).Select(member => member.NodeId);
    }
}
