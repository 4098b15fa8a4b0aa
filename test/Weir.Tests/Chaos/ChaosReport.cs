using System.Text.Json;
using System.Text.Json.Serialization;

namespace Weir.Tests.Chaos;

/// <summary>What one round came to.</summary>
/// <param name="Fault">What happened.</param>
/// <param name="Acknowledged">Tokens acknowledged around it.</param>
/// <param name="UnderWay">Pushes that were not answered at the instant of the fault.</param>
/// <param name="ReceivedBefore">
/// Parts that a server had received, and whose acknowledgement did not reach its client: they came again and were answered as duplicates.
/// </param>
/// <param name="Lost">Acknowledged tokens that were not there.</param>
/// <param name="Doubled">Tokens that were there more than once, or rows that nobody pushed.</param>
/// <param name="Failures">Pushes that failed; a client without a job may be told to begin anew.</param>
/// <param name="Seconds">From the round's first push until the cluster was whole again.</param>
/// <param name="Problem">What else was wrong; null for nothing.</param>
internal sealed record ChaosRoundReport(
    string Fault, long Acknowledged, int UnderWay, long ReceivedBefore, long Lost, long Doubled, int Failures, double Seconds, string? Problem);

/// <summary>What a run came to. The names are an interface: scripts read them.</summary>
internal sealed record ChaosReport(
    string Network, ulong Seed, int Rounds, long Acknowledged, long Lost, long Doubled, int Problems, double BetweenReceiveAndAcknowledge, IReadOnlyDictionary<string, int> Faults,
    IReadOnlyDictionary<string, long> Frames, IReadOnlyList<ChaosRoundReport> Each)
{
    private static readonly JsonSerializerOptions Form = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Form));
}
