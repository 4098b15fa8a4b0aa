using System.CommandLine;
using Weir.Cli.Bench;
using Weir.Cli.Reports;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench optimum</c>.</summary>
internal static class BenchOptimumCommand
{
    public static Command Create(ToolConsole console, StopSignals signals)
    {
        Option<string?> data = CheckedOption.Text("--data", "Rows in the format of LIBSVM, also .gz. Default: a generated problem.", "FILE");
        Option<long> rows = CheckedOption.Whole("--rows", "Rows of the generated problem. Default 100,000.", 100_000, 100, 100_000_000);
        Option<long> features = CheckedOption.Whole("--features", "Its features. Default 1,000,000.", 1_000_000, 10, 1_000_000_000);
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        Argument<string[]> training = new("TRAIN-OPTIONS") { Description = "After --: further options of `weir train --method dbpg`, such as -- --passes 200 --blocks 64 --delay 1.", Arity = ArgumentArity.ZeroOrMore };
        var command = new Command(
            "optimum",
            "Trains L1-regularised logistic regression by delayed block proximal gradient and has liblinear-train, where it is installed, find the optimum of the same objective in the same run; says how far above it the training ended.")
        {
            data, rows, features, report, training,
        };
        command.SetAction((parsed, cancellation) => RunAsync(
            new OptimumSettings(parsed.GetValue(data), parsed.GetValue(rows), parsed.GetValue(features), parsed.GetValue(training) ?? []), parsed.GetValue(report), console, signals, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(OptimumSettings settings, string? reportPath, ToolConsole console, StopSignals signals, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        OptimumReport report = await new OptimumBench(settings, console, signals).RunAsync(cancellation);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.OptimumReport);
        }

        return ExitCode.Done;
    }
}
