using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using static Weir.Server.Membership;

namespace Weir.Server;

/// <summary>
/// Joins, leaves and losses of a job's workers (design R8), as pure functions of the map: a request or a death announces the change, and once
/// every host has answered how far its workers have begun, it is decided at an iteration above all of that.
/// </summary>
internal static class WorkerChanges
{
    /// <summary>Announces workers that join the job. The reply names the first of them.</summary>
    public static Decision Add(ClusterMap map, in AddWorkersBody add, ServerLimits limits)
    {
        AddWorkersBody body = add;
        if (map.Job(body.Group) is not { } job)
        {
            return Ended(body.Group);
        }

        if (Array.FindIndex(job.Workers, w => w.JoinedBy == body.Nonce) is >= 0 and int first)
        {
            return Done(map, (ulong)first);
        }

        if (body.Count < 1 || body.Count > limits.MaxWorkers - job.Workers.Length)
        {
            return Refuse($"{body.Count} workers cannot join job {job.Name}: it has {job.Workers.Length} of at most {limits.MaxWorkers} workers");
        }

        if (UnderWay(job) is { } wait)
        {
            return wait;
        }

        if (body.Known != job.Workers.Length)
        {
            return Refuse($"job {job.Name} has {job.Workers.Length} workers by now, not {body.Known}: somebody else added some. Ask again if there are still too few");
        }

        if (Array.TrueForAll(job.Workers, w => w.IsFinished))
        {
            return Refuse($"all workers of job {job.Name} have finished");
        }

        MapWorker[] workers = [.. job.Workers, .. Enumerable.Repeat(MapWorker.Announced with { JoinedBy = body.Nonce }, body.Count)];
        return Announce(map, job, new MapChange(0, body.NotBefore), workers, (ulong)job.Workers.Length);
    }

    /// <summary>Announces that a worker leaves the job. One that is about to leave, or has left, stays so.</summary>
    public static Decision Remove(ClusterMap map, in RemoveWorkerBody remove)
    {
        RemoveWorkerBody body = remove;
        if (map.Job(body.Group) is not { } job)
        {
            return Ended(body.Group);
        }

        if (body.Worker >= job.Workers.Length)
        {
            return Refuse($"job {job.Name} has no worker {body.Worker}: its workers are 0 to {job.Workers.Length - 1}");
        }

        MapWorker worker = job.Workers[body.Worker];
        if (worker.Through != MapWorker.NoEnd)
        {
            return Done(map, body.Worker);
        }

        if (worker.IsFinished)
        {
            return Refuse($"worker {body.Worker} of job {job.Name} has finished already, through iteration {worker.FinishedThrough}");
        }

        if (UnderWay(job) is { } wait)
        {
            return wait;
        }

        if (!job.Workers.Where((w, index) => index != body.Worker && !w.IsFinished && w.Through == MapWorker.NoEnd).Any())
        {
            return Refuse($"worker {body.Worker} is the last one at work in job {job.Name}; end the job instead");
        }

        var workers = (MapWorker[])job.Workers.Clone();
        workers[body.Worker] = worker with { Through = MapWorker.Undecided };
        return Announce(map, job, new MapChange(0, body.NotBefore + 1), workers, body.Worker);
    }

    /// <summary>
    /// A process is gone: who it hosted waits for another host, or, where the job goes on without those of the dead and others are at work, is
    /// lost: how far it counts is announced to be decided.
    /// </summary>
    public static MapJob LoseHost(MapJob job, ulong process, ClusterMap map)
    {
        bool IsGone(MapWorker worker) => worker.IsHosted && worker.Process == process;
        if (!Array.Exists(job.Workers, IsGone))
        {
            return job;
        }

        if (!job.ContinuesWithout || !Array.Exists(job.Workers, w => w.IsHosted && w.Process != process))
        {
            return AnnounceAnew(job with { Workers = [.. job.Workers.Select(w => IsGone(w) ? w with { Process = 0, Session = 0 } : w)] }, map);
        }

        MapWorker Lose(MapWorker worker) => worker with
        {
            Process = 0,
            Session = 0,
            Through = worker.Through == MapWorker.NoEnd ? MapWorker.Undecided : worker.Through,
            FinishedThrough = MapWorker.Lost,
        };
        return job with
        {
            Workers = [.. job.Workers.Select(w => IsGone(w) ? Lose(w) : w)],
            Change = new MapChange(map.Version + 1, job.Change.Announced == 0 ? 1 : job.Change.NotBefore),
        };
    }

