using System.CommandLine;
using Weir.Cli.Bench;
using Weir.Cli.Reports;
using Weir.Learn.Data;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench delay</c>.</summary>
internal static class BenchDelayCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<long> rows = CheckedOption.Whole("--rows", $"Rows of the generated click log. Default {ClickLog.DefaultTrainRows:N0}.", ClickLog.DefaultTrainRows, 1000, 1_000_000_000);
        Option<long> testRows = CheckedOption.Whole("--test-rows", $"Rows to measure the models on. Default {ClickLog.DefaultTestRows:N0}.", ClickLog.DefaultTestRows, 100, 1_000_000_000);
        Option<long> batch = CheckedOption.Whole("--batch", "Rows of a batch. Default 1024: a worker then has 49 iterations a pass.", 1024, 1, 1_000_000);
        Option<long> seeds = CheckedOption.Whole("--seeds", "Click logs to train on one after another, whose mean and spread are told. Default 5.", 5, 1, 1000);
        Option<long> step = CheckedOption.Whole("--step-ms", "Milliseconds that each iteration is made to take beside its own, three times as many where the worker is slow. Default 20.", 20, 1, 60_000);
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        Option<string?> plot = PlotFile.Option();
        var command = new Command(
            "delay",
            "Trains on the generated click log with delay bounds of 0 to 16 and none while workers are slowed down (simulated): once each of four a quarter of the time, once one of them always. "
            + "Says how long it took, how the workers spent their time and how good the model became.")
        {
            rows, testRows, batch, seeds, step, report, plot,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            new DelaySettings(parsed.GetValue(rows), parsed.GetValue(testRows), (int)parsed.GetValue(batch), (int)parsed.GetValue(seeds), (int)parsed.GetValue(step)),
            parsed.GetValue(report),
            parsed.GetValue(plot),
            console,
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(DelaySettings settings, string? reportPath, string? plotPath, ToolConsole console, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        PlotFile.Check(plotPath);
        DelayReport report = await new DelayBench(settings, console).RunAsync(cancellation);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.DelayReport);
        }

        if (plotPath is not null)
        {
            PlotFile.Write(plotPath, report);
        }

        return ExitCode.Done;
    }
}
