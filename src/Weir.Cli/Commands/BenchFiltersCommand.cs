using System.CommandLine;
using Weir.Cli.Bench;
using Weir.Cli.Reports;
using Weir.Learn.Data;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench filters</c>.</summary>
internal static class BenchFiltersCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<long> rows = CheckedOption.Whole("--rows", $"Rows of the generated click log. Default {ClickLog.DefaultTrainRows:N0}.", ClickLog.DefaultTrainRows, 1000, 1_000_000_000);
        Option<long> testRows = CheckedOption.Whole("--test-rows", $"Rows to measure the models on. Default {ClickLog.DefaultTestRows:N0}.", ClickLog.DefaultTestRows, 100, 1_000_000_000);
        Option<long> passes = CheckedOption.Whole("--passes", "Passes over the rows. Default 3: the first tells the servers the keys, a later one has something to gain, and in the last nothing is held back.", 3, 1, 100);
        Option<long> batch = CheckedOption.Whole("--batch", "Rows of a batch. Default 4096.", 4096, 1, 1_000_000);
        Option<double?> l1 = CheckedOption.Real("--l1", "FTRL's L1 penalty: with a large one most of the pulled weights are zero. Default 5.", true, "X");
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        Option<string?> plot = PlotFile.Option();
        var command = new Command(
            "filters",
            "Trains on the generated click log without filters, with each alone, with one more each time and with all, and says how many bytes each pass took, by those without filters, and the quality reached.")
        {
            rows, testRows, passes, batch, l1, report, plot,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            new FilterSettings(parsed.GetValue(rows), parsed.GetValue(testRows), (int)parsed.GetValue(passes), (int)parsed.GetValue(batch), (float?)parsed.GetValue(l1)),
            parsed.GetValue(report),
            parsed.GetValue(plot),
            console,
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(FilterSettings settings, string? reportPath, string? plotPath, ToolConsole console, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        PlotFile.Check(plotPath);
        FilterReport report = await new FilterBench(settings, console).RunAsync(cancellation);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.FilterReport);
        }

        if (plotPath is not null)
        {
            PlotFile.Write(plotPath, report);
        }

        return ExitCode.Done;
    }
}
