namespace Weir.Learn.Data;

/// <summary>
/// Rows of sparse features with 0/1 labels in compressed row form: row r has the non-zeros Offsets[r] up to Offsets[r + 1] of Keys and
/// Values. A reader fills it and a caller reuses it, so that reading allocates nothing once the arrays have grown. Keys of a row come in
/// the file's order and may repeat; a repeated key counts as the sum of its values. Not thread-safe.
/// </summary>
public sealed class SparseBatch
{
    private int[] _offsets = new int[1025];
    private ulong[] _keys = new ulong[16384];
    private float[] _values = new float[16384];
    private float[] _labels = new float[1024];
    private double[] _trueProbabilities = new double[1024];
    private int _nonzeros;
    private int _known;

    /// <summary>Rows in the batch.</summary>
    public int Rows { get; private set; }

    /// <summary>Non-zeros of all rows.</summary>
    public int Nonzeros => _offsets[Rows];

    /// <summary>Rows + 1 positions in <see cref="Keys"/>; the first is 0, the last <see cref="Nonzeros"/>.</summary>
    public ReadOnlySpan<int> Offsets => _offsets.AsSpan(0, Rows + 1);

    /// <summary>The key of each non-zero.</summary>
    public ReadOnlySpan<ulong> Keys => _keys.AsSpan(0, Nonzeros);

    /// <summary>The value of each non-zero, finite.</summary>
    public ReadOnlySpan<float> Values => _values.AsSpan(0, Nonzeros);

    /// <summary>The label of each row, 0 or 1.</summary>
    public ReadOnlySpan<float> Labels => _labels.AsSpan(0, Rows);

    /// <summary>The probability with which each row's label was drawn as 1; empty where the source does not know it.</summary>
    public ReadOnlySpan<double> TrueProbabilities => _known == Rows ? _trueProbabilities.AsSpan(0, Rows) : default;

    /// <summary>Empties the batch and keeps its memory.</summary>
    public void Clear()
    {
        Rows = 0;
        _nonzeros = 0;
        _known = 0;
    }

    /// <summary>Makes room for <paramref name="nonzeros"/> further calls of <see cref="Append"/>.</summary>
    /// <param name="nonzeros">At least 0.</param>
    public void Reserve(int nonzeros)
    {
        int needed = checked(_nonzeros + nonzeros);
        if (needed > _keys.Length)
        {
            int length = (int)Math.Min(Array.MaxLength, Math.Max(needed, 2L * _keys.Length));
            Array.Resize(ref _keys, length);
            Array.Resize(ref _values, length);
        }
    }

    /// <summary>Adds a non-zero to the row that <see cref="EndRow(float)"/> will close. Room must have been reserved.</summary>
    /// <param name="key">Any key.</param>
    /// <param name="value">A finite number.</param>
    public void Append(ulong key, float value)
    {
        int at = _nonzeros;
        _keys[at] = key;
        _values[at] = value;
        _nonzeros = at + 1;
    }

    /// <summary>Closes the current row.</summary>
    /// <param name="label">0 or 1.</param>
    public void EndRow(float label)
    {
        if (Rows == _labels.Length)
        {
            Array.Resize(ref _labels, Rows * 2);
            Array.Resize(ref _trueProbabilities, Rows * 2);
            Array.Resize(ref _offsets, (Rows * 2) + 1);
        }

        _labels[Rows] = label;
        Rows++;
        _offsets[Rows] = _nonzeros;
    }

    /// <summary>Closes the current row, whose true probability is known.</summary>
    /// <param name="label">0 or 1.</param>
    /// <param name="trueProbability">The probability of label 1.</param>
    public void EndRow(float label, double trueProbability)
    {
        EndRow(label);
        _trueProbabilities[Rows - 1] = trueProbability;
        _known++;
    }
}
