namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench join</c> measures.</summary>
/// <param name="Replicas">How many servers hold a segment beside the one that leads it.</param>
/// <param name="Keys">Rows of 16 floats of the table that is pushed to and pulled from while a fourth server joins.</param>
/// <param name="SegmentRows">Rows of the one segment that is pushed to while it moves.</param>
/// <param name="Seconds">Seconds before the join.</param>
internal sealed record JoinSettings(int Replicas, int Keys, int SegmentRows, double Seconds)
{
    /// <summary>Servers before the join.</summary>
    public const int Servers = 3;
}
