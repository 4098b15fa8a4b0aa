using System.CommandLine;
using System.Globalization;
using Weir.Cli.Bench;
using Weir.Cli.Reports;
using Weir.Keys;

namespace Weir.Cli.Commands;

/// <summary><c>weir bench checkpoint</c>.</summary>
internal static class BenchCheckpointCommand
{
    private const double StandardGigabytes = 4;

    public static Command Create(ToolConsole console)
    {
        Option<double?> gigabytes = CheckedOption.Real(
            "--gigabytes", "Size of the checkpoint in 10^9 bytes. Default 4: beyond what a disk's own cache hides.", false, "G");
        Option<long?> rows = CheckedOption.WholeOrNone("--rows", "Rows of the table, instead of --gigabytes.", 1, 10_000_000_000);
        Option<long> width = CheckedOption.Whole("--width", "Floats a row. Default 16: a factorization's.", 16, 1, 65_536, "D");
        Option<string> rule = BenchRules.Option("The update rule. Default adagrad: it has state, as most tables do.", "adagrad");
        Option<long> servers = CheckedOption.Whole("--servers", "Server nodes. Default 2: one loop each for two cores.", 2, 1, 100);
        var processes = new Option<bool>("--processes") { Description = "Each server is a process of its own, over TCP. Default: all in this process." };
        Option<string> folder = new("--to")
        {
            Description = "The folder whose disk is measured; what is written there is deleted. Default: this one.",
            HelpName = "DIR",
            DefaultValueFactory = _ => ".",
        };
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "checkpoint",
            "Writes a checkpoint, every flush counted, loads it into a new cluster, and measures before and after how fast the disk writes and reads one long file by itself.")
        {
            gigabytes, rows, width, rule, servers, processes, folder, report,
        };
        command.Validators.Add(result =>
        {
            if (result.IsGiven(rows) && result.IsGiven(gigabytes))
            {
                result.AddError("--rows and --gigabytes contradict each other: both say how large the checkpoint is");
            }
        });
        command.SetAction((parsed, cancellation) =>
        {
            UpdateRule updates = BenchRules.Of[parsed.GetValue(rule)!];
            int floats = (int)parsed.GetValue(width);
            return RunAsync(
                new CheckpointSettings
                {
                    Rows = parsed.GetValue(rows) ?? Math.Max(1, (long)Math.Ceiling((parsed.GetValue(gigabytes) ?? StandardGigabytes) * 1e9 / CheckpointSettings.BytesOfRow(floats, updates))),
                    Width = floats,
                    RuleName = parsed.GetValue(rule)!,
                    Rule = updates,
                    Servers = (int)parsed.GetValue(servers),
                    Processes = parsed.GetValue(processes),
                    Folder = parsed.GetValue(folder)!,
                },
                parsed.GetValue(report),
                console,
                cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(CheckpointSettings settings, string? reportPath, ToolConsole console, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        CheckpointReport report = await Task.Run(() => new CheckpointBench(settings, console).RunAsync(cancellation), cancellation);
        console.Say(Line("save", report.SaveBytesPerSecond, report.DiskWriteBytesPerSecond, report.SaveShare));
        console.Say(Line("restore", report.RestoreBytesPerSecond, report.DiskReadBytesPerSecond, report.RestoreShare));
        console.Say(string.Create(CultureInfo.InvariantCulture, $"memory that nobody had before is handed out at {report.MemoryBytesPerSecond / 1e6:N0} MB/s; the rows' was, before they were loaded"));
        if (!BareDisk.CanForget)
        {
            console.Say("files were read from the system's cache, which this system does not let go of: the rates of reading are those of memory");
        }

        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, report, ReportJson.Default.CheckpointReport);
        }

        return ExitCode.Done;
    }

    private static string Line(string name, double rate, double disk, double share) =>
        string.Create(CultureInfo.InvariantCulture, $"{name,-8} {rate / 1e6,7:N0} MB/s, the disk itself {disk / 1e6,7:N0} MB/s: {share:0.00} of it");
}
