using Weir.Learn.Logistic;

namespace Weir.Learn.ProximalGradient;

/// <summary>An iteration whose push and clock are under way.</summary>
/// <param name="Iteration">Which.</param>
/// <param name="Push">Done when its step is taken.</param>
/// <param name="Clock">Done when the worker's clock stands there; false where it was the worker's last.</param>
/// <param name="Rows">Rows that <paramref name="Loss"/> is of.</param>
/// <param name="Loss">Their summed log-loss in nats before the step.</param>
/// <param name="Staleness">How many steps before it the gradient may not have contained.</param>
/// <param name="Time">What the worker did until its clock.</param>
/// <param name="Ended">Called when its memory may be used again.</param>
internal sealed record OpenIteration(long Iteration, Task Push, Task<bool> Clock, int Rows, double Loss, long Staleness, StepTime Time, Action Ended);

/// <summary>The iterations of one worker that have not ended, the oldest first: with a delay bound of tau at most tau + 1. Not thread-safe.</summary>
/// <param name="worker">Which worker.</param>
/// <param name="iterations">How many iterations there are in all.</param>
/// <param name="report">Called for each that ends; null for none.</param>
internal sealed class OpenIterations(int worker, long iterations, Action<TrainingStep>? report)
{
    private readonly Queue<OpenIteration> _open = new();
    private OpenIteration? _latest;
    private long _ended;

    /// <summary>Adds one that has begun to end.</summary>
    public void Add(OpenIteration iteration) => _open.Enqueue(_latest = iteration);

    /// <summary>Ends those that are done by now.</summary>
    /// <returns>The last that has ended, 0 for none.</returns>
    public async Task<long> EndedAsync()
    {
        while (_open.TryPeek(out OpenIteration? oldest) && oldest.Push.IsCompleted && oldest.Clock.IsCompleted)
        {
            await EndAsync();
        }

        return _ended;
    }

    /// <summary>Waits for all through an iteration.</summary>
    /// <returns>The last that has ended, 0 for none.</returns>
    public async Task<long> EndThroughAsync(long iteration)
    {
        while (_open.TryPeek(out OpenIteration? oldest) && oldest.Iteration <= iteration)
        {
            await EndAsync();
        }

        return _ended;
    }

    /// <summary>Waits until it is known whether an iteration follows the latest.</summary>
    public Task<bool> LatestGoesOnAsync() => _latest!.Clock;

    private async Task EndAsync()
    {
        OpenIteration ended = _open.Peek();

        // The push completes when the iteration has closed everywhere, for which the clock call is needed: the first failure of either ends both.
        await await Task.WhenAny(ended.Push, ended.Clock);
        await Task.WhenAll(ended.Push, ended.Clock);
        _open.Dequeue();
        _ended = ended.Iteration;
        ended.Ended();
        report?.Invoke(new TrainingStep(worker, ended.Iteration, iterations, ended.Rows, ended.Loss, ended.Staleness, ended.Time.ComputeSeconds, ended.Time.WaitSeconds));
    }
}
