using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Weir.Tests.Chaos;

/// <summary>What one round came to.</summary>
/// <param name="Fault">What happened.</param>
/// <param name="Workload">What ran through it beside the pushes of tokens.</param>
/// <param name="WorkloadSteps">How much of that: iterations, reads or checkpoints.</param>
/// <param name="AcknowledgedPushes">Pushes acknowledged around it: calls.</param>
/// <param name="Acknowledged">Tokens acknowledged around it: those of the pushes, each of which has one, and those of the workload.</param>
/// <param name="UnderWay">Pushes that were not answered at the instant of the fault.</param>
/// <param name="ReceivedBefore">
/// Parts that a server had received, and whose acknowledgement did not reach its client: they came again and were answered as duplicates.
/// </param>
/// <param name="MakesDuplicates">The fault itself lets frames come twice: what is counted as received before may be its work.</param>
/// <param name="ServedAgainMs">From the fault's begin until every segment had acknowledged a push that was called after it; null where that did not come.</param>
/// <param name="LongestPushMs">The longest that a push acknowledged since the fault's begin took.</param>
/// <param name="WholeAgainMs">From the fault's end until all servers were there and every segment had all of its copies; null where that did not come.</param>
/// <param name="Lost">Acknowledged tokens that were not there.</param>
/// <param name="Doubled">Tokens that were there more than once, or rows that nobody pushed.</param>
/// <param name="Failures">Pushes that failed; a client without a job may be told to begin anew.</param>
/// <param name="Seconds">From the round's first push until the cluster was whole again.</param>
/// <param name="Problem">What else was wrong; null for nothing.</param>
internal sealed record ChaosRoundReport(
    string Fault, string Workload, long WorkloadSteps, long AcknowledgedPushes, long Acknowledged, int UnderWay, long ReceivedBefore, bool MakesDuplicates,
    double? ServedAgainMs, double LongestPushMs, double? WholeAgainMs, long Lost, long Doubled, int Failures, double Seconds, string? Problem);

/// <summary>One of the times of all rounds, in milliseconds.</summary>
internal sealed record ChaosTimes(double P50Ms, double P99Ms, double LongestMs)
{
    /// <summary>The times of some rounds; null where there are none.</summary>
    public static ChaosTimes? Of(IEnumerable<double?> times)
    {
        double[] known = [.. times.OfType<double>().Order()];
        return known.Length == 0 ? null : new ChaosTimes(Quantile(known, 0.5), Quantile(known, 0.99), known[^1]);
    }

    private static double Quantile(double[] ordered, double quantile) => ordered[Math.Max(0, (int)Math.Ceiling(quantile * ordered.Length) - 1)];
}

