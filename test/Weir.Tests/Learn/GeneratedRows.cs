using Weir.Learn.Data;
using Weir.World;

namespace Weir.Tests.Learn;

/// <summary>
/// Rows in memory whose keys are 1 to the features, each row with as many distinct ones drawn with normal values, and labels drawn from a
/// logistic model in which every fourth feature counts.
/// </summary>
internal sealed class GeneratedRows : ISparseSource
{
    private readonly (ulong Key, float Value)[][] _rows;
    private readonly float[] _labels;

    public GeneratedRows(int rows, int features, int nonzerosOfRow, ulong seed)
    {
        var rng = new Rng(seed);
        _rows = new (ulong, float)[rows][];
        _labels = new float[rows];
        double[] truth = [.. Enumerable.Range(0, features).Select(feature => feature % 4 == 0 ? Normal(rng) : 0)];
        for (int row = 0; row < rows; row++)
        {
            var keys = new SortedSet<ulong>();
            while (keys.Count < nonzerosOfRow)
            {
                keys.Add(1 + (ulong)rng.Below(features));
            }

            _rows[row] = [.. keys.Select(key => (key, (float)Normal(rng)))];
            double margin = _rows[row].Sum(entry => truth[entry.Key - 1] * entry.Value);
            _labels[row] = rng.NextDouble() < 1 / (1 + Math.Exp(-margin)) ? 1 : 0;
        }
    }

    public string Name => "generated rows";

    public IReadOnlyList<(ulong Key, float Value)[]> Rows => _rows;

    public IReadOnlyList<float> Labels => _labels;

    public DataSummary Scan(CancellationToken cancellation = default) => new()
    {
        Rows = _rows.Length,
        Nonzeros = _rows.Sum(row => (long)row.Length),
        Positives = _labels.Count(label => label > 0),
        Labels = LabelKind.ZeroOne,
    };

    public ISparseReader Open(int shard, int shards, int batchRows, long skippedBatches = 0) => new Reader(this, shard, shards, batchRows, skippedBatches);

    private static double Normal(Rng rng) => Math.Sqrt(-2 * Math.Log(1 - rng.NextDouble())) * Math.Cos(2 * Math.PI * rng.NextDouble());

    private sealed class Reader(GeneratedRows source, int shard, int shards, int batchRows, long skipped) : ISparseReader
    {
        private long _next = (shard + (skipped * shards)) * batchRows;

        public bool Read(SparseBatch batch)
        {
            batch.Clear();
            for (long row = _next; row < Math.Min(_next + batchRows, source._rows.Length); row++)
            {
                batch.Reserve(source._rows[row].Length);
                foreach ((ulong key, float value) in source._rows[row])
                {
                    batch.Append(key, value);
                }

                batch.EndRow(source._labels[row]);
            }

            _next += (long)batchRows * shards;
            return batch.Rows > 0;
        }

        public void Dispose()
        {
            // Nothing is held.
        }
    }
}
