using System.Collections.Concurrent;
using Weir.Client;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Learn.ProximalGradient;

/// <summary>
/// The loop of one worker of delayed block proximal gradient (Li et al. 2014, OSDI, algorithm 3; NIPS, algorithm 2). In iteration t it pulls
/// the blocks whose steps it has not seen, waiting for those before t - tau, takes the change into its margins, computes gradient and
/// curvature of the block of t on its own rows, pushes both and goes on without waiting for the step. What it does follows from the weights
/// and t alone, so a worker that is hosted anew pulls all its weights, computes its margins from them and goes on at its clock; where
/// workers join or leave and its share of the rows is another, it does the same. One loop serves any number of workers, each from one
/// logical thread.
/// </summary>
/// <param name="options">Valid options.</param>
/// <param name="source">The training data.</param>
/// <param name="summary">What a scan of the data counted.</param>
internal sealed class ProximalGradientLoop(ProximalGradientOptions options, ISparseSource source, DataSummary summary)
{
    /// <summary>A share has blocks of at most so many rows: few enough that reading one ahead takes little memory.</summary>
    public const int LargestBatchRows = 4096;

    private readonly FeatureBlocks _blocks = new(options.Blocks, options.Seed);
    private readonly KktFilter? _kkt = options.Kkt ? new KktFilter(options.SummedL1(summary.Rows), options.Passes, options.Blocks) : null;
    private readonly ConcurrentDictionary<(int Rank, int Workers), ColumnShare> _shares = new();

    /// <summary>Iterations over all passes.</summary>
    public long Iterations => (long)options.Passes * options.Blocks;

    /// <summary>How many rows' worth of work a worker has done at a clock: of its share of the rows, a block is a part of one pass.</summary>
    public long RowsThrough(WorkerSchedule schedule, int worker, long clock)
    {
        IReadOnlyList<WorkerStage> stages = schedule.Stages;
        long rows = 0;
        for (int stage = 0; stage < stages.Count && stages[stage].First <= clock; stage++)
        {
            long end = stage + 1 < stages.Count ? Math.Min(clock + 1, stages[stage + 1].First) : clock + 1;
            int rank = schedule.RankAt(worker, stages[stage].First);
            rows += rank >= 0 ? (end - stages[stage].First) * RowsOf(rank, stages[stage].Workers) : 0;
        }

        return rows / options.Blocks;
    }

    /// <summary>Runs a worker from its clock to the end, or through its last iteration where it leaves.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="report">Called after each iteration once its step is taken, on the loop's own thread; null for none. The loss is that of the share, once a pass.</param>
    /// <param name="through">The last iteration to run where that is not the end.</param>
    /// <param name="cancellation">Ends the run between or within iterations.</param>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public async Task RunAsync(
        ITrainingWorker worker, Action<TrainingStep>? report = null, long through = long.MaxValue, CancellationToken cancellation = default)
    {
        var open = new OpenIterations(worker.Index, Iterations, report);
        BlockWork? work = null;
        long iteration = worker.Clock + 1;
        for (; Has(worker, iteration, through); iteration++)
        {
            cancellation.ThrowIfCancellationRequested();
            var time = new StepTime(worker);
            (int Rank, int Workers) place = (worker.Schedule.RankAt(worker.Index, iteration), worker.Schedule.CountAt(iteration));
            long seen;
            if (work is null || work.Place != place)
            {
                work = new BlockWork(place, Share(place), _blocks, _kkt, options.DelayBound, options.Curvature);
                seen = await time.WaitAsync(work.PullAllAsync(worker, iteration, cancellation));
            }
            else
            {
                // Iterations close in order, and the end of one's own says that it has closed (OSDI'14 section 3.5: start(t) needs every s < t - tau).
                long closed = await open.EndedAsync();
                seen = await time.WaitAsync(work.PullAsync(worker, iteration, closed, cancellation));
            }

            // A worker without keys in these blocks has pulled nothing and waits here.
            await time.WaitAsync(open.EndThroughAsync(iteration - options.DelayBound - 1));
            bool known = worker.Schedule.KnownThrough > iteration;
            open.Add(work.Step(worker, iteration, seen, time, IsFirstOfPass(iteration), cancellation));
            if (!known && !await open.LatestGoesOnAsync())
            {
                break;
            }
        }

        await open.EndThroughAsync(long.MaxValue);
    }

    /// <summary>The rows of a share: of the data's blocks of rows every so many-th.</summary>
    private long RowsOf(int rank, int workers)
    {
        long batchRows = BatchRows(workers);
        long blocks = (summary.Rows + batchRows - 1) / batchRows;
        long own = (blocks - rank + workers - 1) / workers;
        bool hasLast = own > 0 && (blocks - 1) % workers == rank;
        return (Math.Max(0, own) * batchRows) - (hasLast ? (blocks * batchRows) - summary.Rows : 0);
    }

    // No larger than a share, so that every worker has rows where there are as many.
    private int BatchRows(int workers) => (int)Math.Clamp(summary.Rows / Math.Max(1, workers), 1, LargestBatchRows);

    private bool IsFirstOfPass(long iteration) => (iteration - 1) % options.Blocks == 0;

    private bool Has(ITrainingWorker worker, long iteration, long through) =>
        iteration <= through && iteration <= Iterations && worker.Schedule.RankAt(worker.Index, iteration) >= 0;

    /// <summary>The rows of a place, read once however often the worker pauses or is hosted anew here. Where workers join or leave the old ones go.</summary>
    private ColumnShare Share((int Rank, int Workers) place)
    {
        foreach ((int Rank, int Workers) old in _shares.Keys.Where(known => known.Workers != place.Workers))
        {
            _shares.TryRemove(old, out _);
        }

        return _shares.GetOrAdd(place, at => ColumnShare.Read(source, at.Rank, at.Workers, BatchRows(at.Workers), options.EffectiveInterceptKey, _blocks));
    }
}
