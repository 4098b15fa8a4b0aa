using System.CommandLine;
using System.CommandLine.Parsing;
using Microsoft.Extensions.Logging;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Host;
using Weir.Host.Sockets;

namespace Weir.Cli.Commands;

/// <summary><c>weir serve</c>.</summary>
internal static class ServeCommand
{
    /// <summary>What the line begins with that tells that and where the node serves.</summary>
    public const string ServingAt = "serving at ";

    public static Command Create(ToolConsole console, StopSignals signals)
    {
        var standard = new ServeOptions();
        Option<string?> listen = CheckedOption.Address(
            "--listen", "Where to listen; port 0 takes a free one. The default is reached from this machine only: others are a decision.", anyPort: true);
        listen.DefaultValueFactory = _ => standard.Listen;
        Option<Transport> transport = TransportOption.Create(
            "What to listen with where --listen is not given: tcp, or unix for a socket in the temporary folder. Default tcp: what other machines can reach.");
        Option<string?> join = CheckedOption.Address("--join", "A server of the cluster to join. Default: none, this is the first server of a new cluster.", anyPort: false);
        Option<long?> memory = CheckedOption.WholeOrNone(
            "--memory", "Memory for rows, state and index; beyond, new keys are refused. Default: no limit, what fits is the machine's matter.", 1 << 20, 1L << 50, "BYTES");
        Option<string?> report = CheckedOption.Text("--report", "Write the node's id, process and address as JSON once it serves. Default: no file.", "FILE.json");
        Option<int?> segments = TrainOptions.SegmentsOption("Slices of the key space of a new cluster, a power of two from 64 to 131072.");
        segments.Hidden = true;
        var withParent = new Option<bool>("--with-parent") { Hidden = true };
        var command = new Command(
            "serve", $"Runs one server. It prints '{ServingAt}ADDRESS' once it serves, logs to the error stream, and stops at Ctrl+C or SIGTERM. What it held is then gone.")
        {
            listen, transport, join, memory, report, segments, withParent,
        };
        command.Validators.Add(result => CheckTogether(result, listen, transport));
        command.SetAction((parsed, cancellation) =>
        {
            bool chosen = parsed.GetResult(listen) is { Implicit: false };
            var options = new ServeOptions
            {
                Listen = chosen || parsed.GetValue(transport) == Transport.Tcp ? parsed.GetValue(listen)! : FreePath(),
                Join = parsed.GetValue(join),
                MemoryBytes = parsed.GetValue(memory) ?? standard.MemoryBytes,
                SegmentBits = parsed.GetValue(segments) ?? standard.SegmentBits,
            };
            return RunAsync(options, parsed.GetValue(report), parsed.GetValue(withParent), console, signals, cancellation);
        });
        return command;
    }

    private static string FreePath() => HostAddress.UnixScheme + Path.Combine(Path.GetTempPath(), $"weir-{Guid.NewGuid().ToString("N")[..8]}.sock");

    private static void CheckTogether(CommandResult result, Option<string?> listen, Option<Transport> transport)
    {
        if (result.IsGiven(listen) && result.IsGiven(transport) && result.GetResult(listen)?.Tokens is [Token address, ..]
            && result.GetResult(transport)?.Tokens is [Token kind, ..]
            && address.Value.StartsWith(HostAddress.UnixScheme, StringComparison.Ordinal) != kind.Value.Equals("unix", StringComparison.OrdinalIgnoreCase))
        {
            result.AddError($"--listen {address.Value} and --transport {kind.Value} contradict each other: the address says what it is listened on with");
        }
    }

    private static async Task<int> RunAsync(
        ServeOptions options, string? reportPath, bool withParent, ToolConsole console, StopSignals signals, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        if (withParent)
        {
            signals.IgnoresInterrupt = true;
            _ = ParentPipe.FollowAsync(ParentPipe.Open(), signals, _ => { });
        }

        using var loggers = new StandardErrorLog(console.Error, withParent ? LogLevel.Warning : LogLevel.Information);
        await using WeirServer server = await WeirHost.ServeAsync(options, loggers, cancellation);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, new ServeReport(server.Id, Environment.ProcessId, server.Address), ReportJson.Default.ServeReport);
        }

        console.Say(ServingAt + server.Address);
        try
        {
            await server.Completion.WaitAsync(cancellation);
            return ExitCode.Done;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ExitCode.Done;
        }
        catch (Exception exception)
        {
            throw new ToolException($"the server at {server.Address} stopped: {exception.Message}", exception);
        }
    }
}
