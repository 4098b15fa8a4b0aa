using Weir.Keys;
using Weir.Placement;
using static Weir.Server.Membership;

namespace Weir.Server;

/// <summary>
/// The changes of chains that the manager makes to a map, as pure functions (design R10): each holds only where the chain is still what the
/// step was planned on.
/// </summary>
internal static class ChainChanges
{
    /// <summary>Takes planned steps, all in one copy of the chains; those that no longer make sense are left out.</summary>
    /// <param name="map">The map to change.</param>
    /// <param name="steps">The steps, with the epochs of the chains that they were planned on.</param>
    /// <param name="version">The version that a reorder rests on: the head's seal was reported under exactly that.</param>
    /// <param name="wanted">By segment the order that is wanted.</param>
    public static Decision Take(ClusterMap map, IReadOnlyList<(PlannedStep Step, ulong Epoch)> steps, ulong version, ulong[][] wanted)
    {
        MapChain[]? chains = null;
        bool hasGivenUp = false;
        foreach ((PlannedStep step, ulong epoch) in steps)
        {
            if (Taken(map, (chains ?? map.Chains)[step.Segment], step, epoch, version, wanted[step.Segment], ref hasGivenUp) is { } changed)
            {
                chains ??= (MapChain[])map.Chains.Clone();
                chains[step.Segment] = changed;
            }
        }

        return new Decision(
            chains is null ? map : map with { Chains = chains, Tables = hasGivenUp ? Returns.OnlyInJournals(map.Tables) : map.Tables }, Status.Acked);
    }

    private static MapChain? Taken(ClusterMap map, in MapChain chain, in PlannedStep step, ulong epoch, ulong version, ulong[] wanted, ref bool hasGivenUp)
    {
        int member = map.IndexOf(step.Node);
        if (step.Kind == PlannedKind.Lead && chain.Epoch == epoch && member >= 0)
        {
            MapChain? led = Returns.Lead(chain, member, map.Version + 1, out bool givesUp);
            hasGivenUp |= givesUp;
            return led;
        }

        return chain.Epoch != epoch || member < 0 ? null : step.Kind switch
        {
            PlannedKind.MarkComplete => Marked(chain, member),
            PlannedKind.Append => chain.PlaceOf(member) >= 0 ? null : chain with { Members = [.. chain.Members, new ChainMember(member, map.Version + 1)], Epoch = map.Version + 1 },
            PlannedKind.Remove => Without(chain, member, map.Version + 1),
            PlannedKind.Reorder => map.Version == version ? Reordered(map, chain, wanted) : null,
            _ => null,
        };
    }

    // Knowing it changes nothing about who stands where: the epoch stays.
    private static MapChain? Marked(in MapChain chain, int member) =>
        chain.PlaceOf(member) is >= 0 and int place ? chain with { Members = [.. chain.Members.Select((m, i) => i == place ? ChainMember.Complete(m.Member) : m)] } : null;

    private static MapChain? Without(in MapChain chain, int member, ulong version)
    {
        ChainMember[] left = [.. chain.Members.Where(m => m.Member != member)];

        // Only a complete member may lead or be left last (R6).
        return left.Length == chain.Members.Length || left.Length == 0 || !left[0].IsComplete ? null : chain with { Members = left, Epoch = version };
    }

    private static MapChain? Reordered(ClusterMap map, in MapChain chain, ulong[] wanted)
    {
        MapChain old = chain;
        List<ChainMember> members = [];
        foreach (ulong node in wanted)
        {
            if (old.PlaceOf(map.IndexOf(node)) is >= 0 and int place)
            {
                members.Add(old.Members[place]);
            }
        }

        members.AddRange(old.Members.Where(m => !members.Contains(m)));
        return members[0].IsComplete && members[0] != old.Members[0] ? old with { Members = [.. members], Epoch = map.Version + 1 } : null;
    }
}
