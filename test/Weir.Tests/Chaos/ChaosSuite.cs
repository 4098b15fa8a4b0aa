using System.Globalization;

namespace Weir.Tests.Chaos;

/// <summary>What <c>eng/chaos</c> runs. It takes minutes to hours, kills processes and wants root, so it is no part of <c>dotnet test</c>.</summary>
public sealed class ChaosSuite
{
    private const double Days = 24 * 60;

    [Fact(Explicit = true)]
    public async Task Nothing_acknowledged_is_lost_and_nothing_applied_twice_whatever_fails()
    {
        var settings = new ChaosSettings(
            (int)Number("WEIR_CHAOS_ROUNDS", int.MaxValue),
            Number("WEIR_CHAOS_MINUTES", Days),
            (ulong)Number("WEIR_CHAOS_SEED", Environment.TickCount64 % 1_000_000),
            OnLoopback: Number("WEIR_CHAOS_LOOPBACK", 0) != 0,
            Fault: Environment.GetEnvironmentVariable("WEIR_CHAOS_FAULT") ?? "");
        ChaosReport report = await new ChaosRun(settings).RunAsync();
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"chaos: {report.Rounds} rounds on {report.Network}: {report.Acknowledged:N0} acknowledged, {report.Lost} lost, {report.Doubled} applied twice, {report.Problems} other problems; in {report.BetweenReceiveAndAcknowledge:P0} of the rounds the fault fell between a receive and its acknowledgement"));
        if (Environment.GetEnvironmentVariable("WEIR_CHAOS_REPORT") is { Length: > 0 } path)
        {
            report.Write(path);
        }

        Assert.Equal((0, 0, 0), (report.Lost, report.Doubled, report.Problems));
        Assert.True(report.Rounds > 0, "no round was run");
    }

    private static double Number(string name, double standard) =>
        double.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out double value) ? value : standard;
}
