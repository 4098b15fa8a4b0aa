using Weir.Client;
using Weir.Learn.Logistic;

namespace Weir.Cli.Training;

/// <summary>
/// What a process does with the workers that the cluster gives it, be it the tool's own or a child: trains each from its clock to the end,
/// pausing where the model is to be measured. Thread-safe.
/// </summary>
/// <param name="training">The training.</param>
/// <param name="table">The model's table.</param>
/// <param name="pauses">Iterations after which workers wait, ascending.</param>
/// <param name="gate">What they wait for.</param>
/// <param name="report">Called, from any thread, after each iteration and when a worker is taken on.</param>
internal sealed class HostedWorkers(ILinearTraining training, WeirTable table, IReadOnlyList<long> pauses, PauseGate gate, Action<WorkerStep> report)
{
    /// <summary>Runs one worker, on a thread of the pool: computing must not hold up those who take messages.</summary>
    public Task RunAsync(Worker worker, CancellationToken cancellation) => Task.Run(() => RunHereAsync(worker, cancellation), cancellation);

    private async Task RunHereAsync(Worker worker, CancellationToken cancellation)
    {
        report(new WorkerStep(worker.Index, worker.Clock, 0, 0, -1, 0, 0));
        for (int pause = 0; pause < pauses.Count && !(worker.Clock >= worker.LastIteration); pause++)
        {
            await training.RunThroughAsync(worker, table, pauses[pause], Report, cancellation);
            await gate.PassAsync(pause, cancellation);
        }

        await training.RunThroughAsync(worker, table, long.MaxValue, Report, cancellation);
    }

    private void Report(TrainingStep step) => report(new WorkerStep(step.Worker, step.Iteration, step.Rows, step.LossSum, step.Staleness, step.ComputeSeconds, step.WaitSeconds));
}
