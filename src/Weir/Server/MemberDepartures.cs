using Weir.Keys;
using Weir.Placement;
using static Weir.Server.Membership;

namespace Weir.Server;

/// <summary>
/// How a server leaves for good, as pure functions of the map: it is drained of its segments first, or it is dead and what it held is given up
/// where an operator says so (design R6, R18).
/// </summary>
internal static class MemberDepartures
{
    private const int NamedSegments = 8;

    /// <summary>
    /// A server is to hand over its segments and get no others, or that is taken back. The answer's first number says in how many chains it stands yet.
    /// </summary>
    /// <param name="map">The map to change.</param>
    /// <param name="node">The server.</param>
    /// <param name="incarnation">Of which start, where the server asks itself; 0 for any.</param>
    /// <param name="isTakenBack">It is to get segments again.</param>
    public static Decision Drain(ClusterMap map, ulong node, ulong incarnation, bool isTakenBack)
    {
        int index = map.IndexOf(node);
        if (index < 0 || (incarnation != 0 && map.Members[index].Incarnation != incarnation))
        {
            return Stranger(map, node);
        }

        MapMember member = map.Members[index];
        if (member.IsDraining == !isTakenBack)
        {
            return Done(map, map.Chains.Count(c => c.PlaceOf(index) >= 0));
        }

        if (!isTakenBack && !Array.Exists(map.Members, m => m.Node != node && !m.IsDraining))
        {
            return Refuse($"no other server could take over what {member.Address} holds: start one first, with `weir add`");
        }

        var members = (MapMember[])map.Members.Clone();
        members[index] = member with { IsDraining = !isTakenBack };
        map = map with { Members = members };
        map = map.Tables.Length == 0 ? MapChanges.Place(map) : map;
        return Done(map, map.Chains.Count(c => c.PlaceOf(index) >= 0));
    }

    /// <summary>A server says goodbye, having handed over what it held.</summary>
    public static Decision Leave(ClusterMap map, ulong node)
    {
        int index = map.IndexOf(node);
        int held = map.Tables.Length == 0 ? 0 : map.Chains.Count(c => c.PlaceOf(index) >= 0);
        return held > 0 ? Refuse($"server {map.Members[index].Address} still holds {held} segments: it is drained first") : MapChanges.RemoveNode(map, node, 0);
    }

    /// <summary>A server that is dead or drained leaves the map for good.</summary>
    /// <param name="map">The map to change.</param>
    /// <param name="node">The server; also one that is no member any more and took segments along.</param>
    /// <param name="isHeard">It lives.</param>
    /// <param name="rows">Rows that it held when it was last heard.</param>
    /// <param name="givesUp">
    /// The operator gives up what nobody else holds: those segments begin anew without rows, and every worker under a new session, so that what it
    /// pushes is numbered from 1 again.
    /// </param>
    public static Decision Forget(ClusterMap map, ulong node, bool isHeard, ulong rows, bool givesUp)
    {
        int index = map.IndexOf(node);
        if (index < 0)
        {
            return givesUp && Array.Exists(map.Losses, l => l.Node == node) ? Done(BeginAnew(map, Lost(map, ClusterMap.Nobody)), 0) : Stranger(map, node);
        }

        MapMember member = map.Members[index];
        int held = map.Tables.Length == 0 ? 0 : map.Chains.Count(c => c.PlaceOf(index) >= 0);
        if (isHeard && held > 0)
        {
            return Refuse($"server {member.Address} is alive and holds {held} segments: drain it first, with `weir drain {node:x16}`");
        }

        if (map.Acceptors is [string only] && only == member.Address)
        {
            return Refuse($"server {member.Address} has the register's only acceptor: the cluster ends with it and not before");
        }

        if (map.Members.Length == 1)
        {
            return Refuse($"server {member.Address} is the only one: the cluster ends with it and not before");
        }

        if (isHeard && !member.IsDraining)
        {
            // One that is not drained would only come in again.
            return Refuse($"server {member.Address} is alive and may get segments: drain it first, with `weir drain {node:x16}`");
        }

        int[] lost = held == 0 ? [] : Lost(map, index);
        if (lost.Length > 0 && !givesUp)
        {
            string which = string.Join(", ", lost.Take(NamedSegments)) + (lost.Length > NamedSegments ? $" and {lost.Length - NamedSegments} more" : "");
            return Refuse(
                $"server {member.Address} has the last complete copy of {lost.Length} segments ({which}): start it again where it can come back with its memory, "
                + "or accept that those rows are lost, with --give-up");
        }

        Decision removal = MapChanges.RemoveNode(map, node, rows, isGone: true);
        return removal.Map is not { } without ? removal : Done(lost.Length == 0 ? without : BeginAnew(without, Lost(without, ClusterMap.Nobody)), lost.Length);
    }

    /// <summary>A server that is drained and lives is forgotten once it has read that it is drained.</summary>
    public static Decision NotYet(in MapMember member) => new(null, Status.Busy, Text: $"server {member.Address} has yet to read that it is drained");

    /// <summary>The segments that nobody complete holds once a member is gone; those that nobody holds at all among them.</summary>
    private static int[] Lost(ClusterMap map, int gone) =>
        [.. Enumerable.Range(0, map.Segments).Where(s => !Array.Exists(map.Chains[s].Members, m => m.Member != gone && m.IsComplete))];

    /// <summary>An epoch of these segments that begins without rows, with a new session for every worker (R6).</summary>
    private static ClusterMap BeginAnew(ClusterMap map, int[] segments)
    {
        ulong version = map.Version + 1;
        ulong[][] wanted = WantedChains.Of(map);
        var chains = (MapChain[])map.Chains.Clone();
        foreach (int segment in segments)
        {
            chains[segment] = new MapChain(version, [.. wanted[segment].Select(n => ChainMember.Complete(map.IndexOf(n)))], Emptied: version);
        }

        ulong session = map.NextSession;
        var jobs = (MapJob[])map.Jobs.Clone();
        for (int job = 0; job < jobs.Length; job++)
        {
            MapWorker[] workers = [.. jobs[job].Workers.Select(w => w.Session == 0 || w.IsFinished ? w : w with { Session = session++ })];
            jobs[job] = WorkerChanges.AnnounceAnew(jobs[job] with { Workers = workers }, map);
        }

        return map with { Chains = chains, Jobs = jobs, NextSession = session };
    }

    private static Decision Done(ClusterMap map, int first) => new(map, Status.Acked, (ulong)first, (long)map.Version);

    private static Decision Stranger(ClusterMap map, ulong node) =>
        Refuse($"there is no server {node:x16} in the cluster; it has {string.Join(", ", map.Members.Take(NamedSegments).Select(m => $"{m.Node:x16} at {m.Address}"))}");

    private static Decision Refuse(string text) => new(null, Status.Conflict, Text: text);
}
