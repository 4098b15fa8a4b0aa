using Weir.Placement;

namespace Weir.Server;

/// <summary>
/// What the map says of members that were started again on their journals (design R5, R6, R23), as pure functions. What such a member holds of
/// durable tables is everything that was acknowledged; of other tables it holds nothing. So it may lead only where nobody is left who has
/// all, and then the other tables are lost (docs/decisions/0076).
/// </summary>
internal static class Returns
{
    /// <summary>A member is back, as another incarnation, with its journal.</summary>
    public static ClusterMap ComeBack(ClusterMap map, in MapMember member)
    {
        int index = map.IndexOf(member.Node);
        var members = (MapMember[])map.Members.Clone();
        members[index] = member;
        map = map with { Members = members };
        if (map.Tables.Length == 0)
        {
            // There was nothing to lose.
            return map;
        }

        var chains = (MapChain[])map.Chains.Clone();
        bool isOnlyInJournals = false;
        for (int segment = 0; segment < chains.Length; segment++)
        {
            MapChain chain = chains[segment];
            if (chain.PlaceOf(index) is not (>= 0 and int place))
            {
                continue;
            }

            ChainMember own = chain.Members[place];
            ChainMember[] others = [.. chain.Members.Where(m => m.Member != index)];
            ChainMember[] all = own.IsComplete || own.IsRestarted ? [.. others, ChainMember.Back(index)] : others;
            MapChain next = chain with { Members = all, Epoch = map.Version + 1 };
            if (!Array.Exists(others, m => m.IsComplete))
            {
                chains[segment] = Waiting(next);
                isOnlyInJournals = true;
            }
            else
            {
                // It waits behind the others until one of them is known to serve; should they be gone as well, it is there.
                chains[segment] = others[0].IsComplete ? next : next with { Members = [.. all.OrderBy(m => m.IsComplete ? 0 : 1)] };
            }
        }

        return map with { Chains = chains, Tables = isOnlyInJournals ? OnlyInJournals(map.Tables) : map.Tables };
    }

    /// <summary>Nobody has all of a segment: it waits until it is known which journal has most. Nobody acts as its head meanwhile.</summary>
    public static MapChain Waiting(in MapChain chain) => chain with { Members = [.. chain.Members.OrderBy(m => m.IsRestarted ? 0 : 1)], IsDown = true };

    /// <summary>What is in no journal is lost, and said to be.</summary>
    public static MapTable[] OnlyInJournals(MapTable[] tables) =>
        Array.TrueForAll(tables, t => t.Durable || t.IsLost) ? tables : [.. tables.Select(t => t.Durable ? t : t with { IsLost = true })];

    /// <summary>
    /// The member whose journal has most leads. Who else came back follows once it has shown that it has the same; who is still away was waited
    /// for long enough, and comes in anew.
    /// </summary>
    /// <param name="chain">The chain that waits.</param>
    /// <param name="member">Who leads.</param>
    /// <param name="version">The version of the map that says so.</param>
    /// <param name="hasGivenUp">Somebody who had the rows of all tables is not waited for any longer: what is in no journal is lost.</param>
    /// <returns>The chain, or null where it no longer waits for that member.</returns>
    public static MapChain? Lead(in MapChain chain, int member, ulong version, out bool hasGivenUp)
    {
        hasGivenUp = false;
        if (!chain.IsDown || chain.PlaceOf(member) is not (>= 0 and int place) || !chain.Members[place].IsRestarted)
        {
            return null;
        }

        hasGivenUp = Array.Exists(chain.Members, m => m.IsComplete);
        return new MapChain(
            version, [ChainMember.Complete(member), .. chain.Members.Where(m => m.Member != member && !m.IsComplete).Select(m => new ChainMember(m.Member, version))])
        { Emptied = chain.Emptied };
    }
}
