using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Weir.Cli.Bench;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench push-pull</c>.</summary>
internal static class BenchPushPullCommand
{
    private const long StandardKeys = 1_000_000;
    private const long StandardRequestKeys = 100_000;
    private const double StandardSeconds = 5;

    // The smallest number of segments that gives the one server 100.
    private const int StandardSegmentBits = 7;

    // 1 GiB: what one request may hold in an array.
    private const long MostRequestFloats = 1 << 28;

    public static Command Create(ToolConsole console)
    {
        Option<long> keys = CheckedOption.Whole(
            "--keys", "Rows of the table, of random keys. Default 1,000,000: beyond the caches of most machines.", StandardKeys, 1, 1_000_000_000);
        Option<long> width = CheckedOption.Whole("--width", "Floats a row. Default 1: the sparse model's.", 1, 1, 65_536, "D");
        Option<string> rule = BenchRules.Option("The update rule at the server. Default add: the least work.", "add");
        Option<long?> requestKeys = CheckedOption.WholeOrNone(
            "--request-keys", "Keys of a request, random ones of the table's. Default: 100,000, or all where there are fewer.", 1, 1_000_000_000, "K");
        Option<long> window = CheckedOption.Whole(
            "--window", "Requests under way at a time. Default 4: the next are on their way while one is served.", 4, 1, 1024, "W");
        Option<Filters> filters = FilterOption.Create("What makes requests and answers shorter. Default none: every request carries its keys.");
        Option<long> replicas = CheckedOption.Whole(
            "--replicas", "How many servers hold each segment beside the one that leads it, each a process more. Default 0: one server, single copies.", 0, 0, 7, "K");
        Option<int?> segments = TrainOptions.SegmentsOption("Slices of the key space, a power of two from 64 to 131072. Default 128: the smallest that gives a server 100.");
        Option<Transport> transport = TransportOption.Create("What the two processes talk over, and the bare socket too. Default tcp: what two machines use.");
        Option<double?> seconds = CheckedOption.Real(
            "--seconds", "Seconds for each kind of request, in five rounds. Default 5: a second a round hides a passing disturbance.", false, "S");
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "push-pull",
            "Measures push, pull and push-pull between this process and a server process on this machine, and in turn with them the bare socket. "
            + "GB/s are of values, of a push-pull those of both directions; a push is done when it was applied.")
        {
            keys, width, rule, requestKeys, window, filters, replicas, segments, transport, seconds, report,
        };
        command.Validators.Add(result => CheckTogether(result, keys, width, requestKeys));
        command.SetAction((parsed, cancellation) =>
        {
            long rows = parsed.GetValue(keys);
            var settings = new PushPullSettings
            {
                Keys = (int)rows,
                Width = (int)parsed.GetValue(width),
                RuleName = parsed.GetValue(rule)!,
                Rule = BenchRules.Of[parsed.GetValue(rule)!],
                RequestKeys = (int)(parsed.GetValue(requestKeys) ?? Math.Min(rows, StandardRequestKeys)),
                Filters = parsed.GetValue(filters),
                Window = (int)parsed.GetValue(window),
                Transport = parsed.GetValue(transport),
                Replicas = (int)parsed.GetValue(replicas),
                SegmentBits = parsed.GetValue(segments) ?? StandardSegmentBits,
                Seconds = parsed.GetValue(seconds) ?? StandardSeconds,
            };
            return RunAsync(settings, parsed.GetValue(report), console, cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(PushPullSettings settings, string? reportPath, ToolConsole console, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        PushPullReport report = await new PushPullBench(settings, console).RunAsync(cancellation);
        Show(console, report);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.PushPullReport);
        }

        return ExitCode.Done;
    }

    private static void Show(ToolConsole console, PushPullReport report)
    {
        console.Say(Line("", "M keys/s", "GB/s", "of raw", "p50 us", "p99 us", "p999 us", "p50 of ping"));
        foreach ((string name, RequestSpeed speed) in (ReadOnlySpan<(string, RequestSpeed)>)[
            ("push", report.Push), ("pull", report.Pull), ("push-pull", report.PushPull)])
        {
            console.Say(Line(
                name,
                Text(speed.KeysPerSecond / 1e6, "0.000"),
                Text(speed.BytesPerSecond / 1e9, "0.000"),
                Text(speed.BytesPerSecond / report.Raw.BytesPerSecond, "0.00"),
                Text(speed.P50Us, "0.0"),
                Text(speed.P99Us, "0.0"),
                Text(speed.P999Us, "0.0"),
                Text(speed.P50Us / report.Raw.P50Us, "0.0")));
        }

        console.Say(Line("raw", "", Text(report.Raw.BytesPerSecond / 1e9, "0.000"), "", Text(report.Raw.P50Us, "0.0"), "", "", "").TrimEnd());

        static string Line(string name, params string[] cells) => name.PadRight(10) + string.Concat(cells.Select(cell => cell.PadLeft(12)));

        static string Text(double number, string form) => number.ToString(form, CultureInfo.InvariantCulture);
    }

    private static void CheckTogether(CommandResult result, Option<long> keys, Option<long> width, Option<long?> requestKeys)
    {
        // It looks at words: a value that does not parse has an error of its own.
        long rows = Number(keys) ?? StandardKeys;
        long asked = Number(requestKeys) ?? Math.Min(rows, StandardRequestKeys);
        if (asked > rows)
        {
            result.AddError($"--request-keys is {asked:N0} and --keys {rows:N0}: a request cannot have more keys than the table");
        }

        if (asked * (Number(width) ?? 1) > MostRequestFloats)
        {
            result.AddError($"--request-keys times --width must be at most {MostRequestFloats:N0} floats, 1 GiB a request");
        }

        long? Number(Option option) =>
            result.GetResult(option)?.Tokens is [Token token, ..] && int.TryParse(token.Value, NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : null;
    }
}
