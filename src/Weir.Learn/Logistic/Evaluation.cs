using Weir.Learn.Data;
using Weir.Learn.Metrics;

namespace Weir.Learn.Logistic;

/// <summary>Fills in the weights of a batch's distinct keys: from a model in memory, or by a pull from a cluster.</summary>
/// <param name="keys">Distinct keys.</param>
/// <param name="weights">As long as <paramref name="keys"/>; the weight of an unknown key is 0.</param>
/// <param name="cancellation">Ends the wait.</param>
/// <returns>Done when all weights are there.</returns>
public delegate Task WeightLookup(ReadOnlyMemory<ulong> keys, Memory<float> weights, CancellationToken cancellation);

/// <summary>Predicts and measures over a source, batch by batch, in the source's order. Static, hence thread-safe.</summary>
public static class Evaluation
{
    // Large enough that a pull a batch costs little, small enough to stay in the cache.
    private const int BatchRows = 4096;

    /// <summary>Measures log-loss, AUC and accuracy.</summary>
    /// <param name="source">Rows with labels.</param>
    /// <param name="lookup">Where the weights come from.</param>
    /// <param name="interceptKey">The key of the model's intercept, or null where it has none.</param>
    /// <param name="cancellation">Ends the pass early.</param>
    /// <returns>The measures.</returns>
    /// <exception cref="DataException">A row is malformed or cannot be read.</exception>
    public static async Task<BinaryQuality> MeasureAsync(ISparseSource source, WeightLookup lookup, ulong? interceptKey, CancellationToken cancellation = default)
    {
        var meter = new BinaryMeter();
        await ForEachBatchAsync(source, lookup, interceptKey, Measure, cancellation);
        return meter.Measure();

        void Measure(NumberedBatch batch)
        {
            ReadOnlySpan<float> labels = batch.Rows.Labels;
            ReadOnlySpan<double> known = batch.Rows.TrueProbabilities;
            for (int row = 0; row < labels.Length; row++)
            {
                double margin = batch.Margin(row);
                if (known.IsEmpty)
                {
                    meter.Add(margin, labels[row]);
                }
                else
                {
                    meter.Add(margin, labels[row], known[row]);
                }
            }
        }
    }

    /// <summary>Gives the probability of label 1 for each row, in order.</summary>
    /// <param name="source">Rows; the labels are not looked at.</param>
    /// <param name="lookup">Where the weights come from.</param>
    /// <param name="interceptKey">The key of the model's intercept, or null where it has none.</param>
    /// <param name="predicted">Called once a row with its probability, in [0, 1].</param>
    /// <param name="cancellation">Ends the pass early.</param>
    /// <returns>Done after the last row.</returns>
    /// <exception cref="DataException">A row is malformed or cannot be read.</exception>
    public static Task PredictAsync(ISparseSource source, WeightLookup lookup, ulong? interceptKey, Action<double> predicted, CancellationToken cancellation = default) =>
        ForEachBatchAsync(source, lookup, interceptKey, batch =>
        {
            for (int row = 0; row < batch.Rows.Rows; row++)
            {
                predicted(LogisticFunction.Sigmoid(batch.Margin(row)));
            }
        }, cancellation);

    private static async Task ForEachBatchAsync(ISparseSource source, WeightLookup lookup, ulong? interceptKey, Action<NumberedBatch> take, CancellationToken cancellation)
    {
        using ISparseReader reader = source.Open(0, 1, BatchRows);
        var batch = new NumberedBatch(interceptKey);
        while (batch.Read(reader))
        {
            cancellation.ThrowIfCancellationRequested();
            await lookup(batch.Keys, batch.Weights, cancellation);
            take(batch);
        }
    }
}
