using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using static Weir.Server.Membership;

namespace Weir.Server;

/// <summary>How checkpoints and restores begin and end in the map (design R24), as pure functions.</summary>
internal static class CheckpointChanges
{
    /// <summary>
    /// A checkpoint begins: from now on nothing that de-duplication needs is forgotten (R7), and the hosts of every group with aggregating tables are
    /// asked how far they have begun, as for a join (R8). One that the same process began before ends.
    /// </summary>
    public static Decision Open(ClusterMap map, in OpenCheckpointBody open)
    {
        OpenCheckpointBody body = open;
        if (HasEnded(map, body.Id))
        {
            return Refuse(Status.Ended, "this checkpoint has ended");
        }

        if (map.Checkpoint is { } other)
        {
            if (other.Id == body.Id)
            {
                return Done(map);
            }

            if (other.IsRestore)
            {
                return Refuse(Status.Busy, "a checkpoint is being loaded, or was not loaded to the end: what stands in the cluster is no state of it. Load one first");
            }

            if (other.Process != body.Process)
            {
                return Refuse(Status.Busy, "another checkpoint is being written");
            }

            map = End(map);
        }

        if (Array.Find(map.Tables, t => t.IsLost) is { } lost)
        {
            return Refuse(Status.StateLost, LostText(lost));
        }

        map = Joined(map, body.Process, body.Incarnation);
        HashSet<uint> summed = [.. map.Tables.Where(t => t.Aggregate && map.Job(t.Group) is not null).Select(t => t.Group)];
        if (Array.Find(map.Jobs, j => summed.Contains(j.Group) && j.Change.Announced != 0) is { } changing)
        {
            return Refuse(Status.Busy, $"a join or leave of workers is under way in job {changing.Name}; it waits for the answers of their hosts");
        }

        ulong announced = map.Version + 1;
        MapCut[] cuts = [.. summed.Order().Select(g => new MapCut(g, MapWorker.Undecided))];
        return Done(map with
        {
            Checkpoints = [new MapCheckpoint(body.Id, body.Process, announced, CheckpointState.Open, cuts)],
            Jobs = [.. map.Jobs.Select(j => summed.Contains(j.Group) ? j with { Change = j.Change with { Announced = announced, NotBefore = 0 } } : j)],
        });
    }

    /// <summary>What a coordinator has done with ends: a checkpoint that is written, or one that is loaded, whose workers are hosted from now on.</summary>
    public static Decision Close(ClusterMap map, in EndCheckpointBody end)
    {
        if (HasEnded(map, end.Id))
        {
            return Done(map);
        }

        if (map.Checkpoint is not { } open || open.Id != end.Id)
        {
            return end.IsRestore ? Refuse(Status.Conflict, "this is not the checkpoint that is being loaded: somebody else has begun to load one") : Done(map);
        }

        if (open.IsRestore && Array.Find(map.Tables, t => t.IsLost) is { } lost)
        {
            return Refuse(Status.StateLost, $"rows of table {lost.Name} were lost again while the checkpoint was loaded, as all servers that held them stopped: load it once more");
        }

        return open.IsRestore == end.IsRestore
            ? Done(MapChanges.HostWorkers(End(map)))
            : Refuse(Status.Conflict, "a checkpoint that is being loaded is not one that is being written");
    }

    /// <summary>Why there is no checkpoint where rows of a table are lost.</summary>
    public static string LostText(MapTable lost) =>
        $"rows of table {lost.Name} are lost, as all servers that held them stopped: a checkpoint would have them missing. Drop the table, or load an older checkpoint";

    /// <summary>A process is gone: so is the checkpoint that it wrote. What it loaded stays half loaded until somebody loads one to the end.</summary>
    public static ClusterMap Abandon(ClusterMap map, ulong process) =>
        map.Checkpoint is { IsRestore: false } open && open.Process == process ? End(map) : map;

