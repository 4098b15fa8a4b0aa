using Weir.Placement;
using Weir.Tests.Wire;

namespace Weir.Tests.Placement;

/// <summary>The steps that lead from the chains that are to the chains that are wanted (design R18).</summary>
public class PlannerTests
{
    /// <summary>
    /// Found by seeds 5, 19 and 109 of <c>weir sim cluster</c>: a server was drained whose chains' other member had been cut off from whoever was to take
    /// the place, for a moment. The pair was kept apart for a minute, and nobody tried: the drain waited, and so did the server that was to be stopped.
    /// </summary>
    [Fact]
    public void Seeds_5_19_and_109_who_alone_could_take_a_place_tries_though_the_tail_could_not_reach_it()
    {
        ClusterMap map = Map([0, 1], isFirstDraining: true);
        Assert.Equal([(PlannedKind.Copy, 3UL)], Steps(map, [2, 3], new Reports { Apart = (2, 3) }));
        Assert.Equal([(PlannedKind.Append, 3UL)], Steps(map, [2, 3], new Reports { Apart = (2, 3), CaughtUp = 3 }));
    }

    /// <summary>What may well come to nothing takes no place from what will come: a node copies a few segments at a time.</summary>
    [Fact]
    public void Copies_from_a_tail_that_could_not_be_reached_are_tried_after_all_others()
    {
        ClusterMap map = Map([0, 1], isFirstDraining: true);
        map = map with { Chains = [map.Chains[0], new MapChain(1, [ChainMember.Complete(1), ChainMember.Complete(0)]), .. map.Chains[2..]] };
        ulong[][] wanted = [[2, 3], [2, 3], .. Enumerable.Repeat<ulong[]>([], map.Segments - 2)];
        PlannedStep step = Assert.Single(Planner.Next(map, wanted, new Reports { Apart = (2, 3) }, mostCopies: 1, mostSeals: 1));
        Assert.Equal((1, PlannedKind.Copy, 3UL), (step.Segment, step.Kind, step.Node));
    }

    /// <summary>
    /// Found by seed 395412 of <c>weir sim cluster</c>: the second of three did not acknowledge and went, though the third was cut off; 50 ms later that one went too, for its silence, and the first, which had died meanwhile, was left with the
    /// only copy.
    /// </summary>
    [Theory]
    [InlineData(0, true)]
    [InlineData(3, false)]
    public void Seed_395412_who_does_not_acknowledge_stays_where_one_of_two_others_is_silent(ulong silent, bool leaves)
    {
        (PlannedKind, ulong)[] steps = Steps(Map([0, 1, 2], isFirstDraining: false), [1, 2, 3], new Reports { DoesNotAcknowledge = 2, Silent = silent });
        Assert.Equal(leaves ? [(PlannedKind.Remove, 2UL)] : [], steps);
    }

    private static ClusterMap Map(int[] members, bool isFirstDraining)
    {
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);
        MapMember[] nodes = [.. Enumerable.Range(1, 3).Select(n => new MapMember((ulong)n, (ulong)n, $"{n}", 100, "", IsDraining: isFirstDraining && n == 1))];
        MapChain nobody = new(1, []);
        return map with { Replicas = 1, Members = nodes, Chains = [new MapChain(1, [.. members.Select(ChainMember.Complete)]), .. map.Chains[1..].Select(_ => nobody)] };
    }

    private static (PlannedKind Kind, ulong Node)[] Steps(ClusterMap map, ulong[] wanted, IChainReports reports) =>
        [.. Planner.Next(map, [wanted, .. Enumerable.Repeat<ulong[]>([], map.Segments - 1)], reports, mostCopies: 8, mostSeals: 8).Select(s => (s.Kind, s.Node))];

    private sealed class Reports : IChainReports
    {
        public (ulong One, ulong Other) Apart { get; init; }

        public ulong CaughtUp { get; init; }

        public bool IsPatienceOver => false;

        public bool HasWord(int segment) => true;

        public bool IsComplete(int segment, ulong node, ulong appended) => false;

        public bool HasCaughtUp(int segment, ulong node, ulong epoch) => node == CaughtUp;

        public bool HasDiverged(int segment, ulong node, ulong epoch) => false;

        public bool IsSealed(int segment, ulong node, ulong version) => false;

        public bool IsServing(int segment, ulong node, ulong epoch) => false;

        public (ulong Epoch, ulong Number)? BackAt(int segment, ulong node) => null;

        public ulong DoesNotAcknowledge { get; init; }

        public ulong Silent { get; init; }

        public ulong Stalled(int segment, ulong node, ulong successor, ulong epoch) => successor == DoesNotAcknowledge ? successor : 0;

        public bool IsHeard(ulong node) => node != Silent;

        public bool AreApart(ulong one, ulong other) => Apart == (one, other) || Apart == (other, one);

        public bool IsStuck(ulong node, ulong successor) => false;
    }
}
