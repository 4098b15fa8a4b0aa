using Weir.Client;
using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>What a pass is cut into: batches of rows, or blocks of features.</summary>
/// <param name="BatchRows">Rows of a batch; 0 where features are cut.</param>
/// <param name="Blocks">Blocks of features; 0 where rows are cut.</param>
public readonly record struct TrainingCut(int BatchRows, int Blocks);

/// <summary>
/// A method that trains a linear model on a parameter server: declare the table of <see cref="Table"/>, then have each worker of the job run
/// <see cref="RunThroughAsync"/>. Implementations are immutable to their callers and thread-safe.
/// </summary>
public interface ILinearTraining
{
    /// <summary>Passes over the data.</summary>
    int Passes { get; }

    /// <summary>How many iterations a worker may be ahead of the slowest; null for no bound.</summary>
    int? DelayBound { get; }

    /// <summary>Whether the workers' pushes of an iteration are summed before one update.</summary>
    bool Aggregates { get; }

    /// <summary>Whether every row has an intercept.</summary>
    bool HasIntercept { get; }

    /// <summary>What a pass is cut into.</summary>
    TrainingCut Cut { get; }

    /// <summary>How many iterations all passes take.</summary>
    /// <param name="schedule">Which workers take part in which iterations; <see cref="WorkerSchedule.Of"/> where none joins or leaves.</param>
    /// <returns>The clock at which a worker that does not leave is done.</returns>
    long Iterations(WorkerSchedule schedule);

    /// <summary>The declaration of the table that holds the weights.</summary>
    /// <param name="name">Its name in the cluster.</param>
    /// <param name="job">The job whose workers train it; null to look at the declaration alone.</param>
    /// <returns>A table with the method's rule.</returns>
    TableOptions Table(string name, Job? job);

    /// <summary>The rows of that table that stand for weights, to begin with a model.</summary>
    /// <param name="weights">A weight for each key.</param>
    /// <returns>As many floats for each as the table is wide.</returns>
    ReadOnlyMemory<float> Rows(ReadOnlyMemory<float> weights);

    /// <summary>Runs one worker from its clock to an iteration, after which it can be run again: once all are there, the model stands still.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="table">The table of <see cref="Table"/>.</param>
    /// <param name="iteration">The last iteration to run; long.MaxValue for all, one at or below the worker's clock runs none.</param>
    /// <param name="report">Called after each iteration; for several workers at once if they run at once. Null for none.</param>
    /// <param name="cancellation">Ends the run between or within iterations.</param>
    /// <returns>Done when the iteration is acknowledged.</returns>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    /// <exception cref="WeirException">The cluster cannot go on, or the worker was given to another host.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    Task RunThroughAsync(Worker worker, WeirTable table, long iteration, Action<TrainingStep>? report = null, CancellationToken cancellation = default);

    /// <summary>How many rows a worker has gone through at a clock, over all passes.</summary>
    /// <param name="worker">Which worker, 0 up to <see cref="WorkerSchedule.Workers"/> - 1.</param>
    /// <param name="schedule">Which workers take part in which iterations.</param>
    /// <param name="clock">Its last finished iteration, 0 for none.</param>
    /// <returns>Rows, counted once a pass.</returns>
    long RowsThrough(int worker, WorkerSchedule schedule, long clock);

    /// <summary>Reads the weights as they are now.</summary>
    /// <param name="client">A client of the cluster.</param>
    /// <param name="table">The table of <see cref="Table"/>.</param>
    /// <param name="cancellation">Ends the scan early.</param>
    /// <returns>The model, without weights of exactly 0, and how many rows the table has in all.</returns>
    /// <exception cref="WeirException">The cluster cannot be read.</exception>
    /// <exception cref="ArgumentException">A weight is not finite: the training diverged.</exception>
    Task<(LinearModel Model, long Rows)> ReadModelAsync(WeirClient client, WeirTable table, CancellationToken cancellation = default);
}
