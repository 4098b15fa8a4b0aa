using System.Runtime.InteropServices;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// What must hold of a cluster at every moment, or once it is quiet (design section 12: 2, 4, 5, 6, 7). It looks into the machines, which no
/// client can. Not thread-safe.
/// </summary>
internal sealed class ClusterChecks(SimCluster cluster, ClusterProbe probe, ServerLimits limits, bool hasJournals = false)
{
    private readonly Dictionary<ServerNode, ClusterMap> _maps = [];
    private readonly Dictionary<WeirClient, ulong> _clientVersions = [];
    private readonly Dictionary<ulong, (ulong Hash, ulong Term)> _versions = [];
    private readonly Dictionary<ulong, ServerNode> _managers = [];
    private readonly Dictionary<(int Segment, ulong Number), ulong> _acknowledged = [];
    private readonly Dictionary<int, ulong> _highest = [];
    private uint _generation;

    /// <summary>Called with the node, the map it had and the one it acts on now, where that is another.</summary>
    public Action<ServerNode, ClusterMap?, ClusterMap>? Adopted { get; set; }

    /// <summary>Comparisons of two members' copies.</summary>
    public long Compared { get; private set; }

    /// <summary>After each turn of a server: versions, terms and bounds.</summary>
    public void Turned(ServerNode node)
    {
        if (node.Map is { } map && !(_maps.TryGetValue(node, out ClusterMap? known) && ReferenceEquals(known, map)))
        {
            Invariant.That(known is null || (map.Version > known.Version && map.ManagerTerm >= known.ManagerTerm), "a node never goes back to an older map or term");
            _maps[node] = map;
            CheckVersion(map);
            probe.Look(node);
            if (map.Generation > _generation)
            {
                // Logs begin anew (R24).
                _generation = map.Generation;
                _acknowledged.Clear();
                _highest.Clear();
            }

            Adopted?.Invoke(node, known, map);
        }

        if (node.ManagerTerm is { } term && !_managers.TryAdd(term, node))
        {
            Invariant.That(ReferenceEquals(_managers[term], node), $"term {term} has one manager");
        }

        Invariant.That(node.Counters.PullsWaiting <= limits.WaitingPulls, "waiting pulls stay in their bound");
        Invariant.That(node.KeyListBytes <= limits.KeyListBytes, "key lists stay in their bound");
        Invariant.That(node.KeptLogBytes <= limits.LogBytes + FramePool.MaxFrameBytes, "kept entries stay in their bound");
        Invariant.That(node.State.HeldBytes <= limits.HeldBytes + FramePool.MaxFrameBytes, "held contributions stay in their bound");
    }

    /// <summary>After each turn of a client.</summary>
    public void Turned(WeirClient client)
    {
        ulong version = client.State.Map?.Version ?? 0;
        Invariant.That(version >= _clientVersions.GetValueOrDefault(client), "a client never goes back to an older map");
        _clientVersions[client] = version;
    }

    /// <summary>
    /// Now and then: what heads have acknowledged is one history, whoever leads, and members that have the same last entry have the same rows,
    /// state and last[], bit for bit.
    /// </summary>
    /// <param name="segments">The segments whose copies are compared.</param>
    public void Sample(ReadOnlySpan<int> segments)
    {
        for (int server = 0; server < cluster.Nodes.Count; server++)
        {
            if (cluster.Runs(server) && cluster.Nodes[server].Map is not null)
            {
                foreach (Segment segment in cluster.Nodes[server].State.HeadedSegments)
                {
                    NoteAcknowledged(segment);
                }
            }
        }

        foreach (int segment in segments)
        {
            Compare(segment, isQuiet: false);
        }
    }

    /// <summary>At the end: every chain is whole, its members agree in everything, and what any head ever acknowledged is in their logs.</summary>
    public void Quiet()
    {
        ClusterMap map = probe.Newest!;
        for (int segment = 0; segment < map.Segments; segment++)
        {
            Compare(segment, isQuiet: true);
            int head = (int)map.Members[map.Chains[segment].Head].Node - 1;
            Segment led = cluster.Nodes[head].State.Find((uint)segment)!;
            ulong highest = _highest.GetValueOrDefault(segment);
            Invariant.That(led.Log.Last.Number >= highest, $"segment {segment} holds its entries through {led.Log.Last.Number}, and {highest} was acknowledged");
        }
    }

    /// <summary>The rows of a table at the heads of its segments.</summary>
    public IEnumerable<(ulong Key, float[] Image)> Rows(WeirTable table)
    {
        ClusterMap map = probe.Newest!;
        for (int segment = 0; segment < map.Segments; segment++)
        {
            int head = (int)map.Members[map.Chains[segment].Head].Node - 1;
            if (cluster.Nodes[head].State.Find((uint)segment)?.Find(table.Id) is { } rows)
            {
                (ulong[] keys, float[] images) = Images(rows);
                for (int i = 0; i < keys.Length; i++)
                {
                    yield return (keys[i], images[(i * rows.Rows.ImageFloats)..((i + 1) * rows.Rows.ImageFloats)]);
                }
            }
        }
    }

