using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// A host's part in planned joins and leaves (design R8): once it has read an announcement it answers for each of its workers with the last
/// iteration begun, and begins none above that plus the margin until it has read the decision. Guarded by the client's gate.
/// </summary>
internal sealed class PlannedChanges(ClientState state, PushSender pushes)
{
    private ulong _managerTerm;

    /// <summary>A newer map: what it announces is answered, what it decides is followed.</summary>
    public void MapChanged()
    {
        bool hasNewManager = state.Map!.ManagerTerm != _managerTerm;
        _managerTerm = state.Map.ManagerTerm;
        foreach (PushSession session in pushes.Sessions)
        {
            Follow(session);
            if (hasNewManager && session.Span.MayBegin != long.MaxValue)
            {
                // Answers live in the manager's memory: the next one has to be told as well.
                session.Span.RepeatAt = state.Now;
            }
        }
    }

    /// <summary>Takes over what the map says of the session's worker.</summary>
    public void Follow(PushSession session)
    {
        // A worker whose join a restore has undone is not in the map, while its session is here until its host has heard that it failed.
        if (session.Group == 0 || state.Map!.Job(session.Group) is not { } job || session.Worker >= job.Workers.Length
            || job.Workers[session.Worker] is not { HasFirst: true } worker || worker.Session != session.Id)
        {
            return;
        }

        IterationSpan span = session.Span;
        (span.First, span.Last) = (worker.From, worker.Last);
        if (job.Change.Announced == 0)
        {
            span.MayBegin = long.MaxValue;
        }
        else if (span.Answer.Announced != job.Change.Announced)
        {
            // An earlier announcement that this host answered has been decided, which this map shows, or was made anew.
            long begun = span.Held is null ? session.Iteration : session.Iteration - 1;
            span.Answer = (job.Change.Announced, begun);
            span.MayBegin = begun + MapChange.MarginIterations;
            Send(session);
        }

        span.Schedule = new WorkerSchedule(job, span.MayBegin);
        span.Release(session.Iteration);
    }

    public void Tick(Instant now)
    {
        foreach (PushSession session in pushes.Sessions)
        {
            IterationSpan span = session.Span;
            if (span.MayBegin != long.MaxValue && span.RepeatAt <= now)
            {
                Send(session);
            }

            if (span.Held is { } held && span.HeldDeadline <= now)
            {
                held.TrySetException(new WeirException(
                    Status.DeadlineExceeded,
                    $"iteration {session.Iteration} of worker {session.Worker} did not begin in time: it waits for the join or leave of workers announced in map {span.Answer.Announced}"));
            }
        }

        FailHeld();
    }

    /// <summary>What waits for the next iteration of a session that has failed waits for nothing.</summary>
    public void FailHeld()
    {
        foreach (PushSession session in pushes.Sessions)
        {
            if (session.Failure is { } failure)
            {
                session.Span.Held?.TrySetException(failure);
            }
        }
    }

    /// <summary>The answer, the same each time: it is repeated until the decision has been read.</summary>
    private void Send(PushSession session)
    {
        IterationSpan span = session.Span;
        span.RepeatAt = state.Now.AfterMs(state.Options.RetryMs);
        state.Send(
            state.LinkTo(state.Map!.Manager.Address),
            state.Header(FrameKind.Begun, state.NextRequest(), session.Id),
            new BegunBody(session.Group, session.Worker, span.Answer.Announced, span.Answer.Begun));
    }
}
