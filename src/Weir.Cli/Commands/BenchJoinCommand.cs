using System.CommandLine;
using System.Globalization;
using Weir.Cli.Bench;
using Weir.Cli.Reports;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench join</c>.</summary>
internal static class BenchJoinCommand
{
    private const double StandardSeconds = 5;

    public static Command Create(ToolConsole console)
    {
        Option<long> replicas = CheckedOption.Whole("--replicas", "How many servers hold each segment beside the one that leads it. Default 1.", 1, 1, 2, "K");
        Option<long> keys = CheckedOption.Whole("--keys", "Rows of 16 floats that are pushed to and pulled from. Default 1,000,000.", 1_000_000, 1000, 100_000_000);
        Option<long> rows = CheckedOption.Whole("--segment-rows", "Rows of the one segment that moves under pushes. Default 1,000,000.", 1_000_000, 16, 1 << 20);
        Option<double?> seconds = CheckedOption.Real("--seconds", "Seconds of load before the join. Default 5.", false, "S");
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "join",
            "Has a fourth server process join three, twice: under push-pull load, where it says what the fourth got and what the load lost meanwhile; and so that "
            + "one large segment moves while pushes to that very segment go on, where it says the longest that one of them took.")
        {
            replicas, keys, rows, seconds, report,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            new JoinSettings((int)parsed.GetValue(replicas), (int)parsed.GetValue(keys), (int)parsed.GetValue(rows), parsed.GetValue(seconds) ?? StandardSeconds),
            parsed.GetValue(report),
            console,
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(JoinSettings settings, string? reportPath, ToolConsole console, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        JoinReport report = await new JoinBench(settings, console).RunAsync(cancellation);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"the longest push to the large segment took {report.LongestStallMs:N1} ms while it moved, {report.LongestBeforeMs:N1} ms before"));
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.JoinReport);
        }

        return ExitCode.Done;
    }
}
