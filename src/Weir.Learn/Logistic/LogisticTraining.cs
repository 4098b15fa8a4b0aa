using Weir.Client;
using Weir.Learn.Data;
using Weir.Selection;

namespace Weir.Learn.Logistic;

/// <summary>
/// Sparse logistic regression by mini-batches on a parameter server: workers pull the weights of a batch's keys, push the summed gradient,
/// and the server's update rule does the rest (Li et al. 2014, section 5.1; McMahan et al. 2013 for FTRL). Declare the table of
/// <see cref="Table"/>, then have each worker of the job run <see cref="RunAsync"/>. Immutable and thread-safe.
/// </summary>
public sealed class LogisticTraining : ILinearTraining
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

    /// <summary>Filters of rows of a user's own, behind those that the options name: each makes one for a worker, perhaps several at the same time. Default: none.</summary>
    public IReadOnlyList<Func<RowFilter>> OwnFilters { get; init; } = [];

    /// <summary>Rows of a batch in force.</summary>
    public int BatchRows => _loop.BatchRows;

    /// <inheritdoc/>
    public int Passes => _options.Passes;

    /// <inheritdoc/>
    public int? DelayBound => _options.DelayBound;

    /// <inheritdoc/>
    public bool Aggregates => _options.EffectiveAggregate;

    /// <inheritdoc/>
    public bool HasIntercept => _options.Intercept;

    /// <inheritdoc/>
    public TrainingCut Cut => new(BatchRows, 0);

    /// <inheritdoc/>
    public long Iterations(WorkerSchedule schedule)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return _loop.Iterations(schedule);
    }

    /// <inheritdoc/>
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

    /// <inheritdoc/>
    public ReadOnlyMemory<float> Rows(ReadOnlyMemory<float> weights) => weights;

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

    /// <inheritdoc/>
    public Task RunThroughAsync(
        Worker worker, WeirTable table, long iteration, Action<TrainingStep>? report = null, CancellationToken cancellation = default) =>
        _loop.RunAsync(new WorkerOnTable(worker, table, _options.Filtered(worker, table, OwnFilters)), report, iteration, cancellation);

    /// <inheritdoc/>
    public long RowsThrough(int worker, WorkerSchedule schedule, long clock)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return _loop.RowsThrough(schedule, worker, clock);
    }

    /// <inheritdoc/>
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
}
