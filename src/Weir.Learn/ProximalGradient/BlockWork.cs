using Weir.Learn.Logistic;

namespace Weir.Learn.ProximalGradient;

/// <summary>What a worker does with one share of the rows: pulls blocks, steps and knows which steps its weights contain. Not thread-safe.</summary>
/// <param name="place">The share: its rank among how many.</param>
/// <param name="share">Its rows.</param>
/// <param name="blocks">Which block an iteration works on.</param>
/// <param name="kkt">What leaves columns out; null leaves out none.</param>
/// <param name="delayBound">The delay bound tau.</param>
/// <param name="curvature">What is pushed as curvature.</param>
internal sealed class BlockWork((int Rank, int Workers) place, ColumnShare share, FeatureBlocks blocks, KktFilter? kkt, int delayBound, CurvatureKind curvature)
{
    private readonly BlockState _state = new(share);
    private readonly float[] _pulled = new float[2 * share.Columns];
    private readonly Queue<float[]> _spare = new();
    private readonly Dictionary<long, int[]> _stepped = [];
    private long _seen;

    /// <summary>The share.</summary>
    public (int Rank, int Workers) Place => place;

    /// <summary>Pulls the weights of all columns for an iteration and computes the margins from them.</summary>
    /// <returns>The last iteration whose step they are known to contain, with all before it.</returns>
    public async Task<long> PullAllAsync(ITrainingWorker worker, long iteration, CancellationToken cancellation)
    {
        long minimum = iteration - 1;
        if (share.Columns > 0)
        {
            minimum = await worker.PullAsync(share.Keys, _pulled, delayBound, cancellation);
            _state.Adopt(0, _pulled);
        }

        return _seen = Math.Min(minimum, iteration - 1);
    }

    /// <summary>Pulls the blocks of the steps that have been taken since, as far as known, and at least of those before iteration - delay bound.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="iteration">The iteration to come.</param>
    /// <param name="closed">The last iteration that is known to have closed.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>The last iteration whose step the weights contain, with all before it.</returns>
    public async Task<long> PullAsync(ITrainingWorker worker, long iteration, long closed, CancellationToken cancellation)
    {
        long target = Math.Max(closed, iteration - delayBound - 1);
        List<(int Block, int[] Columns)> wanted = [];
        for (long step = _seen + 1; step <= target; step++)
        {
            int block = blocks.At(step);
            if (wanted.Exists(known => known.Block == block))
            {
                continue;
            }

            int[] columns = _stepped.GetValueOrDefault(step) ?? Active(block, step);
            Count(worker, block, columns.Length);
            if (columns.Length > 0)
            {
                wanted.Add((block, columns));
            }
        }

        long minimum = target;
        var pulls = new Task<long>[wanted.Count];
        for (int at = 0; at < pulls.Length; at++)
        {
            (int block, int[] columns) = wanted[at];
            pulls[at] = worker.PullAsync(Keys(columns), _pulled.AsMemory(2 * share.Block(block).First, 2 * columns.Length), delayBound, cancellation);
        }

        foreach (long clock in await Task.WhenAll(pulls))
        {
            minimum = Math.Min(minimum, clock);
        }

        foreach ((int block, int[] columns) in wanted)
        {
            _state.Adopt(columns, _pulled.AsSpan(2 * share.Block(block).First, 2 * columns.Length));
        }

        // A server that has not heard of the last clocks may have answered before the step: then the block is pulled again.
        for (long step = _seen + 1; step <= minimum; step++)
        {
            _stepped.Remove(step);
        }

        return _seen = Math.Max(_seen, minimum);
    }

    /// <summary>Computes gradient and curvature of the iteration's block, begins to push them and ends the iteration.</summary>
    /// <param name="worker">The worker.</param>
    /// <param name="iteration">The iteration under way.</param>
    /// <param name="seen">The last step that the weights contain.</param>
    /// <param name="time">What it took so far; what is computed here is added.</param>
    /// <param name="withLoss">Whether the loss is computed: it takes as long as a block.</param>
    /// <param name="cancellation">Ends both calls.</param>
    public OpenIteration Step(ITrainingWorker worker, long iteration, long seen, StepTime time, bool withLoss, CancellationToken cancellation)
    {
        double loss = 0;
        time.Compute(() => loss = withLoss ? _state.Loss() : 0);
        int[] columns = Active(blocks.At(iteration), iteration);
        _stepped[iteration] = columns;
        int count = columns.Length;
        Count(worker, blocks.At(iteration), count);
        float[] pushed = [];
        Task push = Task.CompletedTask;
        if (count > 0)
        {
            if (!_spare.TryDequeue(out pushed!) || pushed.Length < 2 * count)
            {
                pushed = new float[2 * count];
            }

            time.Compute(() => Compute(columns, pushed));

            push = worker.PushAsync(Keys(columns), pushed.AsMemory(0, 2 * count), cancellation);
        }

        // A push that was refused at once must not be followed by a clock that says it was made.
        Task<bool> clock = push.IsFaulted || push.IsCanceled ? Refused(push) : worker.ClockAsync(cancellation);
        return new OpenIteration(iteration, push, clock, withLoss ? share.Rows : 0, loss, Math.Max(0, iteration - 1 - seen), time, () => Return(pushed));
    }

    /// <summary>
    /// The columns of a block that take part in an iteration. Those of a step are pulled once it is taken, whatever was read of it meanwhile: what a head that died had told of it may have been otherwise.
    /// </summary>
    private int[] Active(int block, long iteration)
    {
        (int first, int count) = share.Block(block);
        IEnumerable<int> columns = Enumerable.Range(first, count);
        return kkt is null ? [.. columns] : [.. columns.Where(column => kkt.IsActive(_state.Weights[column], _state.LastGradients[column], iteration))];
    }

    /// <summary>Of a block's columns so many are pushed or pulled: what the others would have been.</summary>
    private void Count(ITrainingWorker worker, int block, int sent)
    {
        const int RowBytes = sizeof(ulong) + (2 * sizeof(float));
        if (kkt is not null)
        {
            worker.CountFiltered(KktFilter.Name, share.Block(block).Count * (long)RowBytes, sent * (long)RowBytes);
        }
    }

    private ReadOnlyMemory<ulong> Keys(int[] columns)
    {
        if (columns[^1] - columns[0] == columns.Length - 1)
        {
            return share.Keys.AsMemory(columns[0], columns.Length);
        }

        return Array.ConvertAll(columns, column => share.Keys[column]);
    }

    /// <summary>The gradient and the curvature of each column.</summary>
    private void Compute(int[] columns, float[] pushed)
    {
        _state.ComputeErrors();
        for (int at = 0; at < columns.Length; at++)
        {
            pushed[2 * at] = (float)_state.Gradient(columns[at]);
            pushed[(2 * at) + 1] = curvature == CurvatureKind.Local ? (float)_state.LocalCurvature(columns[at]) : share.Curvatures[columns[at]];
        }
    }

    private static async Task<bool> Refused(Task push)
    {
        await push;
        return false;
    }

    private void Return(float[] pushed)
    {
        if (pushed.Length > 0)
        {
            _spare.Enqueue(pushed);
        }
    }
}