    private static (ulong[] Keys, float[] Images) Images(TableSegment table)
    {
        int rows = (int)table.Rows.Rows;
        ulong[] keys = new ulong[Math.Max(1, rows)];
        float[] images = new float[keys.Length * table.Rows.ImageFloats];
        uint[] clocks = new uint[keys.Length];
        ulong from = 0;
        bool done = false;
        int at = 0;
        while (!done && at < rows)
        {
            int floats = table.Rows.ImageFloats;
            at += table.Rows.ScanImages(from, keys.AsSpan(at), images.AsSpan(at * floats), table.Rows.KeepsLastClock ? clocks.AsSpan(at) : default, out from, out done);
        }

        return (keys[..rows], images[..(rows * table.Rows.ImageFloats)]);
    }

    private void NoteAcknowledged(Segment segment)
    {
        // A head that the newest map has put aside may go on in its own view for a while; what it acknowledges there did not pass a tail.
        if (segment.Acknowledged == 0 || segment.Acknowledged != segment.Log.Base.Number || segment.Chain.Epoch != probe.Newest!.Chains[segment.Index].Epoch)
        {
            return;
        }

        if (hasJournals && segment.Flushed < segment.Acknowledged)
        {
            // What of durable tables is in memory alone is acknowledged to nobody, and where all who have it in memory are away a journal leads: its numbers are given again (seed 202802).
            return;
        }

        (int, ulong) entry = (segment.Index, segment.Acknowledged);
        if (_acknowledged.TryGetValue(entry, out ulong epoch))
        {
            Invariant.That(epoch == segment.Log.Base.Epoch, $"entry {entry.Item2} of segment {segment.Index} was acknowledged as numbered in epoch {epoch} and again in {segment.Log.Base.Epoch}");
            return;
        }

        _acknowledged.Add(entry, segment.Log.Base.Epoch);
        Invariant.That(segment.Acknowledged >= _highest.GetValueOrDefault(segment.Index), $"segment {segment.Index} was acknowledged through {_highest.GetValueOrDefault(segment.Index)} before, now through {segment.Acknowledged} only");
        _highest[segment.Index] = segment.Acknowledged;
    }

    private void Compare(int index, bool isQuiet)
    {
        ClusterMap map = probe.Newest!;
        MapChain chain = map.Chains[index];
        Segment? first = null;
        foreach (ChainMember member in chain.Members)
        {
            int server = (int)map.Members[member.Member].Node - 1;
            ServerNode node = cluster.Nodes[server];
            if (!cluster.Runs(server) || node.Incarnation != map.Members[member.Member].Incarnation || node.State.Find((uint)index) is not { IsComplete: true } segment)
            {
                Invariant.That(!isQuiet || !member.IsComplete, $"the member {member.Member} of segment {index} runs and is complete");
                continue;
            }

            Invariant.That(!isQuiet || segment.Acknowledged == segment.Log.Last.Number, $"every entry of segment {index} has passed its tail");
            Invariant.That(!isQuiet || first is null || first.Log.Last == segment.Log.Last, $"the members of segment {index} hold the same entries at the end");
            if (first is not null && first.Log.Last == segment.Log.Last)
            {
                Compared++;
                Same(first, segment);
            }

            first ??= segment;
        }
    }

    private static void Same(Segment left, Segment right)
    {
        string where = $"of segment {left.Index}, both with {left.Log.Last},";
        foreach (uint table in left.Tables.Concat(right.Tables).Select(t => t.Table.Id).Distinct())
        {
            (TableSegment? one, TableSegment? other) = (left.Find(table), right.Find(table));
            if (one is null || other is null)
            {
                TableSegment only = (one ?? other)!;
                Invariant.That(only.Rows.Rows == 0 && only.Updates.Count == 0 && only.Deletes.Count == 0, $"two members {where} know table {table}");
                continue;
            }

            (ulong[] keys, float[] images) = Images(one);
            (ulong[] otherKeys, float[] otherImages) = Images(other);
            Invariant.That(keys.AsSpan().SequenceEqual(otherKeys), $"two members {where} have the same rows of table {table}: {keys.Length} and {otherKeys.Length}");
            Invariant.That(MemoryMarshal.AsBytes(images.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(otherImages.AsSpan())), $"two members {where} have the same bits in table {table}");
            SameLast(one.Updates, other.Updates, $"{where} have the same last[] of updates of table {table}");
            SameLast(one.Deletes, other.Deletes, $"{where} have the same last[] of deletes of table {table}");
        }
    }

    private static void SameLast(Dictionary<WorkerId, LastPush> one, Dictionary<WorkerId, LastPush> other, string rule)
    {
        Invariant.That(one.Count == other.Count, $"two members {rule}: of {one.Count} and {other.Count} workers");
        foreach ((WorkerId worker, LastPush last) in one)
        {
            Invariant.That(other.TryGetValue(worker, out LastPush same) && same == last, $"two members {rule}: {last} and {same} of {worker}");
        }
    }

    private void CheckVersion(ClusterMap map)
    {
        ulong hash = MapEncoding.Fingerprint(map);
        if (!_versions.TryAdd(map.Version, (hash, map.ManagerTerm)))
        {
            Invariant.That(_versions[map.Version].Hash == hash, $"map {map.Version} has one content");
            return;
        }

        Invariant.That(!_versions.TryGetValue(map.Version - 1, out (ulong Hash, ulong Term) before) || before.Term <= map.ManagerTerm, "terms only grow with the versions");
        Invariant.That(!_versions.TryGetValue(map.Version + 1, out (ulong Hash, ulong Term) after) || after.Term >= map.ManagerTerm, "terms only grow with the versions");
    }
}