    /// <summary>
    /// Decides the change under way, once the host of every worker has answered: the workers that it names join at, or leave before, the first
    /// iteration above all that was begun, finished, clocked or loaded, and the margin. Lost ones have their place in the schedule until then, so that
    /// nobody's share of the data changes under it, and count through their last known clock. The map as it is where an answer is missing.
    /// </summary>
    /// <param name="map">The map.</param>
    /// <param name="group">The job.</param>
    /// <param name="begun">Of each session, the last iteration that it has begun, as answered to this announcement.</param>
    /// <param name="clocks">The clocks of the job's workers as all nodes have told them; null where none has.</param>
    /// <param name="closed">The last iteration that is known to have closed in any segment of the job's tables: a checkpoint is as of none before.</param>
    public static Decision Decide(ClusterMap map, uint group, IReadOnlyDictionary<ulong, long> begun, VectorClock? clocks, long closed = 0)
    {
        if (map.Job(group) is not { Change.Announced: not 0 } job || !IsAnswered(job, begun))
        {
            return Done(map);
        }

        long last = Math.Min(clocks?.Maximum ?? 0, Seq.MaxIteration);
        foreach (MapWorker worker in job.Workers)
        {
            last = Math.Max(last, worker.IsFinished ? worker.FinishedThrough : begun.GetValueOrDefault(worker.Session));
        }

        long iteration = Math.Max(job.Change.NotBefore, Math.Max(last + MapChange.MarginIterations, job.LoadedThrough) + 1);
        foreach (MapWorker leaves in job.Workers.Where(w => w.Through == MapWorker.Undecided))
        {
            iteration = Math.Max(iteration, Math.Max(leaves.From, leaves.FinishedThrough) + 1);
        }

        MapWorker Decided(MapWorker worker, int index)
        {
            worker = !worker.HasFirst ? worker with { From = iteration } : worker.Through == MapWorker.Undecided ? worker with { Through = iteration - 1 } : worker;
            long clock = clocks is not null && index < clocks.Workers ? clocks[index] : 0;
            return worker.IsLost ? worker with { FinishedThrough = Math.Clamp(clock, worker.From - 1, worker.Last) } : worker;
        }

        MapWorker[] workers = [.. job.Workers.Select(Decided)];
        if (map.Checkpoint is { } checkpoint && checkpoint.IsUndecided(group))
        {
            // No host has begun an iteration above this one, nor will before it has read of it (R24). What was loaded may be as of a later one than its workers'
            // clocks, and cannot be had as of an earlier one; nor of a later one, where nobody hosts the workers.
            long cut = Math.Max(last + MapChange.MarginIterations, closed);
            MapCut[] cuts = [.. checkpoint.Cuts.Select(c => c.Group == group ? c with { Iteration = cut } : c)];
            map = map with { Checkpoints = [checkpoint with { Cuts = cuts }] };
        }

        return Done(MapChanges.HostWorkers(Replace(map, job with { Workers = workers, Change = job.Change with { Announced = 0 } })));
    }

    /// <summary>Whether the host of every worker that somebody hosts has answered. Who hosts one later reads the decision first.</summary>
    public static bool IsAnswered(MapJob job, IReadOnlyDictionary<ulong, long> begun) =>
        Array.TrueForAll(job.Workers, w => w.Session == 0 || w.IsFinished || begun.ContainsKey(w.Session));

    /// <summary>
    /// Other sessions than those who were asked: a change under way is announced anew, so that all nodes have read who is gone before it is
    /// decided, and what an ended session did until then is known.
    /// </summary>
    public static MapJob AnnounceAnew(MapJob job, ClusterMap map) =>
        job.Change.Announced == 0 ? job : job with { Change = job.Change with { Announced = map.Version + 1 } };

    private static Decision Announce(ClusterMap map, MapJob job, MapChange change, MapWorker[] workers, ulong first) =>
        Done(Replace(map, job with { Workers = workers, Change = change with { Announced = map.Version + 1 } }), first);

    private static ClusterMap Replace(ClusterMap map, MapJob job) => map with { Jobs = [.. map.Jobs.Select(j => j.Group == job.Group ? job : j)] };

    private static Decision? UnderWay(MapJob job) => job.Change.Announced == 0
        ? null
        : new Decision(null, Status.Busy, Text: $"another join or leave of workers is under way in job {job.Name}; it waits for the answers of their hosts");

    private static Decision Ended(uint group) => new(null, Status.Ended, Text: $"job {group} has ended");

    private static Decision Done(ClusterMap map, ulong first = 0) => new(map, Status.Acked, first, (long)map.Version);

    private static Decision Refuse(string text) => new(null, Status.Conflict, Text: text);
}
