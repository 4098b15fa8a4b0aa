namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench delay --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Rows">Rows of the click log.</param>
/// <param name="Passes">Passes over them.</param>
/// <param name="BatchRows">Rows of a batch.</param>
/// <param name="Servers">Servers.</param>
/// <param name="Workers">Workers.</param>
/// <param name="StepMs">Milliseconds that were added to an iteration, three times as many where it was slow: simulated.</param>
/// <param name="Seeds">Click logs that means and deviations are of.</param>
/// <param name="Bursts">Each worker slow for 2 to 6 iterations at a time, a quarter of the time.</param>
/// <param name="Straggler">One worker always slow.</param>
internal sealed record DelayReport(
    long Rows, int Passes, int BatchRows, int Servers, int Workers, int StepMs, int Seeds, IReadOnlyList<DelayedRun> Bursts, IReadOnlyList<DelayedRun> Straggler);

/// <summary>Trainings with one delay bound.</summary>
/// <param name="Delay">The bound; null for none.</param>
/// <param name="Seconds">How long one took.</param>
/// <param name="SecondsToObjective">Until the mean log-loss of the latest rows was the one that every delay ends with.</param>
/// <param name="ComputeShare">The part of their time in which workers computed, the simulated part included.</param>
/// <param name="WaitShare">The part in which they waited. The rest is what passed between the two, and what was left when a worker was done and others were not.</param>
/// <param name="LogLoss">Mean log-loss on the test rows in nats.</param>
/// <param name="LogLossDifference">By how much it is above that of delay 0, of the same seed.</param>
/// <param name="DifferenceDeviation">The standard deviation of this difference over the seeds.</param>
internal sealed record DelayedRun(int? Delay, double Seconds, double SecondsToObjective, double ComputeShare, double WaitShare, double LogLoss, double LogLossDifference, double DifferenceDeviation);
