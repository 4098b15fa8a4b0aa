using System.Globalization;

namespace Weir.Tests.Chaos;

/// <summary>What <c>eng/chaos</c> runs. It takes minutes to hours, kills processes and wants root, so it is no part of <c>dotnet test</c>.</summary>
public sealed class ChaosSuite
{
    private const double Days = 24 * 60;

    // What the run is to show is of so many pushes a round. A run that has but minutes shows more in more rounds of fewer.
    private const long PushesOfRound = 10_000;
    private const long PushesOfShortRound = 4000;

    [Fact(Explicit = true)]
    public async Task Nothing_acknowledged_is_lost_and_nothing_applied_twice_whatever_fails()
    {
        double minutes = Number("WEIR_CHAOS_MINUTES", Days);
        var settings = new ChaosSettings(
            (int)Number("WEIR_CHAOS_ROUNDS", int.MaxValue),
            minutes,
            (ulong)Number("WEIR_CHAOS_SEED", Environment.TickCount64 % 1_000_000),
            minutes == Days ? PushesOfRound : PushesOfShortRound,
            OnLoopback: Number("WEIR_CHAOS_LOOPBACK", 0) != 0,
            Fault: Environment.GetEnvironmentVariable("WEIR_CHAOS_FAULT") ?? "");
        ChaosReport report = await new ChaosRun(settings).RunAsync();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"chaos: {report.Rounds} rounds on {report.Network}: {report.AcknowledgedPushes:N0} pushes of {report.Acknowledged:N0} tokens acknowledged, at least {report.LeastAcknowledgedPushes:N0} a round, {report.Lost} lost, {report.Doubled} applied twice, {report.Problems} other problems; in {report.BetweenReceiveAndAcknowledge:P0} of the rounds the fault fell between a receive and its acknowledgement ({report.BetweenReceiveAndAcknowledgeOfAll:P0} with faults that make duplicates); segments served again after {Text(report.ServedAgain)}, longest push {Text(report.LongestPush)}, whole after {Text(report.WholeAgain)}{(report.LeftOut.Count > 0 ? $"; {report.LeftOut.Count} faults left out" : "")}"));
        if (Environment.GetEnvironmentVariable("WEIR_CHAOS_REPORT") is { Length: > 0 } path)
        {
            report.Write(path);
        }

        Assert.Empty(report.Shortcomings(settings.Pushes));
    }

    private static string Text(ChaosTimes? times) =>
        times is null ? "no time" : string.Create(CultureInfo.InvariantCulture, $"{times.P50Ms:N0} ms (p50), {times.P99Ms:N0} ms (p99)");

    private static double Number(string name, double standard) =>
        double.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out double value) ? value : standard;
}
