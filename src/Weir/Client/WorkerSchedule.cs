using Weir.Placement;

namespace Weir.Client;

/// <summary>A run of iterations in which the same number of workers takes part.</summary>
/// <param name="First">The first of them.</param>
/// <param name="Workers">How many workers take part, 0 or above.</param>
public readonly record struct WorkerStage(long First, int Workers);

/// <summary>
/// Which workers of a job take part in which iterations: those it opened with from the first on, others from where they joined, some only
/// through where they leave (planned joins and leaves; design R8). What a share of the data follows from: in iteration t a worker has rank
/// <see cref="RankAt"/> of <see cref="CountAt"/>. What is decided never changes; a later schedule only knows more. Immutable and thread-safe.
/// </summary>
public sealed class WorkerSchedule
{
    private readonly (long First, long Last)[] _spans;
    private readonly WorkerStage[] _stages;

    internal WorkerSchedule(MapJob job, long knownThrough = long.MaxValue)
        : this([.. job.Workers.Select(w => (w.From, w.Last))], knownThrough)
    {
    }

    private WorkerSchedule((long First, long Last)[] spans, long knownThrough)
    {
        _spans = spans;
        KnownThrough = knownThrough;
        SortedDictionary<long, int> changes = new() { [1] = 0 };
        foreach ((long first, long last) in spans.Where(s => s.First > 0))
        {
            changes[first] = changes.GetValueOrDefault(first) + 1;
            if (last < long.MaxValue)
            {
                changes[last + 1] = changes.GetValueOrDefault(last + 1) - 1;
            }
        }

        int workers = 0;
        List<WorkerStage> stages = [];
        foreach ((long first, int change) in changes)
        {
            workers += change;
            stages.Add(new WorkerStage(first, workers));
        }

        _stages = [.. stages];
    }

    /// <summary>The schedule of a job whose workers neither join nor leave.</summary>
    /// <param name="workers">How many it has, at least 1.</param>
    public static WorkerSchedule Of(int workers)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(workers, 1);
        return new WorkerSchedule([.. Enumerable.Repeat((1L, long.MaxValue), workers)], long.MaxValue);
    }

    /// <summary>All workers that the job has ever had, with those that left and those whose join is announced; their indices are below this.</summary>
    public int Workers => _spans.Length;

    /// <summary>
    /// The last iteration whose workers are decided for good: long.MaxValue but while a join or leave is under way. A worker's current iteration
    /// and, while none is under way, its next are always decided.
    /// </summary>
    public long KnownThrough { get; }

    /// <summary>The runs of iterations between joins and leaves, in order, the first from iteration 1 on.</summary>
    public IReadOnlyList<WorkerStage> Stages => _stages;

    /// <summary>The first iteration that a worker takes part in; 0 while its join is announced and not yet decided.</summary>
    public long FirstIteration(int worker) => _spans[worker].First;

    /// <summary>The last iteration that a worker takes part in by a planned leave; long.MaxValue where none is decided.</summary>
    public long LastIteration(int worker) => _spans[worker].Last;

    /// <summary>How many workers take part in an iteration.</summary>
    public int CountAt(long iteration) => Array.FindLast(_stages, s => s.First <= iteration).Workers;

    /// <summary>A worker's place among those that take part in an iteration, in the order of their indices, from 0; -1 where it does not.</summary>
    public int RankAt(int worker, long iteration) =>
        TakesPart(_spans[worker], iteration) ? _spans.Take(worker).Count(s => TakesPart(s, iteration)) : -1;

    /// <summary>Whether two schedules say the same.</summary>
    internal bool Says(WorkerSchedule other) => KnownThrough == other.KnownThrough && _spans.AsSpan().SequenceEqual(other._spans);

    private static bool TakesPart((long First, long Last) span, long iteration) => span.First > 0 && span.First <= iteration && iteration <= span.Last;
}
