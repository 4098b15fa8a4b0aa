namespace Weir.Placement;

/// <summary>One of the columns of a map: a number for each segment. Immutable.</summary>
/// <param name="Get">The numbers of a map.</param>
/// <param name="Set">A copy of a map with other numbers, one for each segment.</param>
/// <param name="NamesMembers">The numbers are indexes among the members, from 1 on, 0 for nobody; they move when the members do.</param>
internal sealed record MapColumn(Func<ClusterMap, uint[]> Get, Func<ClusterMap, uint[], ClusterMap> Set, bool NamesMembers)
{
    /// <summary>The older map's numbers as they would be if nothing but the members had changed: who is no member any more is nobody.</summary>
    public uint[] Carried(ClusterMap older, MapMember[] members)
    {
        uint[] numbers = Get(older);
        if (!NamesMembers || older.Members.AsSpan().SequenceEqual(members))
        {
            return numbers;
        }

        Dictionary<ulong, uint> places = [];
        for (uint i = 0; i < members.Length; i++)
        {
            places.TryAdd(members[i].Node, i + 1);
        }

        uint[] moved = [0, .. older.Members.Select(m => places.GetValueOrDefault(m.Node))];
        return Array.ConvertAll(numbers, n => moved[n]);
    }
}
