using Weir.Keys;
using Weir.Placement;
using Weir.World;

namespace Weir.Tests.Placement;

/// <summary>Changes of maps as managers make them, by the seed: whoever applies them to a sound map has a sound map.</summary>
internal static class MapEdits
{
    /// <summary>A map some versions later, with the given number of changes and one of the version at least.</summary>
    public static ClusterMap Some(ClusterMap map, Rng rng, int changes)
    {
        ulong version = map.Version + 1 + (ulong)rng.Below(3);
        for (int i = 0; i < changes; i++)
        {
            map = One(map with { Version = version }, rng);
        }

        return map with { Version = version };
    }

    private static ClusterMap One(ClusterMap map, Rng rng) => rng.Below(10) switch
    {
        0 => map with { Members = Inserted(map.Members, new MapMember(map.Members.Max(m => m.Node) + 1, rng.Next(), $"host{rng.Below(9)}:1", 100, ""), map.Members.Length) },
        1 when map.Members.Length > 1 => WithoutMember(map, 1 + rng.Below(map.Members.Length - 1)),
        2 => map with { Sessions = Inserted(map.Sessions, new MapSession(map.NextSession, 20), rng.Below(map.Sessions.Length + 1)), NextSession = map.NextSession + 1 },
        3 when map.Sessions.Length > 0 => map with { Sessions = Without(map.Sessions, rng.Below(map.Sessions.Length)) },
        4 => map with { Tables = Inserted(map.Tables, Table(map.NextTable), rng.Below(map.Tables.Length + 1)), NextTable = map.NextTable + 1 },
        5 when map.Tables.Length > 0 => map with { Tables = Without(map.Tables, rng.Below(map.Tables.Length)) },
        6 => map with { Losses = Inserted(map.Losses, new MapLoss(rng.Next(), "gone", 1, rng.Next()), 0), Generation = map.Generation + (uint)rng.Below(2) },
        7 => map with { Namespaces = Inserted(map.Namespaces, new MapNamespace($"namespace{rng.Next():x}", 1 + rng.Below(1000)), rng.Below(map.Namespaces.Length + 1)) },
        8 when map.Namespaces.Length > 0 => map with { Namespaces = Without(map.Namespaces, rng.Below(map.Namespaces.Length)) },
        _ => Moved(map, rng),
    };

    private static MapTable Table(uint id) => new(id, $"table {id}", 4, UpdateRule.Add, 0, false, 0, KeyLifetime.Default);

    private static ClusterMap Moved(ClusterMap map, Rng rng)
    {
        var chains = (MapChain[])map.Chains.Clone();
        for (int moved = rng.Below(20); moved >= 0; moved--)
        {
            int segment = rng.Below(chains.Length);
            chains[segment] = OneChain(map, chains[segment], rng);
        }

        return map with { Chains = chains };
    }

    /// <summary>A member is appended, known complete, leads or leaves; or nobody complete is within reach any more.</summary>
    private static MapChain OneChain(ClusterMap map, MapChain chain, Rng rng)
    {
        int member = rng.Below(map.Members.Length), place = chain.PlaceOf(member);
        return rng.Below(4) switch
        {
            0 => rng.Chance(1, 2) ? chain with { IsDown = !chain.IsDown } : chain with { Emptied = chain.Epoch },
            1 when place >= 0 => chain with { Members = [.. chain.Members.Select(m => ChainMember.Complete(m.Member))] },
            2 when place >= 0 => new MapChain(map.Version, [chain.Members[place], .. Without(chain.Members, place)]),
            _ when place >= 0 => new MapChain(map.Version, Without(chain.Members, place)),
            _ => chain with { Epoch = map.Version, Members = [.. chain.Members, new ChainMember(member, map.Version)] },
        };
    }

    private static ClusterMap WithoutMember(ClusterMap map, int index) => map with
    {
        Members = Without(map.Members, index),
        Chains = [.. map.Chains.Select(c => c with
        {
            Members = [.. c.Members.Where(m => m.Member != index).Select(m => m with { Member = m.Member > index ? m.Member - 1 : m.Member })],
            Epoch = c.PlaceOf(index) >= 0 ? map.Version : c.Epoch,
        })],
    };

    private static T[] Inserted<T>(T[] items, T item, int place) => [.. items[..place], item, .. items[place..]];

    private static T[] Without<T>(T[] items, int place) => [.. items[..place], .. items[(place + 1)..]];
}
