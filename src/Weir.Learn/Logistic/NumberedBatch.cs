using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>
/// A batch with its distinct keys, and room for their weights and gradients: what a worker pulls, computes and pushes. Reused from batch
/// to batch. Not thread-safe.
/// </summary>
internal sealed class NumberedBatch(ulong? interceptKey)
{
    private readonly KeyIndex _index = new();
    private int[] _numbers = [];
    private float[] _weights = [];
    private float[] _gradient = [];
    private double[] _sums = [];

    /// <summary>The rows.</summary>
    public SparseBatch Rows { get; } = new();

    /// <summary>The distinct keys of the rows, the intercept's first; none where there are no rows.</summary>
    public ReadOnlyMemory<ulong> Keys => _index.Distinct;

    /// <summary>The weight of each distinct key; whoever pulls fills it.</summary>
    public Memory<float> Weights => _weights.AsMemory(0, _index.Count);

    /// <summary>The gradient of each distinct key, summed over the rows.</summary>
    public ReadOnlyMemory<float> Gradient => _gradient.AsMemory(0, _index.Count);

    /// <summary>Reads the next rows and numbers their keys.</summary>
    /// <returns>False where the reader has no further rows; the batch is then empty.</returns>
    public bool Read(ISparseReader reader)
    {
        bool read = reader.Read(Rows);
        Number();
        return read;
    }

    /// <summary>Empties the batch.</summary>
    public void Clear()
    {
        Rows.Clear();
        Number();
    }

    /// <summary>Numbers the keys of the rows.</summary>
    public void Number()
    {
        _index.Clear();
        if (Rows.Rows == 0)
        {
            return;
        }

        if (interceptKey is ulong key)
        {
            // Added first, so that its number is LogisticGradient.InterceptNumber.
            _index.Add(key);
        }

        if (_numbers.Length < Rows.Nonzeros)
        {
            _numbers = new int[Grown(Rows.Nonzeros)];
        }

        _index.AddAll(Rows.Keys, _numbers);
        if (_weights.Length < _index.Count)
        {
            int length = Grown(_index.Count);
            _weights = new float[length];
            _gradient = new float[length];
            _sums = new double[length];
        }
    }

    /// <summary>The margin of one row under the weights.</summary>
    public double Margin(int row)
    {
        ReadOnlySpan<int> offsets = Rows.Offsets;
        int start = offsets[row];
        int count = offsets[row + 1] - start;
        return LogisticGradient.Margin(_numbers.AsSpan(start, count), Rows.Values.Slice(start, count), _weights)
            + (interceptKey.HasValue ? _weights[LogisticGradient.InterceptNumber] : 0);
    }

    /// <summary>Computes <see cref="Gradient"/> from the weights.</summary>
    /// <returns>The sum of the rows' log-losses in nats.</returns>
    public double ComputeGradient()
    {
        Span<double> sums = _sums.AsSpan(0, _index.Count);
        double loss = LogisticGradient.Compute(Rows.Offsets, _numbers, Rows.Values, Rows.Labels, Weights.Span, interceptKey.HasValue, sums);
        for (int number = 0; number < sums.Length; number++)
        {
            _gradient[number] = (float)sums[number];
        }

        return loss;
    }

    // Half as much again, so that slowly growing batches do not allocate each time.
    private static int Grown(int needed) => (int)Math.Min(Array.MaxLength, needed + (needed / 2L) + 16);
}
