namespace Weir.Learn.Data;

/// <summary>
/// The weights of a linear model by key, sorted ascending, without those that are exactly 0. Immutable, hence thread-safe. Twelve bytes a
/// weight in memory.
/// </summary>
public sealed class LinearModel
{
    private readonly ulong[] _keys;
    private readonly float[] _weights;

    private LinearModel(ulong[] keys, float[] weights, ulong? interceptKey) => (_keys, _weights, InterceptKey) = (keys, weights, interceptKey);

    /// <summary>The key of the weight that every row has with value 1; null where the model has no intercept.</summary>
    public ulong? InterceptKey { get; }

    /// <summary>The keys, ascending and distinct.</summary>
    public ReadOnlySpan<ulong> Keys => _keys;

    /// <summary>The weight of each key: finite and not 0.</summary>
    public ReadOnlySpan<float> Weights => _weights;

    /// <summary>How many weights there are.</summary>
    public int Count => _keys.Length;

    /// <summary>A model of keys in any order. Weights of exactly 0 are left out.</summary>
    /// <param name="keys">Distinct keys.</param>
    /// <param name="weights">A finite weight for each.</param>
    /// <param name="interceptKey">The intercept's key, or null for a model without one.</param>
    /// <returns>The model.</returns>
    /// <exception cref="ArgumentException">The lengths differ, a key comes twice, or a weight is not finite (the training diverged).</exception>
    public static LinearModel Create(ReadOnlySpan<ulong> keys, ReadOnlySpan<float> weights, ulong? interceptKey = null)
    {
        if (keys.Length != weights.Length)
        {
            throw new ArgumentException($"there are {keys.Length} keys and {weights.Length} weights", nameof(weights));
        }

        int count = weights.Length - weights.Count(0f);
        var keptKeys = new ulong[count];
        var keptWeights = new float[count];
        int at = 0;
        for (int index = 0; index < keys.Length; index++)
        {
            float weight = weights[index];
            if (!float.IsFinite(weight))
            {
                throw new ArgumentException($"the weight of key {keys[index]} is {weight}, not a finite number: the training diverged; try a smaller alpha", nameof(weights));
            }

            if (weight != 0)
            {
                keptKeys[at] = keys[index];
                keptWeights[at++] = weight;
            }
        }

        Array.Sort(keptKeys, keptWeights);
        for (int index = 1; index < count; index++)
        {
            if (keptKeys[index] == keptKeys[index - 1])
            {
                throw new ArgumentException($"key {keptKeys[index]} comes twice", nameof(keys));
            }
        }

        return new LinearModel(keptKeys, keptWeights, interceptKey);
    }

    /// <summary>Takes arrays that a reader has checked.</summary>
    internal static LinearModel OfSorted(ulong[] keys, float[] weights, ulong? interceptKey) => new(keys, weights, interceptKey);

    /// <summary>The weight of a key, 0 where the model has none.</summary>
    /// <param name="key">Any key.</param>
    /// <returns>The weight.</returns>
    public float Weight(ulong key)
    {
        int at = Array.BinarySearch(_keys, key);
        return at < 0 ? 0 : _weights[at];
    }

    /// <summary>Fills in the weights of keys, in the shape that an evaluation asks for.</summary>
    /// <param name="keys">Any keys.</param>
    /// <param name="weights">As long as <paramref name="keys"/>.</param>
    /// <param name="cancellation">Not looked at: nothing waits.</param>
    /// <returns>A task that is done.</returns>
    public Task LookupAsync(ReadOnlyMemory<ulong> keys, Memory<float> weights, CancellationToken cancellation = default)
    {
        ReadOnlySpan<ulong> wanted = keys.Span;
        Span<float> found = weights.Span;
        for (int index = 0; index < wanted.Length; index++)
        {
            found[index] = Weight(wanted[index]);
        }

        return Task.CompletedTask;
    }
}
