namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench delay</c> measures.</summary>
/// <param name="Rows">Rows of the generated click log.</param>
/// <param name="TestRows">Its test rows.</param>
/// <param name="BatchRows">Rows of a batch.</param>
/// <param name="Seeds">Click logs, and courses of slowness, one after another.</param>
/// <param name="StepMs">Milliseconds that an iteration is made to take, beside its own.</param>
internal sealed record DelaySettings(long Rows, long TestRows, int BatchRows, int Seeds, int StepMs)
{
    public const int Servers = 2, Workers = 4, SegmentBits = 8, Passes = 3;

    /// <summary>How many times longer an iteration of a slow worker takes.</summary>
    public const int SlowTimes = 3;

    /// <summary>The delay bounds; null is none.</summary>
    public static readonly int?[] Delays = [0, 1, 2, 4, 8, 16, null];
}
