using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>
/// The training loop of one worker: read a batch, pull the weights of its keys, compute the gradient, push it, clock. The batch of
/// iteration t is a function of t alone, so a worker that is hosted anew redoes the same batches in the same order. Where the delay bound
/// is at least 1, the next batch's pull runs while this one is computed and pushed. One loop serves any number of workers, each from one
/// logical thread.
/// </summary>
/// <param name="options">Valid options.</param>
/// <param name="source">The training data.</param>
/// <param name="summary">What a scan of the data counted.</param>
internal sealed class LogisticLoop(LogisticOptions options, ISparseSource source, DataSummary summary)
{
    /// <summary>Rows of a batch.</summary>
    public int BatchRows { get; } = options.BatchRows ?? LogisticOptions.DefaultBatchRows(summary.Rows);

    /// <summary>Iterations of every worker over all passes.</summary>
    public long Iterations(int workers) => options.Passes * summary.BatchesPerPass(workers, BatchRows);

    /// <summary>Runs a worker from its clock to the end.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="report">Called after each iteration, on the loop's own thread; null for none.</param>
    /// <param name="through">The last iteration to run where that is not the end: a pause in which the model stands still.</param>
    /// <param name="cancellation">Ends the run between or within iterations.</param>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public async Task RunAsync(
        ITrainingWorker worker, Action<TrainingStep>? report = null, long through = long.MaxValue, CancellationToken cancellation = default)
    {
        long iterations = Iterations(worker.Count);
        long last = Math.Min(iterations, through);
        long first = worker.Clock + 1;
        using var batches = new BatchSequence(source, worker.Index, worker.Count, BatchRows, summary.BatchesPerPass(worker.Count, BatchRows));
        using var pulls = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var current = new NumberedBatch(options.EffectiveInterceptKey);
        var next = new NumberedBatch(options.EffectiveInterceptKey);
        if (first <= last)
        {
            batches.Read(first, current);
            await PullAsync(worker, current, options.DelayBound, cancellation);
        }

        for (long iteration = first; iteration <= last; iteration++)
        {
            bool more = iteration < last;

            // A pull of iteration t with bound tau waits for clocks of t - tau - 1 (design R27). Sent in t for the batch of t + 1 it must
            // wait for t - tau, hence a bound of tau - 1; with tau = 0 that would be this iteration's own clock, so it comes after it.
            bool ahead = more && options.DelayBound != 0;
            Task pull = Task.CompletedTask;
            if (ahead)
            {
                batches.Read(iteration + 1, next);
                pull = PullAsync(worker, next, options.DelayBound - 1, pulls.Token);
            }

            double loss;
            try
            {
                loss = await StepAsync(worker, current, more && !ahead ? () => batches.Read(iteration + 1, next) : null, cancellation);
            }
            catch
            {
                // The pull writes into the next batch's memory: it is over before that memory is let go. WhenAny never throws, and
                // CancelAsync would leave the simulator's thread.
                pulls.Cancel();
                await Task.WhenAny(pull);
                throw;
            }

            await pull;
            report?.Invoke(new TrainingStep(worker.Index, iteration, iterations, current.Rows.Rows, loss));
            if (more && !ahead)
            {
                await PullAsync(worker, next, options.DelayBound, cancellation);
            }

            (current, next) = (next, current);
        }
    }

    // One iteration on pulled weights; meanwhile runs while the push is under way.
    private static async Task<double> StepAsync(ITrainingWorker worker, NumberedBatch batch, Action? meanwhile, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        double loss = 0;
        Task push = Task.CompletedTask;
        if (batch.Rows.Rows > 0)
        {
            loss = batch.ComputeGradient();
            push = worker.PushAsync(batch.Keys, batch.Gradient, cancellation);
        }

        try
        {
            meanwhile?.Invoke();
        }
        catch
        {
            await Task.WhenAny(push);
            throw;
        }

        if (push.IsCompleted)
        {
            // A push that was refused at once must not be followed by a clock that says it was made.
            await push;
        }

        // The push to an aggregating table completes when the iteration has closed everywhere, for which the clock call is needed: so both
        // are under way together, and the first failure of either ends the iteration.
        Task clock = worker.ClockAsync(cancellation);
        await await Task.WhenAny(push, clock);
        await Task.WhenAll(push, clock);
        return loss;
    }

    private static Task PullAsync(ITrainingWorker worker, NumberedBatch batch, int? delayBound, CancellationToken cancellation) =>
        batch.Rows.Rows == 0 ? Task.CompletedTask : worker.PullAsync(batch.Keys, batch.Weights, delayBound, cancellation);
}
