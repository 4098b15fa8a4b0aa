namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench failover</c> measures.</summary>
/// <param name="Kills">Servers to kill, one after another.</param>
/// <param name="Servers">Servers at a time.</param>
/// <param name="Replicas">How many of them hold a segment beside the one that leads it.</param>
/// <param name="KeysPerSecond">Unique keys pushed a second, beside the probes.</param>
internal sealed record FailoverSettings(int Kills, int Servers, int Replicas, int KeysPerSecond);
