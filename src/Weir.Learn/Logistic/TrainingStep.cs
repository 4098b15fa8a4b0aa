namespace Weir.Learn.Logistic;

/// <summary>What one worker did in one iteration.</summary>
/// <param name="Worker">Which worker.</param>
/// <param name="Iteration">Which iteration, counted from 1 over all passes.</param>
/// <param name="Iterations">How many there are in all, the same for every worker.</param>
/// <param name="Rows">Rows of the batch; 0 where the worker had none left in the pass's last round.</param>
/// <param name="LossSum">The sum of the rows' log-losses in nats before the update, under the weights pulled.</param>
public readonly record struct TrainingStep(int Worker, long Iteration, long Iterations, int Rows, double LossSum);
