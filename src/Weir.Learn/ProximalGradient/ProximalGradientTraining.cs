using Weir.Client;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Learn.ProximalGradient;

/// <summary>
/// Sparse logistic regression by delayed block proximal gradient (Li et al. 2014, OSDI, algorithm 3 and section 5.1): workers push gradient
/// and curvature of one block of features an iteration, summed over all their rows, and the servers take the proximal step on the sums of
/// all workers. Unlike training by mini-batches it ends at the optimum of its objective. Thread-safe.
/// </summary>
public sealed class ProximalGradientTraining : ILinearTraining
{
    private readonly ProximalGradientOptions _options;
    private readonly DataSummary _summary;
    private readonly ProximalGradientLoop _loop;

    /// <summary>A training on data that were scanned.</summary>
    /// <param name="options">How; checked here. The step is a number: <see cref="BlockLipschitz.Measure"/> gives the largest that is safe.</param>
    /// <param name="source">The training rows. Each worker keeps its share of them in memory, by columns.</param>
    /// <param name="summary">What <see cref="ISparseSource.Scan"/> of the source gave.</param>
    /// <exception cref="ArgumentException">Options are out of their range, or there is no step; the message lists all faults of the options.</exception>
    public ProximalGradientTraining(ProximalGradientOptions options, ISparseSource source, DataSummary summary)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(summary);
        options.Validate();
        if (options.Step is null)
        {
            throw new ArgumentException("the step is not given; BlockLipschitz.Measure(...).StepAt(...) is the largest that is safe", nameof(options));
        }

        (_options, _summary) = (options, summary);
        _loop = new ProximalGradientLoop(options, source, summary);
    }

    /// <inheritdoc/>
    public int Passes => _options.Passes;

    /// <inheritdoc/>
    public int? DelayBound => _options.DelayBound;

    /// <inheritdoc/>
    public bool Aggregates => true;

    /// <inheritdoc/>
    public bool HasIntercept => _options.Intercept;

    /// <inheritdoc/>
    public TrainingCut Cut => new(0, _options.Blocks);

    /// <inheritdoc/>
    public long Iterations(WorkerSchedule schedule) => _loop.Iterations;

    /// <inheritdoc/>
    public TableOptions Table(string name, Job? job) => new()
    {
        Name = name,
        Width = 2,
        Rule = UpdateRule.DiagonalProximal((float)_options.Step!.Value, (float)_options.SummedL1(_summary.Rows), (float)_options.SummedL2(_summary.Rows), keepsGradient: _options.Kkt),
        Aggregate = true,
        Job = job,
    };

    /// <inheritdoc/>
    public ReadOnlyMemory<float> Rows(ReadOnlyMemory<float> weights)
    {
        float[] rows = new float[2 * weights.Length];
        for (int at = 0; at < weights.Length; at++)
        {
            rows[2 * at] = weights.Span[at];
        }

        return rows;
    }

    /// <inheritdoc/>
    public Task RunThroughAsync(
        Worker worker, WeirTable table, long iteration, Action<TrainingStep>? report = null, CancellationToken cancellation = default) =>
        _loop.RunAsync(new WorkerOnTable(worker, table), report, iteration, cancellation);

    /// <inheritdoc/>
    public long RowsThrough(int worker, WorkerSchedule schedule, long clock)
    {
        ArgumentNullException.ThrowIfNull(schedule);
        return _loop.RowsThrough(schedule, worker, clock);
    }

    /// <inheritdoc/>
    public async Task<(LinearModel Model, long Rows)> ReadModelAsync(WeirClient client, WeirTable table, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(client);
        var builder = new LinearModelBuilder();
        float[] weights = [];
        await foreach (RowBatch rows in client.ScanAsync(table, cancellation))
        {
            int count = rows.Keys.Length;
            weights = weights.Length < count ? new float[count] : weights;
            for (int at = 0; at < count; at++)
            {
                weights[at] = rows.Values.Span[2 * at];
            }

            builder.Add(rows.Keys.Span, weights.AsSpan(0, count));
        }

        return (builder.Build(_options.EffectiveInterceptKey), builder.Rows);
    }

    /// <summary>
    /// What the training minimises: the sum or the mean of the rows' log-losses, plus l1 times the weights' L1 norm, plus l2 / 2 times their
    /// squared norm (Li et al. 2014, NIPS, equation 1).
    /// </summary>
    /// <param name="model">The weights.</param>
    /// <param name="meanLoss">Their mean log-loss over the training rows, in nats.</param>
    /// <returns>The objective under the options' scale.</returns>
    public double Objective(LinearModel model, double meanLoss)
    {
        ArgumentNullException.ThrowIfNull(model);
        double magnitudes = 0, squares = 0;
        foreach (float weight in model.Weights)
        {
            magnitudes += Math.Abs((double)weight);
            squares += (double)weight * weight;
        }

        long rows = _summary.Rows;
        double sum = (meanLoss * rows) + (_options.SummedL1(rows) * magnitudes) + (_options.SummedL2(rows) / 2 * squares);
        return _options.LossScale == LossScale.Sum ? sum : sum / rows;
    }
}
