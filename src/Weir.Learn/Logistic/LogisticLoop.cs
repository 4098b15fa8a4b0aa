using Weir.Client;
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

    private readonly BlockRounds _rounds = new(summary.Rows, options.BatchRows ?? LogisticOptions.DefaultBatchRows(summary.Rows), options.Passes);

    /// <summary>Iterations over all passes.</summary>
    public long Iterations(WorkerSchedule schedule) => _rounds.Iterations(schedule);

    /// <summary>Rows that a worker has gone through at a clock.</summary>
    public long RowsThrough(WorkerSchedule schedule, int worker, long clock) => _rounds.RowsThrough(schedule, worker, clock);

    /// <summary>Runs a worker from its clock to the end, or through its last iteration where it leaves.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="report">Called after each iteration, on the loop's own thread; null for none.</param>
    /// <param name="through">The last iteration to run where that is not the end: a pause in which the model stands still.</param>
    /// <param name="cancellation">Ends the run between or within iterations.</param>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public async Task RunAsync(
        ITrainingWorker worker, Action<TrainingStep>? report = null, long through = long.MaxValue, CancellationToken cancellation = default)
    {
        using var batches = new BatchSequence(source, BatchRows);
        using var pulls = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var current = new NumberedBatch(options.EffectiveInterceptKey);
        var next = new NumberedBatch(options.EffectiveInterceptKey);
        long iteration = worker.Clock + 1;
        long first = iteration;
        bool has = Has(worker, iteration, through);
        Task<long> pull = None;
        if (has)
        {
            Read(worker, batches, iteration, current);
            pull = PullAsync(worker, current, options.DelayBound, cancellation);
        }

        for (; has; iteration++)
        {
            var time = new StepTime(worker);
            long minimumClock = await time.WaitAsync(pull);

            // A pull of iteration t with bound tau waits for clocks of t - tau - 1 (design R27). Sent in t for the batch of t + 1 it must
            // wait for t - tau, hence a bound of tau - 1; with tau = 0 that would be this iteration's own clock, so it comes after it.
            // While a join or leave of workers is being agreed on, nobody knows yet whose the next batch is.
            bool known = worker.Schedule.KnownThrough > iteration;
            bool more = known && Has(worker, iteration + 1, through);
            bool ahead = more && options.DelayBound != 0;
            pull = None;
            if (ahead)
            {
                time.Compute(() => Read(worker, batches, iteration + 1, next));
                pull = PullAsync(worker, next, options.DelayBound - 1, pulls.Token);
            }

            double loss;
            bool goesOn;
            try
            {
                long coming = iteration + 1;
                (loss, goesOn) = await StepAsync(worker, current, time, more && !ahead ? () => Read(worker, batches, coming, next) : null, MayHold(worker, iteration, first), flushes: !more, cancellation);
            }
            catch
            {
                // The pull writes into the next batch's memory: it is over before that memory is let go. WhenAny never throws, and
                // CancelAsync would leave the simulator's thread.
                pulls.Cancel();
                await Task.WhenAny(pull);
                throw;
            }

            if (ahead)
            {
                await time.WaitAsync(pull);
            }

            report?.Invoke(new TrainingStep(worker.Index, iteration, Iterations(worker.Schedule), current.Rows.Rows, loss, Staleness(iteration, minimumClock), time.ComputeSeconds, time.WaitSeconds));
            has = known ? more : goesOn && Has(worker, iteration + 1, through);
            if (has && !ahead)
            {
                if (!known)
                {
                    Read(worker, batches, iteration + 1, next);
                }

                pull = PullAsync(worker, next, options.DelayBound, cancellation);
            }

            (current, next) = (next, current);
        }
    }

    private static readonly Task<long> None = Task.FromResult(-1L);

    private static long Staleness(long iteration, long minimumClock) => minimumClock < 0 ? -1 : Math.Max(0, iteration - 1 - minimumClock);

    /// <summary>
    /// In the last of several passes a key's gradient goes out with it: to flush it at the end would take the key once more. And of the iterations that a former host of the worker may have begun nothing is held back: what stands of them already
    /// stands once (R11), and held back here it would come a second time.
    /// </summary>
    private bool MayHold(ITrainingWorker worker, long iteration, long first) =>
        (first == 1 || iteration > first + (options.DelayBound ?? 0)) && (options.Passes == 1 || iteration <= Iterations(worker.Schedule) / options.Passes * (options.Passes - 1));

    /// <summary>Whether the worker takes part in an iteration that is known, and that the passes and the pause leave to do.</summary>
    private bool Has(ITrainingWorker worker, long iteration, long through) =>
        iteration <= through && worker.Schedule is var schedule && schedule.RankAt(worker.Index, iteration) >= 0 && iteration <= Iterations(schedule);

    private void Read(ITrainingWorker worker, BatchSequence batches, long iteration, NumberedBatch batch)
    {
        if (_rounds.TryFind(worker.Schedule, worker.Index, iteration, out long block, out int workers))
        {
            batches.Read(block, workers, batch);
        }
        else
        {
            batch.Clear();
        }
    }

    // One iteration on pulled weights; meanwhile runs while the push is under way. It flushes where no iteration is known to follow. Gives the loss and whether one does.
    private static async Task<(double Loss, bool GoesOn)> StepAsync(
        ITrainingWorker worker, NumberedBatch batch, StepTime time, Action? meanwhile, bool mayHold, bool flushes, CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        double loss = 0;
        Task push = Task.CompletedTask;
        if (batch.Rows.Rows > 0)
        {
            time.Compute(() => loss = batch.ComputeGradient());
            worker.HoldBack(mayHold);
            push = worker.PushAsync(batch.Keys, batch.Gradient, cancellation);
        }

        Task flush = flushes ? worker.FlushAsync(cancellation) : Task.CompletedTask;
        Task both = Task.WhenAll(push, flush);
        try
        {
            time.Compute(meanwhile);
        }
        catch
        {
            await Task.WhenAny(both);
            throw;
        }

        if ((push.IsCompleted && !push.IsCompletedSuccessfully) || (flush.IsCompleted && !flush.IsCompletedSuccessfully))
        {
            // A push that was refused at once must not be followed by a clock that says it was made.
            await both;
        }

        // The push to an aggregating table completes when the iteration has closed everywhere, for which the clock call is needed: so both
        // are under way together, and the first failure of either ends the iteration.
        Task<bool> clock = worker.ClockAsync(cancellation);
        await time.WaitAsync(EndAsync());
        return (loss, await clock);

        async Task<bool> EndAsync()
        {
            await await Task.WhenAny(both, clock);
            await Task.WhenAll(both, clock);
            return true;
        }
    }

    private static Task<long> PullAsync(ITrainingWorker worker, NumberedBatch batch, int? delayBound, CancellationToken cancellation) =>
        batch.Rows.Rows == 0 ? None : worker.PullAsync(batch.Keys, batch.Weights, delayBound, cancellation);
}
