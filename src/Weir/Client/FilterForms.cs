using Weir.Wire;

namespace Weir.Client;

/// <summary>What filters come to on the wire.</summary>
internal static class FilterForms
{
    private const Filters Known = Filters.Lossless | Filters.RoundToBFloat16 | Filters.RoundToInt8 | Filters.Lz4;

    /// <summary>What is wrong with a choice of filters; nothing where it is sound.</summary>
    /// <param name="filters">The choice.</param>
    /// <param name="name">What it is called where it was made.</param>
    public static IEnumerable<string> Faults(Filters filters, string name)
    {
        if ((filters & ~Known) != 0)
        {
            yield return $"{name} is {(int)filters}; it must be a combination of {nameof(Filters.KeyCache)}, {nameof(Filters.DeltaVarint)}, {nameof(Filters.ZeroBitmap)}, {nameof(Filters.Lz4)} and {nameof(Filters.RoundToBFloat16)} or {nameof(Filters.RoundToInt8)}";
        }

        if (filters.HasFlag(Filters.RoundToBFloat16 | Filters.RoundToInt8))
        {
            yield return $"{name} has both {nameof(Filters.RoundToBFloat16)} and {nameof(Filters.RoundToInt8)}; a float is written as one of them";
        }
    }

    /// <summary>What values may be written as.</summary>
    public static ValueFilters Values(Filters filters) =>
        ((filters & Filters.ZeroBitmap) != 0 ? ValueFilters.ZeroBitmap : 0)
        | ((filters & Filters.RoundToBFloat16) != 0 ? ValueFilters.BFloat16 : 0)
        | ((filters & Filters.RoundToInt8) != 0 ? ValueFilters.Int8 : 0)
        | ((filters & Filters.Lz4) != 0 ? ValueFilters.Lz4 : 0);

    /// <summary>The encodings that came after the first release: servers are asked whether they know them.</summary>
    public static KnownEncodings Newer(Filters filters) =>
        ((filters & Filters.RoundToBFloat16) != 0 ? KnownEncodings.BFloat16 : 0)
        | ((filters & Filters.RoundToInt8) != 0 ? KnownEncodings.Int8 : 0)
        | ((filters & Filters.Lz4) != 0 ? KnownEncodings.Lz4 : 0);
}
