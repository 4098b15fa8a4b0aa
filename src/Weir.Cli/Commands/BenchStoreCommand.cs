using System.CommandLine;
using System.Globalization;
using Weir.Cli.Bench;
using Weir.Cli.Reports;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench store</c>.</summary>
internal static class BenchStoreCommand
{
    private const double StandardSeconds = 5;

    public static Command Create(ToolConsole console)
    {
        Option<long> rows = CheckedOption.Whole(
            "--rows", "Rows of the table. Default 1,000,000: beyond the caches of most machines.", 1_000_000, 1, 1_000_000_000);
        Option<long> width = CheckedOption.Whole("--width", "Floats a row. Default 16: a factorization's.", 16, 1, 65_536, "D");
        Option<string> rule = BenchRules.Option("The update rule. Default adagrad: it has state, as most tables do.", "adagrad");
        Option<string> distribution = CheckedOption.Word(
            "--distribution",
            "Which rows a request asks for. Default uniform: the caches help least. With zipf the row of rank k is drawn 1/k as often as the first.",
            ["uniform", "zipf"], [], "uniform");
        Option<double?> seconds = CheckedOption.Real(
            "--seconds", "Seconds for each of look-ups and updates, in five rounds. Default 5: a second a round hides a passing disturbance.", false, "S");
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "store",
            "Measures look-ups and updates of random rows in a node's memory on one thread, without a network, and in turn with them a bare loop "
            + "that does the same to rows whose places it knows. A request has up to 100,000 keys and 64 MiB of values.")
        {
            rows, width, rule, distribution, seconds, report,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            var settings = new StoreSettings
            {
                Rows = (int)parsed.GetValue(rows),
                Width = (int)parsed.GetValue(width),
                RuleName = parsed.GetValue(rule)!,
                Rule = BenchRules.Of[parsed.GetValue(rule)!],
                Distribution = Enum.Parse<KeyDistribution>(parsed.GetValue(distribution)!, ignoreCase: true),
                Seconds = parsed.GetValue(seconds) ?? StandardSeconds,
            };
            string? path = parsed.GetValue(report);
            JsonFile.Check(path);
            StoreReport measured = await Task.Run(() => StoreBench.Run(settings, console, cancellation), cancellation);
            Show(console, measured);
            if (path is not null)
            {
                JsonFile.Write(path, measured, ReportJson.Default.StoreReport);
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static void Show(ToolConsole console, StoreReport report)
    {
        console.Say(Line("", "M rows/s", "bare loop", "of it"));
        foreach ((string name, StoreSpeed speed) in (ReadOnlySpan<(string, StoreSpeed)>)[("lookup", report.Lookup), ("update", report.Update)])
        {
            console.Say(Line(
                name, Text(speed.RowsPerSecond / 1e6, "0.00"), Text(speed.BareRowsPerSecond / 1e6, "0.00"), Text(speed.RowsPerSecond / speed.BareRowsPerSecond, "0.00")));
        }

        double least = report.RowBytes + report.BytesPerKey;
        console.Say(
            $"index {Text(report.BytesPerKey, "0.0")} bytes a key; in all {Text(report.BytesPerRow, "0.0")} bytes a row, "
            + $"{Text(report.BytesPerRow / least, "0.000")} of values, state ({report.RowBytes.ToString(CultureInfo.InvariantCulture)} bytes) and index");

        static string Line(string name, params string[] cells) => name.PadRight(10) + string.Concat(cells.Select(cell => cell.PadLeft(12)));

        static string Text(double number, string form) => number.ToString(form, CultureInfo.InvariantCulture);
    }
}
