namespace Weir.Placement;

/// <summary>Where the segments of a cluster should lie (design section 3): the ring over the members that stay. Pure functions.</summary>
internal static class WantedChains
{
    /// <summary>The chains of all segments.</summary>
    /// <param name="map">Members that are draining are passed over, unless nobody else is left.</param>
    /// <param name="isShunned">Members that should hold nothing for now, as long as enough others are left; null for none.</param>
    /// <param name="areApart">
    /// Members that could not reach each other and so are not to be in one chain where there are others; null for none. Where there are not, the
    /// last places are theirs all the same: a copy comes as soon as the way is there again, and another member may stand between them.
    /// </param>
    /// <returns>By segment: the ids of its nodes, head first.</returns>
    public static ulong[][] Of(ClusterMap map, Func<ulong, bool>? isShunned = null, Func<ulong, ulong, bool>? areApart = null)
    {
        MapMember[] staying = Array.FindAll(map.Members, m => !m.IsDraining);
        staying = staying.Length == 0 ? map.Members : staying;
        MapMember[] reached = isShunned is null ? staying : Array.FindAll(staying, m => !isShunned(m.Node));
        staying = reached.Length > map.Replicas ? reached : staying;
        var ring = new Ring([.. staying.Select(m => new RingMember(m.Node, (int)m.WeightPercent, m.Zone))]);
        ulong[][] wanted = ring.Place(map.SegmentBits, map.Replicas, areApart);
        int whole = Math.Min(map.Replicas + 1, staying.Length);
        if (areApart is not null && Array.Exists(wanted, chain => chain.Length < whole))
        {
            ulong[][] all = ring.Place(map.SegmentBits, map.Replicas);
            wanted = [.. wanted.Zip(all, (chain, whoever) => chain.Length < whole ? chain.Union(whoever).Take(whole).ToArray() : chain)];
        }

        return wanted;
    }
}
