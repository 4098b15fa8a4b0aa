namespace Weir.Cli.Reports;

/// <summary>What <c>weir sim cluster --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Seeds">Runs.</param>
/// <param name="SimulatedSeconds">Time that went by in them.</param>
/// <param name="Events">Events and continuations that were run.</param>
/// <param name="Faults">How often each kind of fault took place.</param>
/// <param name="FaultSeeds">In how many runs.</param>
/// <param name="FaultSeedsDuringChange">In how many while a chain was being changed.</param>
/// <param name="Schedules">How often each named schedule took place.</param>
/// <param name="Pushes">Pushes that clients began.</param>
/// <param name="Acknowledged">Those of them that were acknowledged.</param>
/// <param name="Missing">What the batch should have hit and did not.</param>
/// <param name="Violations">What was broken, each with its seed.</param>
internal sealed record SimReport(
    int Seeds, double SimulatedSeconds, long Events, IReadOnlyDictionary<string, long> Faults, IReadOnlyDictionary<string, int> FaultSeeds, IReadOnlyDictionary<string, int> FaultSeedsDuringChange,
    IReadOnlyDictionary<string, long> Schedules, long Pushes, long Acknowledged, IReadOnlyList<string> Missing, IReadOnlyList<SimViolation> Violations);

/// <summary>One run in which something was broken.</summary>
/// <param name="Seed">Its seed: the same gives the same run.</param>
/// <param name="Command">What plays it again.</param>
/// <param name="Text">What was broken.</param>
internal sealed record SimViolation(ulong Seed, string Command, string Text);
