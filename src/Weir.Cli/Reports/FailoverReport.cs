namespace Weir.Cli.Reports;

/// <summary>
/// What <c>weir bench failover --report</c> writes. The names are an interface: scripts read them. Times are from the signal that kills a server
/// until the last segment has acknowledged a push that was sent after it.
/// </summary>
/// <param name="Kills">Servers killed.</param>
/// <param name="P50Ms">Half of the kills were over in so many milliseconds.</param>
/// <param name="P99Ms">99 of 100 were.</param>
/// <param name="MaxMs">The slowest.</param>
/// <param name="ManagerKills">Kills of the server that decides the map.</param>
/// <param name="ManagerMaxMs">The slowest of these.</param>
/// <param name="MapP50Ms">The part of P50Ms until a client read a map without the server.</param>
/// <param name="PushedKeysPerSecond">Keys acknowledged a second while servers were killed, beside the probes.</param>
/// <param name="Acknowledged">Keys whose push was acknowledged.</param>
/// <param name="Lost">Of these, those that were not there in the end.</param>
/// <param name="Doubled">Keys that were there more than once.</param>
internal sealed record FailoverReport(
    int Kills,
    double P50Ms,
    double P99Ms,
    double MaxMs,
    int ManagerKills,
    double ManagerMaxMs,
    double MapP50Ms,
    double PushedKeysPerSecond,
    long Acknowledged,
    long Lost,
    long Doubled);
