using System.Globalization;
using Weir.Cli.Reports;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Learn.Logistic;

namespace Weir.Cli.Bench;

/// <summary>
/// Trains on the generated click log with each delay bound while workers are slowed down, and says how they spent their time, when they came to the objective, and how good the model became: Li et al. 2014 (OSDI),
/// figure 13. The slowness is simulated: after each iteration a worker sleeps, and three times as long where it is slow. Once all workers are slow now and then, once one of them always.
/// </summary>
internal sealed class DelayBench(DelaySettings settings, ToolConsole console)
{
    // Sleeping workers hold threads of the pool, which is slow to add more by itself.
    private const int Threads = 32;

    /// <summary>Runs all of it.</summary>
    public async Task<DelayReport> RunAsync(CancellationToken cancellation)
    {
        ThreadPool.GetMinThreads(out int workers, out int ports);
        ThreadPool.SetMinThreads(Math.Max(workers, Threads), ports);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"the click log's {settings.Rows:N0} rows, {DelaySettings.Passes} passes in batches of {settings.BatchRows:N0}; {DelaySettings.Servers} servers and {DelaySettings.Workers} workers in this process; iterations take {settings.StepMs} ms longer, slow ones {DelaySettings.SlowTimes * settings.StepMs} ms (simulated); {settings.Seeds} {(settings.Seeds == 1 ? "seed" : "seeds")}"));
        List<TrainingData> data = [];
        for (int seed = 1; seed <= settings.Seeds; seed++)
        {
            data.Add(await Task.Run(() => TrainingData.Open(new DataSettings(null, null, (ulong)seed, settings.Rows, settings.TestRows), cancellation), cancellation));
        }

        return new DelayReport(
            settings.Rows,
            DelaySettings.Passes,
            settings.BatchRows,
            DelaySettings.Servers,
            DelaySettings.Workers,
            settings.StepMs,
            settings.Seeds,
            await CaseAsync("each worker slow a quarter of the time", data, alwaysSlow: -1, cancellation),
            await CaseAsync("one worker always slow", data, alwaysSlow: 0, cancellation));
    }

    private async Task<IReadOnlyList<DelayedRun>> CaseAsync(string name, List<TrainingData> data, int alwaysSlow, CancellationToken cancellation)
    {
        var outcomes = new TrainingOutcome[DelaySettings.Delays.Length, data.Count];
        for (int seed = 0; seed < data.Count; seed++)
        {
            for (int delay = 0; delay < DelaySettings.Delays.Length; delay++)
            {
                outcomes[delay, seed] = await TrainAsync(data[seed], DelaySettings.Delays[delay], seed, alwaysSlow, cancellation);
            }
        }

        console.Say($"{name}:");
        var runs = new DelayedRun[DelaySettings.Delays.Length];
        for (int delay = 0; delay < runs.Length; delay++)
        {
            TrainingOutcome[] some = [.. Enumerable.Range(0, data.Count).Select(seed => outcomes[delay, seed])];
            double[] objectives = [.. Enumerable.Range(0, data.Count).Select(seed => Objective(outcomes, seed))];
            double[] differences = [.. some.Select((outcome, seed) => outcome.Test.LogLoss - outcomes[0, seed].Test.LogLoss)];
            double mean = differences.Average();
            runs[delay] = new DelayedRun(
                DelaySettings.Delays[delay],
                some.Average(outcome => outcome.Seconds),
                some.Select((outcome, seed) => outcome.Course.First(at => at.Loss <= objectives[seed]).Seconds).Average(),
                some.Sum(outcome => outcome.ComputeSeconds) / some.Sum(outcome => outcome.Seconds * DelaySettings.Workers),
                some.Sum(outcome => outcome.WaitSeconds) / some.Sum(outcome => outcome.Seconds * DelaySettings.Workers),
                some.Average(outcome => outcome.Test.LogLoss),
                mean,
                Math.Sqrt(differences.Sum(difference => (difference - mean) * (difference - mean)) / Math.Max(1, differences.Length - 1)));
            console.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"delay {DelaySettings.Delays[delay]?.ToString(CultureInfo.InvariantCulture) ?? "none",-4} {runs[delay].Seconds,6:F2} s ({runs[0].Seconds / runs[delay].Seconds:F2} times as fast as 0), to the objective {runs[delay].SecondsToObjective:F2} s; computed {runs[delay].ComputeShare:P0}, waited {runs[delay].WaitShare:P0}; test log-loss {runs[delay].LogLoss:F5}, {mean:+0.00000;-0.00000} +- {runs[delay].DifferenceDeviation:F5} to delay 0"));
        }

        return runs;
    }

    /// <summary>What every delay came to, of one seed: the worst of the losses at the end.</summary>
    private static double Objective(TrainingOutcome[,] outcomes, int seed) =>
        Enumerable.Range(0, DelaySettings.Delays.Length).Max(delay => outcomes[delay, seed].Course[^1].Loss);

    private async Task<TrainingOutcome> TrainAsync(TrainingData data, int? delay, int seed, int alwaysSlow, CancellationToken cancellation)
    {
        Slowness[] slowness = [.. Enumerable.Range(0, DelaySettings.Workers).Select(worker => new Slowness((seed * DelaySettings.Workers) + worker, always: worker == alwaysSlow))];
        double[] slept = new double[DelaySettings.Workers];
        var options = new LogisticOptions { Passes = DelaySettings.Passes, BatchRows = settings.BatchRows, DelayBound = delay, Aggregate = false };
        TrainingOutcome outcome = await BenchedTraining.RunAsync(
            data,
            options,
            new BenchedCluster(DelaySettings.Servers, DelaySettings.SegmentBits, DelaySettings.Workers),
            Filters.None,
            step =>
            {
                if (step.Rows > 0)
                {
                    bool isSlow = slowness[step.Worker].Next() && (alwaysSlow < 0 || step.Worker == alwaysSlow);
                    int ms = settings.StepMs * (isSlow ? DelaySettings.SlowTimes : 1);
                    slept[step.Worker] += ms / 1000.0;

                    // The worker's own thread stands still, as one that computes would: it is what is measured.
                    Thread.Sleep(ms);
                }
            },
            cancellation);
        return outcome with { ComputeSeconds = outcome.ComputeSeconds + slept.Sum() };
    }
}
