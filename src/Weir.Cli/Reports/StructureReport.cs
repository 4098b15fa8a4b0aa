namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench structures --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Items">Distinct items.</param>
/// <param name="BatchItems">Items of a call.</param>
/// <param name="Window">Calls under way at once.</param>
/// <param name="Epsilon">Of the sketch.</param>
/// <param name="PaperInsertsPerCoreSecond">What Li et al. 2014 (OSDI), section 5.3, comes to.</param>
/// <param name="Runs">What was measured; without redis-server on the path none of Redis.</param>
/// <param name="Top">How many of the highest were asked for.</param>
/// <param name="RankingTopMs">How long that took with all items as members, the median, in milliseconds.</param>
/// <param name="RedisTopMs">The same of Redis; null where there is none.</param>
internal sealed record StructureReport(
    int Items, int BatchItems, int Window, double Epsilon, double PaperInsertsPerCoreSecond, IReadOnlyList<StructureSpeed> Runs, int Top, double RankingTopMs, double? RedisTopMs);

/// <summary>How fast items were added.</summary>
/// <param name="Kind">sketch, ranking or redis.</param>
/// <param name="Distribution">uniform or zipf.</param>
/// <param name="PerSecond">Items a second.</param>
/// <param name="PerCoreSecond">Items for each second that a core worked for client or server.</param>
/// <param name="ClientCores">Cores that worked for the client on the average.</param>
/// <param name="ServerCores">Cores that worked for the server on the average.</param>
internal sealed record StructureSpeed(string Kind, string Distribution, double PerSecond, double PerCoreSecond, double ClientCores, double ServerCores);
