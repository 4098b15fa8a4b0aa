using System.Diagnostics;
using Weir.Client;
using Weir.Learn.Logistic;

namespace Weir.Cli.Training;

/// <summary>How a run stands at one moment.</summary>
/// <param name="Share">The share of all rows of all passes that are done, 0 to 1.</param>
/// <param name="Rows">Rows gone through, over all passes.</param>
/// <param name="RowsPerSecond">Over the whole run so far.</param>
/// <param name="Loss">Mean log-loss of the latest rows before their update, in nats; NaN before the first.</param>
/// <param name="Left">Time left at the rate so far.</param>
/// <param name="Pass">The pass that the workers are in, counted from 1.</param>
internal readonly record struct TrainingMoment(double Share, long Rows, double RowsPerSecond, double Loss, TimeSpan Left, int Pass);

/// <summary>
/// Sums what the workers' hosts report. A host that died may have reported an iteration that is redone elsewhere, or not have reported one
/// that is not: rows follow from the clocks and the schedule of the workers alone. Thread-safe.
/// </summary>
internal sealed class TrainingMeter(ILinearTraining training, int workers)
{
    // The loss shown is of about this share of a pass: smooth enough to read, recent enough to see it fall.
    private const double LossMemory = 0.1;

    private readonly Lock _lock = new();
    private readonly List<Told> _told = [.. Enumerable.Range(0, workers).Select(_ => new Told())];
    private readonly List<(long Iteration, TaskCompletionSource Reached)> _awaited = [];
    private readonly double _lossRows = Math.Max(1, RowsOf(training, WorkerSchedule.Of(workers)) * LossMemory / training.Passes);
    private readonly Stopwatch _since = new();
    private double _recentLoss;
    private double _recentRows;
    private WorkerSchedule _schedule = WorkerSchedule.Of(workers);

    /// <summary>What the hosts told of one worker.</summary>
    private sealed class Told
    {
        public long Clock { get; set; }

        public int Process { get; set; }

        public long Staleness { get; set; } = -1;

        public double ComputeSeconds { get; set; }

        public double WaitSeconds { get; set; }
    }

    /// <summary>Iterations of all passes, with the workers that are known to take part.</summary>
    public long Iterations
    {
        get
        {
            lock (_lock)
            {
                return training.Iterations(_schedule);
            }
        }
    }

    /// <summary>Which workers take part in which iterations.</summary>
    public WorkerSchedule Schedule
    {
        get
        {
            lock (_lock)
            {
                return _schedule;
            }
        }

        set
        {
            lock (_lock)
            {
                _schedule = value;
                Release();
            }
        }
    }

    /// <summary>Seconds since training began.</summary>
    public double Seconds => _since.Elapsed.TotalSeconds;

    /// <summary>The last finished iteration of the slowest worker.</summary>
    public long LeastClock
    {
        get
        {
            lock (_lock)
            {
                return Least();
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
            Told told = Of(step.Worker);
            told.Process = process;
            told.Staleness = Math.Max(told.Staleness, step.Staleness);
            told.ComputeSeconds += step.ComputeSeconds;
            told.WaitSeconds += step.WaitSeconds;
            if (step.Iteration <= told.Clock)
            {
                return;
            }

            told.Clock = step.Iteration;
            double kept = Math.Max(0, 1 - (step.Rows / _lossRows));
            _recentLoss = (_recentLoss * kept) + step.LossSum;
            _recentRows = (_recentRows * kept) + step.Rows;
            Release();
        }
    }

    /// <summary>Done once every worker has finished the iteration, or what it takes part in.</summary>
    public Task ReachedAsync(long iteration)
    {
        lock (_lock)
        {
            if (Least() >= iteration)
            {
                return Task.CompletedTask;
            }

            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _awaited.Add((iteration, reached));
            return reached.Task;
        }
    }

    /// <summary>
    /// A worker's last host, the rows it went through, its clock, the largest staleness of what it pulled, -1 for nothing, and the seconds in which it computed and waited: of what it did twice, as its host died, both times.
    /// </summary>
    public (int Process, long Rows, long Clock, long Staleness, double ComputeSeconds, double WaitSeconds) Worker(int worker)
    {
        lock (_lock)
        {
            Told told = Of(worker);
            return (told.Process, training.RowsThrough(worker, _schedule, told.Clock), told.Clock, told.Staleness, told.ComputeSeconds, told.WaitSeconds);
        }
    }

    /// <summary>How the run stands now.</summary>
    public TrainingMoment Now()
    {
        lock (_lock)
        {
            long rows = 0;
            for (int worker = 0; worker < _schedule.Workers; worker++)
            {
                rows += training.RowsThrough(worker, _schedule, Of(worker).Clock);
            }

            double share = (double)rows / RowsOf(training, _schedule);
            double seconds = Math.Max(Seconds, 1e-9);
            double left = share > 0 ? seconds * (1 - share) / share : 0;
            int pass = (int)Math.Min(training.Passes, (share * training.Passes) + 1);
            return new TrainingMoment(share, rows, rows / seconds, _recentRows > 0 ? _recentLoss / _recentRows : double.NaN, TimeSpan.FromSeconds(left), pass);
        }
    }

    private static long RowsOf(ILinearTraining training, WorkerSchedule schedule)
    {
        long iterations = training.Iterations(schedule);
        return Enumerable.Range(0, schedule.Workers).Sum(worker => training.RowsThrough(worker, schedule, iterations));
    }

    private Told Of(int worker)
    {
        while (_told.Count <= worker)
        {
            _told.Add(new Told());
        }

        return _told[worker];
    }

    /// <summary>The clock of the slowest worker: one that is yet to join, or that has left, keeps nobody waiting.</summary>
    private long Least()
    {
        long least = long.MaxValue;
        for (int worker = 0; worker < _schedule.Workers; worker++)
        {
            (long first, long last) = (_schedule.FirstIteration(worker), _schedule.LastIteration(worker));
            long clock = Math.Max(Of(worker).Clock, first - 1);
            least = first > 0 && clock < last ? Math.Min(least, clock) : least;
        }

        return least;
    }

    private void Release()
    {
        long least = Least();
        foreach ((_, TaskCompletionSource reached) in _awaited.Where(awaited => awaited.Iteration <= least))
        {
            reached.TrySetResult();
        }

        _awaited.RemoveAll(awaited => awaited.Iteration <= least);
    }
}
