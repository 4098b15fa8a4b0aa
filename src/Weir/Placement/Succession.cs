namespace Weir.Placement;

/// <summary>Who decides the map and who stands by to take over (design R3), as pure functions of the map.</summary>
internal static class Succession
{
    /// <summary>Members that hear what the manager hears: two, so that one may die together with the manager.</summary>
    public const int Standbys = 2;

    /// <summary>To whom every heartbeat goes: the manager and its standbys, the next in the order of the map.</summary>
    public static IEnumerable<MapMember> Hearers(ClusterMap map)
    {
        int first = Math.Max(0, map.IndexOf(map.ManagerNode));
        for (int next = 0; next < Math.Min(Standbys + 1, map.Members.Length); next++)
        {
            yield return map.Members[(first + next) % map.Members.Length];
        }
    }

    /// <summary>Whether a node is among <see cref="Hearers"/>.</summary>
    public static bool IsHearer(ClusterMap map, ulong node)
    {
        int index = map.IndexOf(node), members = map.Members.Length;
        return index >= 0 && (index - Math.Max(0, map.IndexOf(map.ManagerNode)) + members) % members <= Standbys;
    }

    /// <summary>How many members come before a node in the succession, 0 for the first standby; -1 for the manager and for strangers.</summary>
    public static int Rank(ClusterMap map, ulong node)
    {
        int index = map.IndexOf(node), manager = map.IndexOf(map.ManagerNode);
        return index < 0 || index == manager ? -1 : (index - manager - 1 + map.Members.Length) % map.Members.Length;
    }
}