/// <summary>What a run came to. The names are an interface: scripts read them.</summary>
/// <param name="Network">Where it ran.</param>
/// <param name="Seed">What drew the victims.</param>
/// <param name="Rounds">How many there were.</param>
/// <param name="AcknowledgedPushes">Pushes acknowledged in all of them.</param>
/// <param name="LeastAcknowledgedPushes">Those of the round with the fewest.</param>
/// <param name="Acknowledged">Tokens acknowledged in all of them.</param>
/// <param name="Lost">Acknowledged tokens that were not there.</param>
/// <param name="Doubled">Tokens that were there more than once, or rows that nobody pushed.</param>
/// <param name="Problems">Rounds in which something else was wrong.</param>
/// <param name="BetweenReceiveAndAcknowledge">
/// In which share of the rounds the fault fell between a receive and its acknowledgement, of those whose fault makes no duplicates of its own: what the run is held to.
/// </param>
/// <param name="BetweenReceiveAndAcknowledgeOfAll">The same of all rounds.</param>
/// <param name="ServedAgain">How long until every segment was served again.</param>
/// <param name="LongestPush">How long the longest push of a round took.</param>
/// <param name="WholeAgain">How long until the cluster was whole again.</param>
/// <param name="LeftOut">Faults that were not played since the machine has not what they take, each with what that is.</param>
/// <param name="Faults">Rounds of each fault.</param>
/// <param name="Workloads">Rounds of each workload.</param>
/// <param name="Frames">What became of the frames that came by a proxy.</param>
/// <param name="Each">The rounds.</param>
internal sealed record ChaosReport(
    string Network, ulong Seed, int Rounds, long AcknowledgedPushes, long LeastAcknowledgedPushes, long Acknowledged, long Lost, long Doubled, int Problems,
    double BetweenReceiveAndAcknowledge, double BetweenReceiveAndAcknowledgeOfAll, ChaosTimes? ServedAgain, ChaosTimes? LongestPush, ChaosTimes? WholeAgain,
    IReadOnlyList<string> LeftOut, IReadOnlyDictionary<string, int> Faults, IReadOnlyDictionary<string, int> Workloads, IReadOnlyDictionary<string, long> Frames,
    IReadOnlyList<ChaosRoundReport> Each)
{
    /// <summary>So many rounds say something of shares.</summary>
    public const int RoundsOfShare = 30;

    /// <summary>In so large a share of the rounds the fault must fall between a receive and its acknowledgement.</summary>
    public const double LeastBetween = 0.3;

    private static readonly JsonSerializerOptions Form = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    /// <summary>What rounds came to, together.</summary>
    public static ChaosReport Of(
        string network, ulong seed, IReadOnlyList<string> leftOut, IReadOnlyDictionary<string, long> frames, IReadOnlyList<ChaosRoundReport> rounds) => new(
        network,
        seed,
        rounds.Count,
        rounds.Sum(round => round.AcknowledgedPushes),
        rounds.Count == 0 ? 0 : rounds.Min(round => round.AcknowledgedPushes),
        rounds.Sum(round => round.Acknowledged),
        rounds.Sum(round => round.Lost),
        rounds.Sum(round => round.Doubled),
        rounds.Count(round => round.Problem is not null),
        ShareBetween(rounds.Where(round => !round.MakesDuplicates)),
        ShareBetween(rounds),
        ChaosTimes.Of(rounds.Select(round => round.ServedAgainMs)),
        ChaosTimes.Of(rounds.Select(round => (double?)round.LongestPushMs)),
        ChaosTimes.Of(rounds.Select(round => round.WholeAgainMs)),
        leftOut,
        rounds.GroupBy(round => round.Fault).ToDictionary(group => group.Key, group => group.Count()),
        rounds.GroupBy(round => round.Workload).ToDictionary(group => group.Key, group => group.Count()),
        frames,
        rounds);

    /// <summary>Why the run does not show what it is to show, a sentence each; empty where it does.</summary>
    /// <param name="leastPushes">Pushes that each round is to have acknowledged.</param>
    public IReadOnlyList<string> Shortcomings(long leastPushes)
    {
        List<string> found = [];
        if (Rounds == 0)
        {
            found.Add("no round was run");
        }

        if (Lost + Doubled + Problems > 0)
        {
            found.Add($"{Lost} acknowledged tokens were lost, {Doubled} were applied twice, {Problems} rounds had other problems");
        }

        if (Each.FirstOrDefault(round => round.Problem is null && round.AcknowledgedPushes < leastPushes) is { } sparse)
        {
            found.Add($"a round of '{sparse.Fault}' had {sparse.AcknowledgedPushes:N0} acknowledged pushes; each is to have {leastPushes:N0}");
        }

        // A fault that was picked may be one that breaks off nothing.
        if (Faults.Count > 1 && Each.Count(round => !round.MakesDuplicates) >= RoundsOfShare && BetweenReceiveAndAcknowledge < LeastBetween)
        {
            found.Add(string.Create(
                CultureInfo.InvariantCulture,
                $"in {BetweenReceiveAndAcknowledge:P0} of the rounds the fault fell between a receive and its acknowledgement; it is to be {LeastBetween:P0} of those whose fault makes no duplicates of its own"));
        }

        return found;
    }

    public void Write(string path) => File.WriteAllText(path, JsonSerializer.Serialize(this, Form));

    private static double ShareBetween(IEnumerable<ChaosRoundReport> rounds)
    {
        ChaosRoundReport[] counted = [.. rounds];
        return counted.Count(round => round.ReceivedBefore > 0) / Math.Max(1.0, counted.Length);
    }
}
