using System.Diagnostics;
using Weir.Learn.Logistic;

namespace Weir.Cli.Training;

/// <summary>How a run stands at one moment.</summary>
/// <param name="Share">The share of all iterations that are done, 0 to 1.</param>
/// <param name="Rows">Rows gone through, over all passes.</param>
/// <param name="RowsPerSecond">Over the whole run so far.</param>
/// <param name="Loss">Mean log-loss of the latest rows before their update, in nats; NaN before the first.</param>
/// <param name="Left">Time left at the rate so far.</param>
/// <param name="Pass">The pass that the slowest worker is in, counted from 1.</param>
internal readonly record struct TrainingMoment(double Share, long Rows, double RowsPerSecond, double Loss, TimeSpan Left, int Pass);

/// <summary>
/// Sums what the workers' hosts report. A host that died may have reported an iteration that is redone elsewhere, or not have reported one
/// that is not: rows follow from the clocks alone. Thread-safe.
/// </summary>
internal sealed class TrainingMeter(LogisticTraining training, int workers, int passes)
{
    // The loss shown is of about this share of a pass: smooth enough to read, recent enough to see it fall.
    private const double LossMemory = 0.1;

    private readonly Lock _lock = new();
    private readonly long[] _clocks = new long[workers];
    private readonly int[] _processes = new int[workers];
    private readonly List<(long Iteration, TaskCompletionSource Reached)> _awaited = [];
    private readonly long _iterations = training.Iterations(workers);
    private readonly double _lossRows = Math.Max(1, training.RowsThrough(0, workers, training.Iterations(workers)) * LossMemory * workers / passes);
    private readonly Stopwatch _since = new();
    private double _recentLoss;
    private double _recentRows;

    /// <summary>Iterations of every worker.</summary>
    public long Iterations => _iterations;

    /// <summary>Seconds since training began.</summary>
    public double Seconds => _since.Elapsed.TotalSeconds;

    /// <summary>The last finished iteration of the slowest worker.</summary>
    public long LeastClock
    {
        get
        {
            lock (_lock)
            {
                return _clocks.Min();
            }
        }
    }

    /// <summary>Begins to count time.</summary>
    public void Start() => _since.Start();

    /// <summary>Ends counting time.</summary>
    public void Stop() => _since.Stop();

    /// <summary>Counts a step, unless another host has told of it.</summary>
    public void Add(WorkerStep step, int process)
    {
        lock (_lock)
        {
            _processes[step.Worker] = process;
            if (step.Iteration <= _clocks[step.Worker])
            {
                return;
            }

            _clocks[step.Worker] = step.Iteration;
            double kept = Math.Max(0, 1 - (step.Rows / _lossRows));
            _recentLoss = (_recentLoss * kept) + step.LossSum;
            _recentRows = (_recentRows * kept) + step.Rows;
            long least = _clocks.Min();
            foreach ((_, TaskCompletionSource reached) in _awaited.Where(awaited => awaited.Iteration <= least))
            {
                reached.TrySetResult();
            }

            _awaited.RemoveAll(awaited => awaited.Iteration <= least);
        }
    }

    /// <summary>Done once every worker has finished the iteration.</summary>
    public Task ReachedAsync(long iteration)
    {
        lock (_lock)
        {
            if (_clocks.Min() >= iteration)
            {
                return Task.CompletedTask;
            }

            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _awaited.Add((iteration, reached));
            return reached.Task;
        }
    }

    /// <summary>A worker's last host, the rows it went through and its clock.</summary>
    public (int Process, long Rows, long Clock) Worker(int worker)
    {
        lock (_lock)
        {
            return (_processes[worker], training.RowsThrough(worker, workers, _clocks[worker]), _clocks[worker]);
        }
    }

    /// <summary>How the run stands now.</summary>
    public TrainingMoment Now()
    {
        lock (_lock)
        {
            double share = (double)_clocks.Sum() / ((double)_iterations * workers);
            long rows = 0;
            for (int worker = 0; worker < workers; worker++)
            {
                rows += training.RowsThrough(worker, workers, _clocks[worker]);
            }

            double seconds = Math.Max(Seconds, 1e-9);
            double left = share > 0 ? seconds * (1 - share) / share : 0;
            int pass = (int)Math.Min(passes, (_clocks.Min() * passes / _iterations) + 1);
            return new TrainingMoment(share, rows, rows / seconds, _recentRows > 0 ? _recentLoss / _recentRows : double.NaN, TimeSpan.FromSeconds(left), pass);
        }
    }
}
