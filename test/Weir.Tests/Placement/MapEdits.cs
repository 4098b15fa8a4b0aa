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

    private static ClusterMap One(ClusterMap map, Rng rng) => rng.Below(8) switch
    {
        0 => map with { Members = Inserted(map.Members, new MapMember(map.Members.Max(m => m.Node) + 1, rng.Next(), $"host{rng.Below(9)}:1", 100, ""), map.Members.Length) },
        1 when map.Members.Length > 1 => WithoutMember(map, 1 + rng.Below(map.Members.Length - 1)),
        2 => map with { Sessions = Inserted(map.Sessions, new MapSession(map.NextSession, 20), rng.Below(map.Sessions.Length + 1)), NextSession = map.NextSession + 1 },
        3 when map.Sessions.Length > 0 => map with { Sessions = Without(map.Sessions, rng.Below(map.Sessions.Length)) },
        4 => map with { Tables = Inserted(map.Tables, Table(map.NextTable), rng.Below(map.Tables.Length + 1)), NextTable = map.NextTable + 1 },
        5 when map.Tables.Length > 0 => map with { Tables = Without(map.Tables, rng.Below(map.Tables.Length)) },
        6 => map with { Losses = Inserted(map.Losses, new MapLoss(rng.Next(), "gone", 1, rng.Next()), 0), Generation = map.Generation + (uint)rng.Below(2) },
        _ => Moved(map, rng),
    };

    private static MapTable Table(uint id) => new(id, $"table {id}", 4, UpdateRule.Add, 0, false, 0, KeyLifetime.Default);

    private static ClusterMap Moved(ClusterMap map, Rng rng)
    {
        (int[] heads, uint[] epochs) = ((int[])map.Heads.Clone(), (uint[])map.Epochs.Clone());
        for (int moved = rng.Below(20); moved >= 0; moved--)
        {
            int segment = rng.Below(heads.Length);
            (heads[segment], epochs[segment]) = (rng.Below(map.Members.Length + 1) - 1, (uint)map.Version);
        }

        return map with { Heads = heads, Epochs = epochs };
    }

    private static ClusterMap WithoutMember(ClusterMap map, int index) => map with
    {
        Members = Without(map.Members, index),
        Heads = [.. map.Heads.Select(h => h == index ? ClusterMap.Nobody : h > index ? h - 1 : h)],
        Epochs = [.. map.Epochs.Select((e, s) => map.Heads[s] == index ? (uint)map.Version : e)],
    };

    private static T[] Inserted<T>(T[] items, T item, int place) => [.. items[..place], item, .. items[place..]];

    private static T[] Without<T>(T[] items, int place) => [.. items[..place], .. items[(place + 1)..]];
}
