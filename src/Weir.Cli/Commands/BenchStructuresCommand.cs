using System.CommandLine;
using Weir.Cli.Bench;
using Weir.Cli.Reports;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench structures</c>.</summary>
internal static class BenchStructuresCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<long> items = CheckedOption.Whole("--items", "Distinct items. Default 1,000,000.", 1_000_000, 1000, 100_000_000);
        Option<long> batch = CheckedOption.Whole("--batch", "Items of a call, and increments of a pipelined batch of Redis. Default 10,000.", 10_000, 100, 1_000_000);
        Option<long> window = CheckedOption.Whole("--window", "Calls under way at once, and connections to Redis. Default 2: one is prepared while the other is answered.", 2, 1, 64);
        Option<double?> seconds = CheckedOption.Real("--seconds", "How long each measurement takes. Default 3.", false, "S");
        Option<double?> epsilon = CheckedOption.Real("--epsilon", "How much too large an estimate of the sketch may be, as a part of all counts. Default 0.0001.", false, "E");
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "structures",
            "Measures insertions into a count-min sketch and increments of a ranking, between this process and a server of its own over TCP, by second and by second of a core. "
            + "Where redis-server is on the path it is started too, and does the same increments as pipelined ZINCRBY.")
        {
            items, batch, window, seconds, epsilon, report,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            new StructureSettings((int)parsed.GetValue(items), (int)parsed.GetValue(batch), (int)parsed.GetValue(window), parsed.GetValue(seconds) ?? 3, parsed.GetValue(epsilon) ?? 0.0001),
            parsed.GetValue(report),
            console,
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(StructureSettings settings, string? reportPath, ToolConsole console, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        StructureReport report = await new StructureBench(settings, console).RunAsync(cancellation);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.StructureReport);
        }

        return ExitCode.Done;
    }
}
