using Weir.World;

namespace Weir.Sim;

/// <summary>
/// Simulated time and the one thread that everything runs on: events in the order of their time, and between them whatever code awaits. The
/// same seed gives the same order, to the last continuation.
/// </summary>
internal sealed class SimScheduler : SynchronizationContext, ITimers
{
    private readonly PriorityQueue<Action, (long Time, long Order)> _events = new();
    private readonly Queue<(SendOrPostCallback Callback, object? State)> _posted = new();
    private long _order;

    public Instant Now { get; private set; }

    /// <summary>Events and continuations run so far.</summary>
    public long Steps { get; private set; }

    /// <summary>Called before every event: where checkers look.</summary>
    public Action? Stepped { get; set; }

    public void At(Instant time, Action action) => _events.Enqueue(action, (Math.Max(time.Microseconds, Now.Microseconds), ++_order));

    public Task Delay(long milliseconds, CancellationToken cancellation)
    {
        var done = new TaskCompletionSource();
        CancellationTokenRegistration registration = cancellation.Register(() => done.TrySetCanceled(cancellation));
        At(Now.AfterMs(milliseconds), () =>
        {
            registration.Dispose();
            done.TrySetResult();
        });
        return done.Task;
    }

    public override void Post(SendOrPostCallback d, object? state) => _posted.Enqueue((d, state));

    public override void Send(SendOrPostCallback d, object? state) => d(state);

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>Runs code under this context until its task is done.</summary>
    /// <exception cref="InvariantException">The simulated time ran out first: something is stuck.</exception>
    public void Run(Func<Task> scenario, long limitMs)
    {
        SynchronizationContext? before = Current;
        Task? task = null;
        Post(_ => task = scenario(), null);
        Instant limit = Now.AfterMs(limitMs);
        try
        {
            while (task is not { IsCompleted: true })
            {
                Pump();
                if (task is { IsCompleted: true })
                {
                    break;
                }

                Invariant.That(_events.Count > 0, "a simulation that waits has an event to come");
                _events.TryDequeue(out Action? next, out (long Time, long Order) at);
                Now = new Instant(at.Time);
                Invariant.That(Now < limit, $"what was begun completes within the stated time of {limitMs} ms (simulated)");
                Steps++;
                Stepped?.Invoke();

                // Machines run without the context: what they complete is posted, never run inside them.
                SetSynchronizationContext(null);
                next!();
            }
        }
        finally
        {
            SetSynchronizationContext(before);
        }

        task.GetAwaiter().GetResult();
    }

    private void Pump()
    {
        while (_posted.TryDequeue(out (SendOrPostCallback Callback, object? State) posted))
        {
            Steps++;
            SetSynchronizationContext(this);
            posted.Callback(posted.State);
        }

        SetSynchronizationContext(null);
    }
}
