using System.CommandLine;
using System.Globalization;
using Weir.Cli.Bench;
using Weir.Cli.Reports;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench failover</c>.</summary>
internal static class BenchFailoverCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<long> kills = CheckedOption.Whole("--kills", "Servers to kill, one after another; every third is the one that decides the map. Default 50.", 50, 1, 100_000);
        Option<long> servers = CheckedOption.Whole("--servers", "Server processes. Default 3: the fewest of which any one may be lost with the register's records.", 3, 3, 100);
        Option<long> replicas = CheckedOption.Whole("--replicas", "How many servers hold each segment beside the one that leads it, fewer than --servers. Default 1.", 1, 1, 7, "K");
        Option<long> rate = CheckedOption.Whole("--keys-per-second", "Unique keys pushed a second, beside the probes. Default 20,000.", 20_000, 1000, 10_000_000, "N");
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "failover",
            "Kills server processes of a cluster of its own on this machine (SIGKILL) while keys are pushed and every segment is probed every 20 ms; a new "
            + "server joins and the cluster repairs itself before the next. Times are from the signal until the last segment has acknowledged a push that was "
            + "sent after it. Checks that no acknowledged key was lost and none applied twice, and fails otherwise.")
        {
            kills, servers, replicas, rate, report,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            new FailoverSettings((int)parsed.GetValue(kills), (int)parsed.GetValue(servers), (int)parsed.GetValue(replicas), (int)parsed.GetValue(rate)),
            parsed.GetValue(report),
            console,
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(FailoverSettings settings, string? reportPath, ToolConsole console, CancellationToken cancellation)
    {
        if (settings.Replicas >= settings.Servers)
        {
            console.Complain($"--replicas {settings.Replicas} needs more than the {settings.Servers} servers of --servers");
            return ExitCode.Usage;
        }

        JsonFile.Check(reportPath);
        FailoverReport report = await new FailoverBench(settings, console).RunAsync(cancellation);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{report.Kills} kills, {report.ManagerKills} of the manager: every segment served again in {report.P50Ms:N0} ms (p50), {report.P99Ms:N0} ms (p99), {report.MaxMs:N0} ms (slowest; {report.ManagerMaxMs:N0} ms with the manager); "
            + $"{report.PushedKeysPerSecond:N0} keys a second, {report.Acknowledged:N0} acknowledged, {report.Lost} lost, {report.Doubled} doubled"));
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.FailoverReport);
        }

        return report.Lost == 0 && report.Doubled == 0
            ? ExitCode.Done
            : throw new ToolException($"{report.Lost} acknowledged keys were lost and {report.Doubled} applied twice: this is a defect of Weir, please report it");
    }
}
