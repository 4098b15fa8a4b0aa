using Weir.Keys;

namespace Weir.Cli.Bench;

/// <summary>Which rows the requests of a benchmark ask for.</summary>
internal enum KeyDistribution
{
    /// <summary>Every row as often as any other: the caches help least.</summary>
    Uniform,

    /// <summary>The row of rank k about 1/k as often as the first.</summary>
    Zipf,
}

/// <summary>What <c>weir bench store</c> measures.</summary>
internal sealed record StoreSettings
{
    /// <summary>Rows of the table.</summary>
    public required int Rows { get; init; }

    /// <summary>Floats a row.</summary>
    public required int Width { get; init; }

    /// <summary>The name of the table's update rule, for people.</summary>
    public required string RuleName { get; init; }

    /// <summary>The table's update rule.</summary>
    public required UpdateRule Rule { get; init; }

    /// <summary>Which rows are asked for.</summary>
    public required KeyDistribution Distribution { get; init; }

    /// <summary>Seconds for each of look-ups and updates, all rounds together.</summary>
    public required double Seconds { get; init; }
}
