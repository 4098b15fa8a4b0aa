using Weir.Client;

namespace Weir.Learn.Logistic;

/// <summary>
/// Which block of the data a worker goes through in which iteration: in every iteration its workers take the next blocks of the pass, one each
/// in the order of their ranks; the last iteration of a pass may leave some without. So every block is gone through once a pass, also while
/// workers join and leave, and what a worker does in an iteration follows from the schedule alone. Immutable and thread-safe.
/// </summary>
/// <param name="rows">Rows of the data, at least 1.</param>
/// <param name="batchRows">Rows of a block, at least 1; the last block may be shorter.</param>
/// <param name="passes">Passes over the data, at least 1.</param>
internal sealed class BlockRounds(long rows, int batchRows, int passes)
{
    private readonly long _blocks = (rows + batchRows - 1) / batchRows;

    /// <summary>Where an iteration begins: the pass, counted from 0, and the first of its blocks.</summary>
    private readonly record struct Position(long Pass, long Block);

    /// <summary>The iterations that all passes take.</summary>
    public long Iterations(WorkerSchedule schedule)
    {
        IReadOnlyList<WorkerStage> stages = schedule.Stages;
        Position at = default;
        long last = 0;
        for (int stage = 0; stage < stages.Count; stage++)
        {
            int workers = stages[stage].Workers;
            long needed = workers == 0 ? long.MaxValue : Rounds(_blocks - at.Block, workers) + ((passes - at.Pass - 1) * Rounds(_blocks, workers));
            long length = stage + 1 < stages.Count ? stages[stage + 1].First - stages[stage].First : long.MaxValue;
            if (needed <= length)
            {
                return needed == long.MaxValue ? last : last + needed;
            }

            last += length;
            at = After(at, workers, length);
        }

        return last;
    }

    /// <summary>A worker's block in an iteration, and how many blocks on its next one is. False where the worker has none.</summary>
    public bool TryFind(WorkerSchedule schedule, int worker, long iteration, out long block, out int workers)
    {
        workers = schedule.CountAt(iteration);
        int rank = schedule.RankAt(worker, iteration);
        block = Before(schedule, iteration).Block + rank;
        return rank >= 0 && block < _blocks;
    }

    /// <summary>Rows that a worker has gone through at a clock.</summary>
    public long RowsThrough(WorkerSchedule schedule, int worker, long clock)
    {
        long gone = 0;
        Position at = default;
        IReadOnlyList<WorkerStage> stages = schedule.Stages;
        for (int stage = 0; stage < stages.Count && stages[stage].First <= clock; stage++)
        {
            (long first, int workers) = (stages[stage].First, stages[stage].Workers);
            long end = stage + 1 < stages.Count ? Math.Min(clock + 1, stages[stage + 1].First) : clock + 1;
            int rank = schedule.RankAt(worker, first);
            if (rank >= 0)
            {
                gone += RowsIn(at, rank, workers, end - first);
            }

            at = After(at, workers, end - first);
        }

        return gone;
    }

    private static long Rounds(long blocks, int workers) => (blocks + workers - 1) / workers;

    private Position Before(WorkerSchedule schedule, long iteration)
    {
        Position at = default;
        IReadOnlyList<WorkerStage> stages = schedule.Stages;
        for (int stage = 0; stage < stages.Count && stages[stage].First < iteration; stage++)
        {
            long end = stage + 1 < stages.Count ? Math.Min(iteration, stages[stage + 1].First) : iteration;
            at = After(at, stages[stage].Workers, end - stages[stage].First);
        }

        return at;
    }

    /// <summary>Where so many iterations of so many workers lead.</summary>
    private Position After(Position at, int workers, long iterations)
    {
        long left = workers == 0 ? long.MaxValue : Rounds(_blocks - at.Block, workers);
        if (iterations < left)
        {
            return at with { Block = at.Block + (iterations * workers) };
        }

        long more = iterations - left;
        long perPass = Rounds(_blocks, workers);
        return new Position(at.Pass + 1 + (more / perPass), more % perPass * workers);
    }

    private long RowsIn(Position at, int rank, int workers, long iterations)
    {
        long left = Math.Min(iterations, Rounds(_blocks - at.Block, workers));
        long perPass = Rounds(_blocks, workers);
        long more = iterations - left;
        return RowsInPass(at.Block + rank, workers, left)
            + (more / perPass * RowsInPass(rank, workers, perPass))
            + RowsInPass(rank, workers, more % perPass);
    }

    // Of a pass: so many blocks from the first on, each some blocks after the one before. Only the data's last block may be short.
    private long RowsInPass(long first, int workers, long iterations)
    {
        long own = first >= _blocks ? 0 : Math.Min(iterations, Rounds(_blocks - first, workers));
        bool hasLast = own > 0 && first + ((own - 1) * workers) == _blocks - 1;
        return (own * batchRows) - (hasLast ? (_blocks * batchRows) - rows : 0);
    }
}
