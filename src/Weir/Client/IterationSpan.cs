using Weir.Placement;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Which iterations a hosted worker takes part in, and how far it may begin them while a join or leave of its job is under way (design R8).
/// Guarded by the client's gate.
/// </summary>
internal sealed class IterationSpan(TaskCreationOptions completions)
{
    private Task _lastInTurn = Task.CompletedTask;

    /// <summary>The first iteration that the worker takes part in.</summary>
    public long First { get; set; } = 1;

    /// <summary>The last one that a planned leave has decided; long.MaxValue for none.</summary>
    public long Last { get; set; } = MapWorker.NoEnd;

    /// <summary>The schedule of the job as its host knows it.</summary>
    public WorkerSchedule Schedule { get; set; } = WorkerSchedule.Of(1);

    /// <summary>The announcement that was answered last, by the map version that made it, and the iteration answered.</summary>
    public (ulong Announced, long Begun) Answer { get; set; }

    /// <summary>The last iteration that may be begun before the change under way has been read.</summary>
    public long MayBegin { get; set; } = long.MaxValue;

    /// <summary>When the answer is sent again.</summary>
    public Instant RepeatAt { get; set; }

    /// <summary>While the next iteration waits for the change under way; it gives whether there is a next one.</summary>
    public TaskCompletionSource<bool>? Held { get; private set; }

    /// <summary>After this nobody waits for the next iteration any more.</summary>
    public Instant HeldDeadline { get; private set; }

    /// <summary>The iteration under way is beyond the last: the worker has left.</summary>
    public bool HasLeft { get; private set; }

    /// <summary>Whether calls may go ahead: the current iteration has begun, and none waits from before it had.</summary>
    public bool IsOpen => Held is null && !HasLeft && _lastInTurn.IsCompleted;

    /// <summary>The worker comes to an iteration. Gives whether it takes part in it, once that is known.</summary>
    public Task<bool> ComeTo(long iteration, Instant deadline)
    {
        HasLeft = iteration > Last;
        if (HasLeft || iteration <= MayBegin)
        {
            return Task.FromResult(!HasLeft);
        }

        (Held, HeldDeadline) = (new TaskCompletionSource<bool>(completions), deadline);
        return Held.Task;
    }

    /// <summary>More is known: what was held back may go on, or has ended.</summary>
    public void Release(long iteration)
    {
        if (Held is { } held && (iteration > Last || iteration <= MayBegin))
        {
            HasLeft = iteration > Last;
            Held = null;
            held.TrySetResult(!HasLeft);
        }
    }

    /// <summary>A call that must wait takes its place behind those before it: pushes are numbered in the order of the calls.</summary>
    public CallTurn TakeTurn()
    {
        var turn = new CallTurn(_lastInTurn, new TaskCompletionSource(completions));
        _lastInTurn = turn.Over;
        return turn;
    }
}

/// <summary>The place of one call among those that wait for an iteration to begin.</summary>
internal sealed class CallTurn(Task before, TaskCompletionSource over)
{
    /// <summary>Done when all calls before this one have been made, or given up.</summary>
    public Task Before => before;

    /// <summary>Done when this call has as well.</summary>
    public Task Over => over.Task;

    /// <summary>The call has been made. One that is given up before its turn lets nobody past those that wait before it.</summary>
    public void End()
    {
        if (before.IsCompleted)
        {
            over.SetResult();
        }
        else
        {
            before.ContinueWith(_ => over.SetResult(), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }
}
