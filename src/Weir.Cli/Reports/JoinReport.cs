namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench join --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Before">Push-pull with the three servers.</param>
/// <param name="During">Push-pull from the fourth's joining to the last change of a chain.</param>
/// <param name="MoveSeconds">How long that was.</param>
/// <param name="SegmentsMoved">Segments that the fourth leads in the end.</param>
/// <param name="Share">These by all segments; a quarter would be its fair share.</param>
/// <param name="CopiesReceived">Segments that it holds in the end, leading or not.</param>
/// <param name="OthersReceived">Segments that another server holds in the end and did not before.</param>
/// <param name="LongestStallMs">The longest that a push to the one large segment took while that moved.</param>
/// <param name="LongestBeforeMs">The longest that such a push took before, in as long a time: what else the machine does.</param>
/// <param name="LargeSegmentMoveSeconds">From the newcomer's joining until it led the large segment.</param>
internal sealed record JoinReport(
    ByteRate Before,
    ByteRate During,
    double MoveSeconds,
    int SegmentsMoved,
    double Share,
    int CopiesReceived,
    int OthersReceived,
    double LongestStallMs,
    double LongestBeforeMs,
    double LargeSegmentMoveSeconds);

/// <summary>Bytes of values a second, of a push-pull those of both directions.</summary>
internal sealed record ByteRate(double BytesPerSecond);
