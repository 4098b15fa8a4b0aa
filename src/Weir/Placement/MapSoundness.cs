using Weir.Keys;
using Weir.World;

namespace Weir.Placement;

/// <summary>
/// What a map must fulfil before anybody acts on it. Bytes that decode may still contradict themselves, and a node that adopted them would
/// break: numbers are unique and below the next to be given, widths fit a frame, and a newer map tells of the same cluster.
/// </summary>
internal static class MapSoundness
{
    /// <summary>The widest row in floats: it must fit one frame with its key and the heads around it (design R25).</summary>
    public const int MaxWidth = (FramePool.MaxFrameBytes - 256) / sizeof(float);

    /// <summary>The most members that a chain has beside its head: the papers use two.</summary>
    public const int MaxReplicas = 7;

    /// <summary>The most members of a chain: a newcomer for each of them is appended before they leave.</summary>
    public const int MaxChainMembers = 2 * (MaxReplicas + 1);

    /// <summary>The highest version: at a hundred maps a second it is reached in 20 million years, and epochs are packed in fewer bits than that takes.</summary>
    public const ulong MaxVersion = (1UL << PackedBits.MaxBits) - 1;

    private const uint MaxWeightPercent = Ring.MaxWeightPercent;

    /// <summary>Whether a map makes sense by itself.</summary>
    public static bool IsSound(ClusterMap map) =>
        map.Version is > 0 and <= MaxVersion
        && map.NextSession is > 0 and <= long.MaxValue && map.NextTable is > 0 and <= int.MaxValue && map.NextGroup is > 0 and <= int.MaxValue
        && map.Acceptors.Length is 0 or 1 or 3 or 5 && map.Acceptors.Distinct().Count() == map.Acceptors.Length && Array.TrueForAll(map.Acceptors, a => a.Length > 0)
        && map.Replicas is >= 0 and <= MaxReplicas && MembersAreSound(map) && ChainsAreSound(map) && TablesAreSound(map) && JobsAndSessionsAreSound(map)
        && CheckpointIsSound(map) && NamespacesAreSound(map);

