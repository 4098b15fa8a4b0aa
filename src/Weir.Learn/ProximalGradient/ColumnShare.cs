using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Learn.ProximalGradient;

/// <summary>
/// A worker's share of the rows, in memory by columns (compressed columns): a block of features is a run of columns, so an iteration reads
/// no more than its block. Columns are in the order of their blocks, within a block of their keys. Twelve bytes a non-zero while it is read
/// and eight afterwards. Immutable and thread-safe.
/// </summary>
internal sealed class ColumnShare
{
    // A curvature of 0 would leave a weight where it is, however small its data: an upper bound may be larger.
    public const double LeastCurvature = 1e-12;

    private readonly int[] _blockStarts;
    private readonly int[] _starts;
    private readonly int[] _rows;
    private readonly float[] _values;
    private readonly float[] _labels;

    private ColumnShare(ulong[] keys, int[] blockStarts, int[] starts, int[] rows, float[] values, float[] labels)
    {
        (Keys, _blockStarts, _starts, _rows, _values, _labels) = (keys, blockStarts, starts, rows, values, labels);
        Curvatures = new float[keys.Length];
        for (int column = 0; column < keys.Length; column++)
        {
            double squares = 0;
            foreach (float value in Values(column))
            {
                squares += (double)value * value;
            }

            // The Hessian's diagonal is the sum of p (1 - p) x^2, and p (1 - p) is at most 1/4 (Li et al. 2014, NIPS, section 4: the upper bound of it).
            Curvatures[column] = (float)Math.Max(squares / 4, LeastCurvature);
        }
    }

    /// <summary>The key of each column.</summary>
    public ulong[] Keys { get; }

    /// <summary>For each column an upper bound of the loss's second derivative, whatever the weights are; above 0.</summary>
    public float[] Curvatures { get; }

    /// <summary>Columns.</summary>
    public int Columns => Keys.Length;

    /// <summary>Rows.</summary>
    public int Rows => _labels.Length;

    /// <summary>Non-zeros.</summary>
    public int Nonzeros => _rows.Length;

    /// <summary>The label of each row, 0 or 1.</summary>
    public ReadOnlySpan<float> Labels => _labels;

    /// <summary>The first column of a block and how many it has.</summary>
    public (int First, int Count) Block(int block) => (_blockStarts[block], _blockStarts[block + 1] - _blockStarts[block]);

    /// <summary>The rows of a column's non-zeros, ascending.</summary>
    public ReadOnlySpan<int> RowsOf(int column) => _rows.AsSpan(_starts[column], _starts[column + 1] - _starts[column]);

    /// <summary>The values of a column's non-zeros.</summary>
    public ReadOnlySpan<float> Values(int column) => _values.AsSpan(_starts[column], _starts[column + 1] - _starts[column]);

    /// <summary>How many non-zeros a run of columns has.</summary>
    public int NonzerosOf(int firstColumn, int count) => _starts[firstColumn + count] - _starts[firstColumn];

    /// <summary>Reads a shard's blocks of rows to the end.</summary>
    /// <param name="source">The rows.</param>
    /// <param name="shard">Which share, 0 up to <paramref name="shards"/> - 1.</param>
    /// <param name="shards">Of how many.</param>
    /// <param name="batchRows">Rows of a block of the data.</param>
    /// <param name="interceptKey">The key that every row has with value 1; null for none.</param>
    /// <param name="blocks">Which block a key belongs to.</param>
    /// <exception cref="DataException">The data cannot be read, or the share is larger than an array can be.</exception>
    public static ColumnShare Read(ISparseSource source, int shard, int shards, int batchRows, ulong? interceptKey, FeatureBlocks blocks)
    {
        var builder = new Builder(source.Name, interceptKey);
        using ISparseReader reader = source.Open(shard, shards, batchRows);
        var batch = new SparseBatch();
        while (reader.Read(batch))
        {
            builder.Add(batch);
        }

        return builder.Build(blocks);
    }

    /// <summary>Gathers rows and turns them into columns. Not thread-safe.</summary>
    private sealed class Builder(string name, ulong? interceptKey)
    {
        private readonly KeyIndex _index = new();
        private readonly List<int> _numbers = [];
        private readonly List<int> _rows = [];
        private readonly List<float> _values = [];
        private readonly List<float> _labels = [];

        // The last non-zero of each key: a key that a row has twice counts as the sum of its values.
        private readonly List<int> _latest = [];

        public void Add(SparseBatch batch)
        {
            if (_values.Count > Array.MaxLength - batch.Nonzeros - batch.Rows)
            {
                throw new DataException(name, $"a worker's share has more than {Array.MaxLength:N0} non-zeros, which have to be in its memory; add workers");
            }

            for (int row = 0; row < batch.Rows; row++)
            {
                if (interceptKey is { } key)
                {
                    Add(key, 1);
                }

                for (int at = batch.Offsets[row]; at < batch.Offsets[row + 1]; at++)
                {
                    Add(batch.Keys[at], batch.Values[at]);
                }

                _labels.Add(batch.Labels[row]);
            }
        }

        public ColumnShare Build(FeatureBlocks blocks)
        {
            ReadOnlySpan<ulong> distinct = _index.Distinct.Span;
            ulong[] keys = distinct.ToArray();
            int[] order = new int[keys.Length];
            int[] blockOf = new int[keys.Length];
            for (int number = 0; number < keys.Length; number++)
            {
                order[number] = number;
                blockOf[number] = blocks.Of(keys[number]);
            }

            Array.Sort(order, (a, b) => blockOf[a] != blockOf[b] ? blockOf[a].CompareTo(blockOf[b]) : keys[a].CompareTo(keys[b]));
            int[] columnOf = new int[keys.Length];
            int[] blockStarts = new int[blocks.Count + 1];
            for (int column = 0; column < order.Length; column++)
            {
                columnOf[order[column]] = column;
                blockStarts[blockOf[order[column]] + 1]++;
            }

            for (int block = 0; block < blocks.Count; block++)
            {
                blockStarts[block + 1] += blockStarts[block];
            }

            int[] starts = new int[keys.Length + 1];
            foreach (int number in _numbers)
            {
                starts[columnOf[number] + 1]++;
            }

            for (int column = 0; column < keys.Length; column++)
            {
                starts[column + 1] += starts[column];
            }

            // In the order of the rows, so a column's rows ascend.
            int[] next = starts[..^1];
            int[] rows = new int[_numbers.Count];
            float[] values = new float[_numbers.Count];
            for (int at = 0; at < rows.Length; at++)
            {
                int to = next[columnOf[_numbers[at]]]++;
                rows[to] = _rows[at];
                values[to] = _values[at];
            }

            return new ColumnShare([.. order.Select(number => keys[number])], blockStarts, starts, rows, values, [.. _labels]);
        }

        private void Add(ulong key, float value)
        {
            int number = _index.Add(key);
            if (number == _latest.Count)
            {
                _latest.Add(-1);
            }

            int row = _labels.Count;
            if (_latest[number] is >= 0 and int latest && _rows[latest] == row)
            {
                _values[latest] += value;
                return;
            }

            _latest[number] = _values.Count;
            _numbers.Add(number);
            _rows.Add(row);
            _values.Add(value);
        }
    }
}
