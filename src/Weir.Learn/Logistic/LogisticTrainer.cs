using Weir.Client;
using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>
/// Trains sparse logistic regression by the workers of a job: each streams its own shard of the rows, pulls the weights of a batch's keys,
/// pushes their summed gradient and clocks. What a worker does in an iteration follows from the options, the data and the iteration's
/// number alone, so that any process may go on with it. Thread-safe: one trainer serves all workers of a process.
/// </summary>
public sealed class LogisticTrainer
{
    private readonly LogisticOptions _options;
    private readonly DataSummary _summary;
    private readonly LogisticLoop _loop;

    /// <summary>A trainer over a source that was scanned.</summary>
    /// <param name="options">The options, the same in every process of the job.</param>
    /// <param name="source">The training data.</param>
    /// <param name="summary">What a scan of <paramref name="source"/> counted.</param>
    /// <exception cref="ArgumentException">Options are out of their range; the message has a line for each.</exception>
    public LogisticTrainer(LogisticOptions options, ISparseSource source, DataSummary summary)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(summary);
        options.Validate();
        _options = options;
        _summary = summary;
        _loop = new LogisticLoop(options, source, summary);
    }

    /// <summary>Rows of a batch: asked for, or the default for the number of rows.</summary>
    public int BatchRows => _loop.BatchRows;

    /// <summary>The iterations of every worker over all passes.</summary>
    /// <param name="workers">How many workers the job has, at least 1.</param>
    /// <returns>The clock of a worker that is done.</returns>
    public long Iterations(int workers) => _loop.Iterations(workers);

    /// <summary>The table that the model is trained in.</summary>
    /// <param name="name">Its name in the cluster.</param>
    /// <param name="job">The job whose workers train it.</param>
    /// <param name="aggregate">Whether the workers' gradients of an iteration are summed and applied once (design R19).</param>
    /// <returns>Its declaration: rows of one float, the weight of a key, with the update rule of the options.</returns>
    public TableOptions Table(string name, Job job, bool aggregate) =>
        new() { Name = name, Width = 1, Rule = _options.ToUpdateRule(), Job = job, Aggregate = aggregate };

    /// <summary>Runs a worker from its clock on.</summary>
    /// <param name="worker">The worker, as the cluster gave it to this process.</param>
    /// <param name="table">The table opened as <see cref="Table"/> declares it.</param>
    /// <param name="report">Called after each iteration; null for none.</param>
    /// <param name="through">The last iteration to run; the default runs all.</param>
    /// <param name="cancellation">Ends the run.</param>
    /// <returns>Done once the last iteration's pushes are acknowledged.</returns>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    /// <exception cref="WeirException">The cluster cannot go on, or gave the worker to another process (Ended).</exception>
    public Task RunAsync(
        Worker worker, WeirTable table, Action<TrainingStep>? report = null, long through = long.MaxValue, CancellationToken cancellation = default) =>
        _loop.RunAsync(new TableWorker(worker, table), report, through, cancellation);

    /// <summary>How many rows a worker has gone through at a clock, over all passes.</summary>
    /// <param name="worker">Which worker, 0 up to <paramref name="workers"/> - 1.</param>
    /// <param name="workers">How many the job has.</param>
    /// <param name="clock">Its last finished iteration, 0 for none.</param>
    /// <returns>Rows, counted once a pass.</returns>
    public long RowsThrough(int worker, int workers, long clock)
    {
        long perPass = _summary.BatchesPerPass(workers, BatchRows);
        return (clock / perPass * RowsInPass(perPass)) + RowsInPass(clock % perPass);

        // Batch b of a pass is block worker + b * workers; only the data's last block may be short.
        long RowsInPass(long batches)
        {
            long blocks = (_summary.Rows + BatchRows - 1) / BatchRows;
            long own = Math.Min(batches, (blocks - worker + workers - 1) / workers);
            bool hasLast = own > 0 && worker + ((own - 1) * workers) == blocks - 1;
            return (own * BatchRows) - (hasLast ? (blocks * BatchRows) - _summary.Rows : 0);
        }
    }
}
