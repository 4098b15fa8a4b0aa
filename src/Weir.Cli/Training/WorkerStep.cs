namespace Weir.Cli.Training;

/// <summary>What a worker's host says of it: after each iteration, and once when it takes the worker on, then without rows.</summary>
/// <param name="Worker">Which worker.</param>
/// <param name="Iteration">Its last finished iteration.</param>
/// <param name="Rows">Rows of the iteration.</param>
/// <param name="LossSum">The sum of their log-losses in nats before the update.</param>
/// <param name="Staleness">By how many iterations the weights may have been behind (<see cref="Weir.Learn.Logistic.TrainingStep"/>); -1 for none pulled.</param>
/// <param name="ComputeSeconds">Seconds in which it computed.</param>
/// <param name="WaitSeconds">Seconds in which it waited.</param>
internal readonly record struct WorkerStep(int Worker, long Iteration, int Rows, double LossSum, long Staleness, double ComputeSeconds, double WaitSeconds);
