namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench structures</c> measures.</summary>
/// <param name="Items">Distinct items, which are the ranking's members too.</param>
/// <param name="BatchItems">Items of a call, and increments of a pipelined batch of Redis.</param>
/// <param name="Window">Calls under way at once, and connections to Redis.</param>
/// <param name="Seconds">How long each measurement takes.</param>
/// <param name="Epsilon">Of the sketch.</param>
internal sealed record StructureSettings(int Items, int BatchItems, int Window, double Seconds, double Epsilon)
{
    public const int SegmentBits = 7;

    /// <summary>How many of the highest are asked for.</summary>
    public const int Top = 100;

    /// <summary>Inserts a second a core of Li et al. 2014 (OSDI), section 5.3: 1.1 10^9 a second on 15 machines of 64 cores.</summary>
    public const double PaperInsertsPerCoreSecond = 1.15e6;
}
