namespace Weir.Placement;

/// <summary>Where the segments of a cluster should lie (design section 3): the ring over the members that stay. Pure functions.</summary>
internal static class WantedChains
{
    /// <summary>The chains of all segments.</summary>
    /// <param name="map">Members that are draining are passed over, unless nobody else is left.</param>
    /// <param name="isShunned">Members that should hold nothing for now, as long as enough others are left; null for none.</param>
    /// <param name="areApart">Members that cannot reach each other and so are not to be in one chain; null for none.</param>
    /// <returns>By segment: the ids of its nodes, head first.</returns>
    public static ulong[][] Of(ClusterMap map, Func<ulong, bool>? isShunned = null, Func<ulong, ulong, bool>? areApart = null)
    {
        MapMember[] staying = Array.FindAll(map.Members, m => !m.IsDraining);
        staying = staying.Length == 0 ? map.Members : staying;
        MapMember[] reached = isShunned is null ? staying : Array.FindAll(staying, m => !isShunned(m.Node));
        staying = reached.Length > map.Replicas ? reached : staying;
        return new Ring([.. staying.Select(m => new RingMember(m.Node, (int)m.WeightPercent, m.Zone))]).Place(map.SegmentBits, map.Replicas, areApart);
    }
}
