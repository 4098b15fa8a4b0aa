using Weir.Client;
using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>
/// Sparse logistic regression by mini-batches on a parameter server: workers pull the weights of a batch's keys, push the summed gradient,
/// and the server's update rule does the rest (Li et al. 2014, section 5.1; McMahan et al. 2013 for FTRL). Declare the table of
/// <see cref="Table"/>, then have each worker of the job run <see cref="RunAsync"/>. Immutable and thread-safe.
/// </summary>
public sealed class LogisticTraining
{
    private readonly LogisticOptions _options;
    private readonly LogisticLoop _loop;

    /// <summary>A training on data that were scanned.</summary>
    /// <param name="options">How; checked here.</param>
    /// <param name="source">The training rows.</param>
    /// <param name="summary">What <see cref="ISparseSource.Scan"/> of the source gave.</param>
    /// <exception cref="ArgumentException">Options are out of their range; the message lists them all.</exception>
    public LogisticTraining(LogisticOptions options, ISparseSource source, DataSummary summary)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(summary);
        options.Validate();
        _options = options;
        _loop = new LogisticLoop(options, source, summary);
    }

    /// <summary>Rows of a batch in force.</summary>
    public int BatchRows => _loop.BatchRows;

    /// <summary>Whether every row has an intercept.</summary>
    public bool HasIntercept => _options.Intercept;

    /// <summary>How many iterations all passes take.</summary>
    /// <param name="schedule">Which workers take part in which iterations; <see cref="WorkerSchedule.Of"/> where none joins or leaves.</param>
    /// <returns>The clock at which a worker that does not leave is done.</returns>
    public long Iterations(WorkerSchedule schedule)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return _loop.Iterations(schedule);
    }

    /// <summary>The declaration of the table that holds the weights.</summary>
    /// <param name="name">Its name in the cluster.</param>
    /// <param name="job">The job whose workers train it; null to look at the declaration alone.</param>
    /// <returns>A table of width 1 with the rule of the options.</returns>
    public TableOptions Table(string name, Job? job) => new()
    {
        Name = name,
        Width = 1,
        Rule = _options.ToUpdateRule(),
        Aggregate = _options.EffectiveAggregate,
        Job = job,
        AdmitAfterSightings = _options.AdmitAfterSightings,
        ExpireAfterClocks = _options.ExpireAfterClocks,
    };

    /// <summary>Runs one worker from its clock to the end; what a job's host calls for each worker it is given.</summary>
    /// <param name="worker">The worker. In every iteration the workers that take part go on with the next batches of the pass, one each, so that
    /// every row is gone through once a pass however many join and leave.</param>
    /// <param name="table">The table of <see cref="Table"/>.</param>
    /// <param name="report">Called after each iteration; for several workers at once if they run at once. Null for none.</param>
    /// <param name="cancellation">Ends the run between or within iterations.</param>
    /// <returns>Done when the worker's last iteration is acknowledged.</returns>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    /// <exception cref="WeirException">The cluster cannot go on, or the worker was given to another host.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public Task RunAsync(Worker worker, WeirTable table, Action<TrainingStep>? report = null, CancellationToken cancellation = default) =>
        RunThroughAsync(worker, table, long.MaxValue, report, cancellation);

    /// <summary>Runs one worker from its clock to an iteration, after which it can be run again: once all are there, the model stands still.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="table">The table of <see cref="Table"/>.</param>
    /// <param name="iteration">The last iteration to run; one at or below the worker's clock runs none.</param>
    /// <param name="report">As for <see cref="RunAsync"/>.</param>
    /// <param name="cancellation">Ends the run between or within iterations.</param>
    /// <returns>Done when the iteration is acknowledged.</returns>
    public Task RunThroughAsync(
        Worker worker, WeirTable table, long iteration, Action<TrainingStep>? report = null, CancellationToken cancellation = default) =>
        _loop.RunAsync(new WorkerOnTable(worker, table), report, iteration, cancellation);

    /// <summary>How many rows a worker has gone through at a clock, over all passes.</summary>
    /// <param name="worker">Which worker, 0 up to <see cref="WorkerSchedule.Workers"/> - 1.</param>
    /// <param name="schedule">Which workers take part in which iterations.</param>
    /// <param name="clock">Its last finished iteration, 0 for none.</param>
    /// <returns>Rows, counted once a pass.</returns>
    public long RowsThrough(int worker, WorkerSchedule schedule, long clock)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return _loop.RowsThrough(schedule, worker, clock);
    }

    /// <summary>Reads the weights as they are now.</summary>
    /// <param name="client">A client of the cluster.</param>
    /// <param name="table">The table of <see cref="Table"/>.</param>
    /// <param name="cancellation">Ends the scan early.</param>
    /// <returns>The model, without weights of exactly 0, and how many rows the table has in all.</returns>
    /// <exception cref="WeirException">The cluster cannot be read.</exception>
    /// <exception cref="ArgumentException">A weight is not finite: the training diverged.</exception>
    public async Task<(LinearModel Model, long Rows)> ReadModelAsync(WeirClient client, WeirTable table, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        var builder = new LinearModelBuilder();
        await foreach (RowBatch rows in client.ScanAsync(table, cancellation))
        {
            builder.Add(rows.Keys.Span, rows.Values.Span);
        }

        return (builder.Build(_options.EffectiveInterceptKey), builder.Rows);
    }

    /// <summary>Weights by a pull for each batch, for <see cref="Evaluation"/> against a cluster. It waits for nobody's clock.</summary>
    /// <param name="client">A client of the cluster.</param>
    /// <param name="table">The table of <see cref="Table"/>.</param>
    /// <returns>The look-up.</returns>
    public static WeightLookup Lookup(WeirClient client, WeirTable table) =>
        (keys, weights, cancellation) => client.PullAsync(table, keys, weights, cancellation);

    private sealed class WorkerOnTable(Worker worker, WeirTable table) : ITrainingWorker
    {
        public int Index => worker.Index;

        public WorkerSchedule Schedule => worker.Schedule;

        public long Clock => worker.Clock;

        public async Task<long> PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation) =>
            (await worker.PullAsync(table, keys, values, delayBound, cancellation)).MinimumClock;

        public Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation) =>
            worker.PushAsync(table, keys, values, cancellation);

        public Task<bool> ClockAsync(CancellationToken cancellation) => worker.ClockAsync(cancellation);
    }
}
