namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench filters --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Rows">Rows of the click log.</param>
/// <param name="Passes">Passes over them.</param>
/// <param name="BatchRows">Rows of a batch.</param>
/// <param name="Servers">Servers.</param>
/// <param name="Workers">Workers.</param>
/// <param name="Runs">The first is without filters.</param>
internal sealed record FilterReport(long Rows, int Passes, int BatchRows, int Servers, int Workers, IReadOnlyList<FilteredRun> Runs);

/// <summary>A training with some filters.</summary>
/// <param name="Kind">none, alone, cumulative or together.</param>
/// <param name="Filters">As on a command line.</param>
/// <param name="PushBytes">Bytes of pushes and their replies, headers included.</param>
/// <param name="PullBytes">Bytes of pulls and their replies, headers included.</param>
/// <param name="UncompressedBytes">What both would have been without filters.</param>
/// <param name="ByPass">Both, of each pass.</param>
/// <param name="ShareByPass">Of each pass the bytes by those of the run without filters.</param>
/// <param name="LogLoss">Mean log-loss on the test rows in nats.</param>
/// <param name="Seconds">How long the training took.</param>
internal sealed record FilteredRun(
    string Kind, string Filters, long PushBytes, long PullBytes, long UncompressedBytes, IReadOnlyList<WireOfPass> ByPass, IReadOnlyList<double> ShareByPass, double LogLoss, double Seconds);
