namespace Weir.Learn.Logistic;

/// <summary>What one worker did in one iteration.</summary>
/// <param name="Worker">Which worker.</param>
/// <param name="Iteration">Which iteration, counted from 1 over all passes.</param>
/// <param name="Iterations">How many there are in all, with the workers that are known to take part; the same for every worker.</param>
/// <param name="Rows">Rows of the batch; 0 where the worker had none left in the pass's last round.</param>
/// <param name="LossSum">The sum of the rows' log-losses in nats before the update, under the weights pulled.</param>
/// <param name="Staleness">By how many iterations the weights pulled may have been behind: with a smallest clock of m when they were read it
/// is Iteration - 1 - m, at least 0 and at most the delay bound; -1 where nothing was pulled.</param>
/// <param name="ComputeSeconds">Seconds spent on reading rows and computing their gradient.</param>
/// <param name="WaitSeconds">Seconds in which the worker had nothing to do but to wait for weights, or for its push and clock.</param>
public readonly record struct TrainingStep(int Worker, long Iteration, long Iterations, int Rows, double LossSum, long Staleness, double ComputeSeconds, double WaitSeconds);
