namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench filters</c> measures.</summary>
/// <param name="Rows">Rows of the generated click log.</param>
/// <param name="TestRows">Its test rows.</param>
/// <param name="Passes">Passes over them.</param>
/// <param name="BatchRows">Rows of a batch.</param>
/// <param name="L1">FTRL's L1 penalty; null for its default.</param>
internal sealed record FilterSettings(long Rows, long TestRows, int Passes, int BatchRows, float? L1)
{
    public const int Servers = 2, Workers = 2, SegmentBits = 8;

    /// <summary>Above which sum a key's gradients are pushed.</summary>
    public const float Significant = 2;

    /// <summary>Which part of a batch's keys is pushed.</summary>
    public const float TopK = 0.2f;

    /// <summary>With which chance a gradient is pushed.</summary>
    public const float Skip = 0.7f;
}
