namespace Weir.Learn.Data;

/// <summary>Gathers weights in any order, as a scan of a cluster's table delivers them, and makes a model of them. Not thread-safe.</summary>
public sealed class LinearModelBuilder
{
    private ulong[] _keys = new ulong[4096];
    private float[] _weights = new float[4096];
    private int _count;

    /// <summary>Rows added, those of weight 0 included.</summary>
    public long Rows { get; private set; }

    /// <summary>Adds rows. Weights of exactly 0 are counted and take no memory.</summary>
    /// <param name="keys">Keys not added before.</param>
    /// <param name="weights">A weight for each.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public void Add(ReadOnlySpan<ulong> keys, ReadOnlySpan<float> weights)
    {
        if (keys.Length != weights.Length)
        {
            throw new ArgumentException($"there are {keys.Length} keys and {weights.Length} weights", nameof(weights));
        }

        for (int index = 0; index < keys.Length; index++)
        {
            if (weights[index] == 0)
            {
                continue;
            }

            if (_count == _keys.Length)
            {
                Array.Resize(ref _keys, _count * 2);
                Array.Resize(ref _weights, _count * 2);
            }

            _keys[_count] = keys[index];
            _weights[_count++] = weights[index];
        }

        Rows += keys.Length;
    }

    /// <summary>The model of the rows so far.</summary>
    /// <param name="interceptKey">The intercept's key, or null for a model without one.</param>
    /// <returns>The model.</returns>
    /// <exception cref="ArgumentException">A key came twice, or a weight is not finite.</exception>
    public LinearModel Build(ulong? interceptKey) => LinearModel.Create(_keys.AsSpan(0, _count), _weights.AsSpan(0, _count), interceptKey);
}