    /// <summary>
    /// A generation begins, empty: all nodes drop what they hold on reading of it, so every member of every chain is complete, and the ring places all
    /// segments anew. Tables and jobs are those of the checkpoint, its workers nobody's until it is loaded.
    /// </summary>
    /// <param name="map">The map.</param>
    /// <param name="begin">The request.</param>
    /// <param name="generation">The generation that it came from: one that comes late must not begin another.</param>
    public static Decision Restore(ClusterMap map, in BeginRestoreBody begin, uint generation)
    {
        BeginRestoreBody body = begin;
        if (map.Checkpoint is { IsRestore: true } same && same.Id == body.Id)
        {
            return Done(map);
        }

        if (HasEnded(map, body.Id) || generation != map.Generation)
        {
            return Refuse(Status.Conflict, "another checkpoint was loaded meanwhile");
        }

        if (!MapEncoding.TryDecode(body.Map.Span, out ClusterMap recorded))
        {
            return Refuse(Status.Malformed, "the map of the checkpoint makes no sense");
        }

        if (recorded.SegmentBits != map.SegmentBits)
        {
            return Refuse(
                Status.Conflict,
                $"the checkpoint has {recorded.Segments} segments and this cluster {map.Segments}: last pushes are remembered by segment and cannot be divided anew. Begin a cluster of {recorded.Segments} segments");
        }

        if (Array.Find(recorded.Tables, t => t.Durable) is { } durable && Array.FindIndex(map.Members, m => !m.HasJournal) is >= 0 and int without)
        {
            return Refuse(Status.Conflict, $"table {durable.Name} of the checkpoint is durable, so every server of the cluster needs a journal, and server {map.Members[without].Address} has none: start the servers with one");
        }

        bool isOwn = recorded.Cluster == map.Cluster;
        bool isNew = map.Tables.Length == 0 && map.Jobs.Length == 0 && Array.TrueForAll(recorded.Tables, t => t.Id >= map.NextTable) && Array.TrueForAll(recorded.Jobs, j => j.Group >= map.NextGroup);
        if (!isOwn && !isNew)
        {
            return Refuse(Status.Conflict, $"the checkpoint is of cluster {recorded.Cluster:x}, and this cluster has had tables or jobs of its own, whose numbers mean something else here. Load it into a new cluster");
        }

        HashSet<uint> groups = [.. recorded.Jobs.Select(j => j.Group)];
        map = map with
        {
            Generation = map.Generation + 1,
            Tables = [.. recorded.Tables.Select(t => t with { IsLost = false })],
            Jobs = [.. recorded.Jobs.Select(Unhosted)],

            // Of namespaces that the checkpoint knows nothing of what the operator has said stands.
            Namespaces = [.. recorded.Namespaces, .. map.Namespaces.Where(n => !Array.Exists(recorded.Namespaces, r => r.Name == n.Name))],
            Processes = [.. map.Processes.Where(p => p.Group == 0 || groups.Contains(p.Group))],
            Sessions = [],
            Losses = [],
            NextSession = Math.Max(map.NextSession, recorded.NextSession),
            NextTable = Math.Max(map.NextTable, recorded.NextTable),
            NextGroup = Math.Max(map.NextGroup, recorded.NextGroup),
            Chains = [.. Enumerable.Repeat(new MapChain(0, []), map.Segments)],
            Checkpoints = [new MapCheckpoint(body.Id, body.Process, map.Version + 1, CheckpointState.Loading, [])],
        };
        return Done(MapChanges.Place(Joined(map, body.Process, body.Incarnation)));
    }

    /// <summary>Nobody hosts the workers yet, and what was announced of them and not decided is as if it had not been asked for: nobody would decide it any more.</summary>
    private static MapJob Unhosted(MapJob job) => job with
    {
        Change = default,
        Workers =
        [
            .. job.Workers.Where(w => w.HasFirst).Select(w => w with
            {
                Process = 0,
                Session = 0,
                Through = w.Through == MapWorker.Undecided ? MapWorker.NoEnd : w.Through,
                FinishedThrough = w.IsLost ? MapWorker.Working : w.FinishedThrough,
            }),
        ],
    };

    private static ClusterMap Joined(ClusterMap map, ulong process, ulong incarnation) =>
        MapChanges.AddProcess(map, new JoinProcessBody(process, incarnation, 0, "")).Map!;

    /// <summary>The checkpoint is over; hosts that were asked for it, and no worker's sake, need not answer any more.</summary>
    private static ClusterMap End(ClusterMap map)
    {
        MapCheckpoint open = map.Checkpoint!;
        return map with
        {
            Checkpoints = [open with { State = CheckpointState.Ended, Cuts = [] }],
            Jobs = [.. map.Jobs.Select(j => open.IsUndecided(j.Group) && !Array.Exists(j.Workers, w => w.IsChanging) ? j with { Change = j.Change with { Announced = 0 } } : j)],
        };
    }

    private static bool HasEnded(ClusterMap map, ulong id) => map.Checkpoints is [{ State: CheckpointState.Ended } last] && last.Id == id;

    private static Decision Done(ClusterMap map) => new(map, Status.Acked, 0, (long)map.Version);

    private static Decision Refuse(Status status, string text) => new(null, status, Text: text);
}