    /// <summary>Whether a node that acts on <paramref name="older"/> may act on a map next: the same cluster and register, later, of no older manager, nothing redefined.</summary>
    public static bool Follows(ClusterMap map, ClusterMap older)
    {
        if (map.Cluster != older.Cluster || map.SegmentBits != older.SegmentBits || map.Version <= older.Version || map.Generation < older.Generation
            || map.ManagerTerm < older.ManagerTerm || !map.Acceptors.AsSpan().SequenceEqual(older.Acceptors))
        {
            return false;
        }

        if (map.NextSession < older.NextSession || map.NextTable < older.NextTable || map.NextGroup < older.NextGroup)
        {
            return false;
        }

        if (map.Generation > older.Generation)
        {
            // Tables and jobs are those of a checkpoint (R24).
            return true;
        }

        foreach (MapTable table in map.Tables)
        {
            // What a table is stands, but that it may be lost (R23) and its pulls may get another bound (PS-16).
            if (older.Table(table.Id) is { } known ? known with { IsLost = table.IsLost, DelayBound = table.DelayBound } != table || (known.IsLost && !table.IsLost) : table.Id < older.NextTable)
            {
                return false;
            }
        }

        foreach (MapJob job in map.Jobs)
        {
            if (older.Job(job.Group) is { } known ? !WorkersFollow(job.Workers, known.Workers) : job.Group < older.NextGroup)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Workers are added, never taken away, and what was decided of one stands (design R8).</summary>
    private static bool WorkersFollow(MapWorker[] workers, MapWorker[] older)
    {
        bool follow = workers.Length >= older.Length;
        for (int index = 0; index < older.Length && follow; index++)
        {
            (MapWorker next, MapWorker known) = (workers[index], older[index]);
            follow = (!known.HasFirst || next.From == known.From)
                && (known.Through is MapWorker.NoEnd or MapWorker.Undecided || next.Through == known.Through)
                && (!known.IsFinished || next.FinishedThrough == known.FinishedThrough);
        }

        return follow;
    }

    private static bool MembersAreSound(ClusterMap map)
    {
        HashSet<ulong> nodes = [];
        foreach (MapMember member in map.Members)
        {
            if (member.Node == 0 || !nodes.Add(member.Node) || member.WeightPercent is 0 or > MaxWeightPercent)
            {
                return false;
            }
        }

        return nodes.Count > 0;
    }

    /// <summary>A chain names members of the map, each once, appended in a version that was.</summary>
    private static bool ChainsAreSound(ClusterMap map)
    {
        if (map.Chains.Length != map.Segments)
        {
            return false;
        }

        foreach (MapChain chain in map.Chains)
        {
            if (chain.Epoch > map.Version || chain.Emptied > chain.Epoch || chain.Members.Length > MaxChainMembers)
            {
                return false;
            }

            for (int place = 0; place < chain.Members.Length; place++)
            {
                ChainMember member = chain.Members[place];
                if ((uint)member.Member >= (uint)map.Members.Length || member.Appended > map.Version || chain.PlaceOf(member.Member) != place)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>At most one at a time. A group that has ended may still be named.</summary>
    private static bool CheckpointIsSound(ClusterMap map)
    {
        if (map.Checkpoints.Length == 0)
        {
            return true;
        }

        MapCheckpoint checkpoint = map.Checkpoints[0];
        HashSet<uint> groups = [];
        return map.Checkpoints.Length == 1 && checkpoint.Id != 0 && checkpoint.Process != 0 && checkpoint.Began <= map.Version
            && checkpoint.State <= CheckpointState.Ended && (checkpoint.State == CheckpointState.Open || checkpoint.Cuts.Length == 0)
            && Array.TrueForAll(checkpoint.Cuts, c => c.Group != 0 && c.Group < map.NextGroup && groups.Add(c.Group) && c.Iteration is >= 0 and <= Seq.MaxIteration);
    }

    private static bool NamespacesAreSound(ClusterMap map)
    {
        HashSet<string> names = [];
        return Array.TrueForAll(map.Namespaces, n => n.QuotaBytes > 0 && QualifiedName.NamespaceFault(n.Name) is null && names.Add(n.Name));
    }

    private static bool TablesAreSound(ClusterMap map)
    {
        HashSet<uint> ids = [];
        HashSet<string> names = [];
        foreach (MapTable table in map.Tables)
        {
            bool sound = table.Id != 0 && table.Id < map.NextTable && ids.Add(table.Id) && names.Add(table.Name)
                && table.Width is > 0 and <= MaxWidth && table.Rule.Fits(table.Width) && table.Rule.MayBeginWith(table.InitialValue) && (!table.Aggregate || (table.Group != 0 && !table.Rule.HoldsBits))
                && (table.Lifetime.ExpireAfterClocks is null || (table.Group != 0 && !table.Aggregate))
                && table.DelayBound >= MapTable.NoBound && (table.DelayBound == MapTable.NoBound || table.Group != 0);
            if (!sound)
            {
                return false;
            }
        }

        return true;
    }

    private static bool JobsAndSessionsAreSound(ClusterMap map)
    {
        HashSet<uint> groups = [];
        HashSet<ulong> sessions = [], processes = [];
        bool sound = true;
        foreach (MapJob job in map.Jobs)
        {
            sound &= job.Group != 0 && job.Group < map.NextGroup && groups.Add(job.Group) && job.Workers.Length > 0 && job.LoadedThrough >= 0;
            sound &= job.Change.Announced <= map.Version && job.Change.NotBefore >= 0 && (job.Change.Announced != 0) == (Array.Exists(job.Workers, w => w.IsChanging) || map.Checkpoint?.IsUndecided(job.Group) == true);
            foreach (MapWorker worker in job.Workers)
            {
                sound &= SpanIsSound(worker) && (worker.Session == 0 || (worker.Session < map.NextSession && sessions.Add(worker.Session)));
            }
        }

        foreach (MapSession session in map.Sessions)
        {
            sound &= session.Session != 0 && session.Session < map.NextSession && sessions.Add(session.Session);
        }

        foreach (MapProcess process in map.Processes)
        {
            sound &= process.Process != 0 && processes.Add(process.Process);
        }

        return sound;
    }

    /// <summary>A worker that is about to join is nobody's; any other takes part from its first through its last iteration, and finished within them.</summary>
    private static bool SpanIsSound(MapWorker worker) => !worker.HasFirst
        ? worker == MapWorker.Announced with { JoinedBy = worker.JoinedBy }
        : worker.From > 0 && (worker.Through == MapWorker.Undecided || worker.Through >= worker.From)
            && (worker.FinishedThrough == MapWorker.Working || (worker.IsLost && worker.Session == 0) || (worker.FinishedThrough >= worker.From - 1 && worker.FinishedThrough <= worker.Last));
}
