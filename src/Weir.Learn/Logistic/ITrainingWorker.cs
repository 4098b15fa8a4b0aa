using Weir.Client;

namespace Weir.Learn.Logistic;

/// <summary>
/// What a training loop sees of a parameter server: one worker's pushes, pulls and clock on one table. As many values for each key as the
/// table is wide; keys of a call are distinct.
/// </summary>
internal interface ITrainingWorker
{
    /// <summary>Which worker, from 0.</summary>
    int Index { get; }

    /// <summary>Which workers take part in which iterations, as far as is known now: the current one always.</summary>
    WorkerSchedule Schedule { get; }

    /// <summary>The last finished iteration, 0 before the first; what lies above it is to be done, or done again after a takeover.</summary>
    long Clock { get; }

    /// <summary>Time from some moment on; where nobody tells it, it stands still.</summary>
    TimeSpan Elapsed => default;

    /// <summary>
    /// Fills <paramref name="values"/> with the weights of the keys, once every worker's clock is at least the current iteration -
    /// <paramref name="delayBound"/> - 1; at once where the bound is null. Gives the smallest clock when they were read, -1 where nothing was.
    /// </summary>
    Task<long> PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation);

    /// <summary>
    /// Pushes the gradient of each key. The memory may be used again once the task is done: when the push is acknowledged, for an
    /// aggregating table when all workers have ended the iteration, so <see cref="ClockAsync"/> is called before that.
    /// </summary>
    Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation);

    /// <summary>Whether filters may hold gradients back from now on; what they have held back of a key goes out with its next push in any case.</summary>
    void HoldBack(bool mayHold)
    {
    }

    /// <summary>Pushes what filters have held back, in the current iteration.</summary>
    Task FlushAsync(CancellationToken cancellation) => Task.CompletedTask;

    /// <summary>A filter before pushes and pulls left rows out: see <see cref="Worker.CountFiltered"/>.</summary>
    void CountFiltered(string filter, long bytesIn, long bytesOut)
    {
    }

    /// <summary>Ends the current iteration; done once its pushes are acknowledged. False: the worker takes part in no further one.</summary>
    Task<bool> ClockAsync(CancellationToken cancellation);
}
