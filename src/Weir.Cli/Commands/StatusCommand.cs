using System.CommandLine;
using System.Globalization;
using Spectre.Console;
using Weir.Cli.Reports;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary><c>weir status</c>.</summary>
internal static class StatusCommand
{
    // Tables are not wrapped where the output is no terminal: a reader looks for whole lines.
    private const int PlainWidth = 200;

    private const int WatchMs = 1000;

    public static Command Create(ToolConsole console)
    {
        Option<string[]?> cluster = CheckedOption.Addresses(
            "--cluster", $"Addresses of the cluster, one or more; gives up after {ClusterConnection.ConnectMs / 1000} s where nobody answers.");
        cluster.Required = true;
        Option<string?> report = CheckedOption.Text("--report", "Also write it as JSON. Default: no file.", "FILE.json");
        var watch = new Option<bool>("--watch") { Description = "Show it again every second, until Ctrl+C." };
        Option<string> @namespace = CheckedOption.Namespace("Show the tables and workers of this namespace.");
        var command = new Command("status", "Shows a cluster's servers and namespaces, and the tables and workers of one namespace.") { cluster, @namespace, watch, report };
        command.SetAction((parsed, cancellation) => RunAsync(console, parsed.GetValue(cluster)!, parsed.GetValue(@namespace)!, parsed.GetValue(report), parsed.GetValue(watch), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ToolConsole console, string[] addresses, string @namespace, string? reportPath, bool watches, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        await using WeirClient client = await ClusterConnection.OpenAsync(addresses, Filters.None, null, cancellation, @namespace);
        try
        {
            do
            {
                ClusterStatus status = await client.GetStatusAsync(cancellation);
                Show(console, status);
                if (reportPath is not null)
                {
                    JsonFile.Write(reportPath, StatusReport.Of(status), ReportJson.Default.StatusReport);
                }

                await Task.Delay(watches ? WatchMs : 0, cancellation);
            }
            while (watches);
        }
        catch (OperationCanceledException) when (watches && cancellation.IsCancellationRequested)
        {
            // Ctrl+C is how a watch ends.
        }

        return ExitCode.Done;
    }

    internal static void Show(ToolConsole console, ClusterStatus status)
    {
        IAnsiConsole terminal = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(console.Output) });
        if (!console.IsTerminal)
        {
            terminal.Profile.Width = PlainWidth;
        }

        terminal.WriteLine($"map {status.MapVersion}, generation {status.Generation}, {status.Segments} segments{(status.SegmentsDown > 0 ? $", {status.SegmentsDown} of them down" : "")}{(status.Repairing.Count > 0 ? $", {status.Repairing.Count} under repair" : "")}");
        Print(terminal, ["server", "pid", "address", "leads", "holds", "rows", "bytes", "pushes", "pulls", "waiting"], status.Servers.Select(server => server.Answers
            ? (string[])[server.Id, Text(server.ProcessId), server.Address + Draining(server), Text(server.Segments), Text(server.SegmentsHeld), Text(server.Rows), Text(server.Bytes), Text(server.PushRequests), Text(server.PullRequests), Text(server.PullsWaiting)]
            : [server.Id, "", server.Address + Draining(server), Text(server.Segments), Text(server.SegmentsHeld), "does not answer", "", "", "", ""]));

        // Who knows of no namespaces reads nothing of them.
        if (status.Namespaces.Any(n => n.Name.Length > 0 || n.QuotaBytes is not null))
        {
            Print(terminal, ["namespace", "tables", "jobs", "rows", "MB", "quota MB"], status.Namespaces.Select(n => (string[])
                [n.Name.Length == 0 ? "(default)" : n.Name, Text(n.Tables), Text(n.Jobs), Text(n.Rows), NamespaceCommand.Megabytes(n.Bytes), n.QuotaBytes is { } quota ? NamespaceCommand.Megabytes(quota) : "none"]));
        }

        Print(terminal, ["table", "width", "rule", "rows"], status.Tables.Select(table => (string[])[table.Name, Text(table.Width), table.Rule, Text(table.Rows)]));
        Print(terminal, ["job", "worker", "hosted by", "takes part", "clock", "behind"], status.Workers.Select(worker =>
            (string[])[worker.Job, Text(worker.Index), worker.Process, Span(worker), Text(worker.Clock) + (worker.Finished ? " (finished)" : ""), worker.Behind > 0 ? Text(worker.Behind) : ""]));
        Name(terminal, "down", status.Down);
        Name(terminal, "under repair", status.Repairing);
        foreach (string loss in status.Losses)
        {
            terminal.WriteLine($"lost: {loss}");
        }
    }

    private static string Draining(ServerStatus server) => !server.IsDraining ? "" : server.SegmentsHeld == 0 ? " (drained)" : " (draining)";

    private static void Name(IAnsiConsole terminal, string what, IReadOnlyList<int> segments)
    {
        const int Most = 20;
        if (segments.Count > 0)
        {
            terminal.WriteLine($"{what}: segments {string.Join(", ", segments.Take(Most))}{(segments.Count > Most ? $" and {segments.Count - Most} more" : "")}");
        }
    }

    private static void Print(IAnsiConsole terminal, string[] heads, IEnumerable<string[]> rows)
    {
        var table = new Table { Border = TableBorder.Simple };
        foreach (string head in heads)
        {
            table.AddColumn(new TableColumn(head) { NoWrap = true });
        }

        foreach (string[] row in rows)
        {
            table.AddRow([.. row.Select(cell => new Text(cell))]);
        }

        if (table.Rows.Count > 0)
        {
            terminal.Write(table);
        }
    }

    private static string Span(WorkerStatus worker) => worker.FirstIteration == 0
        ? "about to join"
        : $"from {Text(worker.FirstIteration)}{(worker.LastIteration is { } last ? $" through {Text(last)}" : "")}";

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
