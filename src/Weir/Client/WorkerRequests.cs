using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Client;

/// <summary>Asks for planned joins and leaves of a job's workers, and waits until their hosts have agreed (design R8).</summary>
internal sealed class WorkerRequests(WeirClient client, Job job)
{
    private ClientState State => client.State;

    private uint Generation
    {
        get
        {
            lock (State.Gate)
            {
                return State.Map!.Generation;
            }
        }
    }

    public async Task<JoinedWorkers> AddAsync(int count, long fromIteration, CancellationToken cancellation)
    {
        ulong nonce = State.Nonce() | 1;
        uint generation = Generation;
        AdminReplyBody reply = await ChangeAsync(
            FrameKind.AddWorkers, map => new AddWorkersBody(job.Group, count, map.Job(job.Group)?.Workers.Length ?? 0, fromIteration, nonce), cancellation);
        int first = (int)reply.First;
        WorkerSchedule schedule = await DecidedAsync(generation, s => s.FirstIteration(first) != MapWorker.Undecided, cancellation);
        return new JoinedWorkers(first, count, schedule.FirstIteration(first));
    }

    public async Task<long> RemoveAsync(int worker, long throughIteration, CancellationToken cancellation)
    {
        uint generation = Generation;
        await ChangeAsync(FrameKind.RemoveWorker, _ => new RemoveWorkerBody(job.Group, (uint)worker, throughIteration), cancellation);
        WorkerSchedule schedule = await DecidedAsync(generation, s => s.LastIteration(worker) != MapWorker.NoEnd, cancellation);
        return schedule.LastIteration(worker);
    }

    /// <summary>Waits until the job has another schedule.</summary>
    public async Task<WorkerSchedule> ScheduleAfterAsync(WorkerSchedule known, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (State.Gate)
            {
                changed = State.MapChanged;
            }

            if (client.ScheduleOf(job) is var schedule && !schedule.Says(known))
            {
                return schedule;
            }

            await changed.WaitAsync(cancellation);
        }
    }

    /// <summary>Has a change announced; it waits while another is under way, under the same nonce.</summary>
    private Task<AdminReplyBody> ChangeAsync<TBody>(FrameKind kind, Func<ClusterMap, TBody> body, CancellationToken cancellation)
        where TBody : IBody =>
        client.ChangeWhenFreeAsync(kind, async () => body(await client.ReadMapAsync(State.Options.DeadlineMs, cancellation)), cancellation);

    /// <summary>Reads the map: a client that does nothing else hears of a new one once, and not where that is lost on its way.</summary>
    private async Task LookAsync(CancellationToken cancellation)
    {
        try
        {
            await client.ReadMapAsync(State.Options.DeadlineMs, cancellation);
        }
        catch (WeirException silent) when (silent.Status == Status.Unreachable)
        {
            // Whoever waits is told when it is too late.
        }
    }

    /// <summary>Waits until what was announced is decided.</summary>
    private async Task<WorkerSchedule> DecidedAsync(uint generation, Func<WorkerSchedule, bool> isDecided, CancellationToken cancellation)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task late = State.Timers.Delay(State.Options.DeadlineMs, end.Token);
        try
        {
            while (true)
            {
                WorkerSchedule schedule = client.ScheduleOf(job);
                if (Generation != generation)
                {
                    throw new WeirException(
                        Status.Restored, $"the cluster was restored from a checkpoint, in which the workers of job {job.Group} are as they were then: ask again for whoever is to join or leave");
                }

                if (isDecided(schedule))
                {
                    return schedule;
                }

                Task<WorkerSchedule> newer = ScheduleAfterAsync(schedule, end.Token);
                Task first = await Task.WhenAny(newer, late, State.Timers.Delay(State.Options.RetryMs, end.Token));
                if (first == late)
                {
                    cancellation.ThrowIfCancellationRequested();
                    throw new WeirException(
                        Status.DeadlineExceeded, $"the hosts of job {job.Group}'s workers have not all answered in time; what was announced may still take place");
                }

                if (first == newer)
                {
                    await newer;
                }
                else
                {
                    await LookAsync(cancellation);
                }
            }
        }
        finally
        {
            end.Cancel();
        }
    }
}
