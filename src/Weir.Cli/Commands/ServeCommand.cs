using System.CommandLine;
using System.CommandLine.Parsing;
using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Functions;
using Weir.Host;
using Weir.Host.PlugIns;
using Weir.Host.Sockets;
using Weir.Register;

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
        Option<string?> advertise = AdvertiseOption();
        Option<string?> zone = ZoneOption();
        Option<long> leaveTimeout = LeaveTimeoutOption();
        Option<Transport> transport = TransportOption.Create(
            "What to listen with where --listen is not given: tcp, or unix for a socket in the temporary folder. Default tcp: what other machines can reach.");
        Option<string?> join = CheckedOption.Address("--join", "A server of the cluster to join. Default: none, this is the first server of a new cluster.", anyPort: false);
        Option<long?> memory = CheckedOption.WholeOrNone(
            "--memory", "Memory for rows, state and index; beyond, new keys are refused. Default: no limit, what fits is the machine's matter.", 1 << 20, 1L << 50, "BYTES");
        Option<string?> report = CheckedOption.Text("--report", "Write the node's id, process and address as JSON once it serves. Default: no file.", "FILE.json");
        Option<int?> segments = TrainOptions.SegmentsOption("Slices of the key space of a new cluster, a power of two from 64 to 131072.");
        segments.Hidden = true;
        Option<string?> node = CheckedOption.Text("--node", "", "HEX");
        node.Hidden = true;
        Option<long> replicas = ReplicasOption("How many servers hold each segment beside the one that leads it; the first server's word counts. Default 0: single copies.");
        Option<long?> failureTimeout = CheckedOption.WholeOrNone(
            "--failure-timeout", "Silence after which a server counts as gone, the same at every server. Default 5000, or 500 with --replicas: then a false alarm costs a copy and not the run.", 500, 60_000, "MS");
        Option<string[]?> acceptors = CheckedOption.Addresses(
            "--acceptors", "The 1, 3 or 5 servers that keep the cluster's map, the same at every server. Default: the first server alone, and the cluster ends with it.");
        Option<string?> register = CheckedOption.Etcd(
            "--register", "An etcd that keeps the cluster's map instead, the same prefix at every server and no other cluster's. A server then finds the cluster there, without --join.");
        Option<string?> number = CheckedOption.Text("--cluster-number", "With --acceptors: the cluster's number, 1 to 16 hexadecimal digits, the same at every server.", "HEX");
        Option<string?> folder = CheckedOption.Text("--acceptor-folder", "Where this server, one of --acceptors, keeps what it promised. Default: it hosts none.", "DIR");
        Option<string?> journal = CheckedOption.Text(
            "--journal", "A folder for this server's journal, its own: durable tables survive the loss of all servers at once, and this one comes back with what it held of them. Needs --acceptors or --register. Default: none.", "DIR");
        Option<string> start = CheckedOption.Word(
            "--acceptor-start", "What is known of that folder: again, first (the very first start) or replaced (its records were lost). Default again.", ["again", "first", "replaced"], [], "again");
        Option<string> log = CheckedOption.Word(
            "--log", "The least that it logs to the error stream: each step of a repair or a move is information. Default information.", [.. Levels.Keys], [], "information");
        Option<string?> plugIns = PlugInsOption();
        Option<long?> functionBudget = FunctionBudgetOption();
        var withParent = new Option<bool>("--with-parent") { Hidden = true };
        var command = new Command(
            "serve",
            $"Runs one server. It prints '{ServingAt}ADDRESS' once it serves, logs to the error stream, and at Ctrl+C or SIGTERM hands what it holds over to the others, leaves the cluster and ends. A second signal ends it at once: what it held is then gone, but for durable tables where it has a --journal.")
        {
            listen, advertise, transport, zone, join, leaveTimeout, memory, replicas, failureTimeout, register, acceptors, number, folder, start, journal, plugIns, functionBudget, log, report, segments, node, withParent,
        };
        command.Validators.Add(result => CheckTogether(result, listen, transport));
        command.Validators.Add(result =>
        {
            if (result.IsGiven(acceptors) != result.IsGiven(number))
            {
                result.AddError("--acceptors and --cluster-number belong together: acceptors answer no other cluster");
            }

            if (result.IsGiven(register) && result.IsGiven(acceptors))
            {
                result.AddError("--register and --acceptors contradict each other: either an etcd keeps the cluster's map, or servers of the cluster do");
            }

            if (result.IsGiven(journal) && !result.IsGiven(acceptors) && !result.IsGiven(register))
            {
                result.AddError("--journal needs --acceptors or --register: without the cluster's map nobody knows what the rows in a journal belong to");
            }

            string[] named = [.. (result.GetResult(acceptors)?.Tokens ?? []).SelectMany(token => token.Value.Split(','))];
            if (named.Length > 0 && (named.Length is not (1 or 3 or 5) || named.Distinct(StringComparer.Ordinal).Count() != named.Length))
            {
                result.AddError($"--acceptors names {string.Join(", ", named)}; it must be 1, 3 or 5 different addresses, so that a majority of them is known");
            }

            if (result.IsGiven(folder) && !result.IsGiven(acceptors))
            {
                result.AddError("--acceptor-folder needs --acceptors: all of them");
            }

            if (result.GetResult(start)?.Tokens is [Token word] && word.Value.Equals("replaced", StringComparison.OrdinalIgnoreCase)
                && result.GetResult(acceptors)?.Tokens is [Token only] && !only.Value.Contains(','))
            {
                result.AddError($"--acceptor-start replaced needs other acceptors to learn from, and --acceptors names {only.Value} alone. {AcceptorReplacement.Advice(1)}");
            }

            if (result.GetResult(number)?.Tokens is [Token digits, ..] && !IsNumber(digits.Value))
            {
                result.AddError($"--cluster-number is '{digits.Value}'; it must be 1 to 16 hexadecimal digits, not 0");
            }
        });
        command.SetAction((parsed, cancellation) =>
        {
            bool chosen = parsed.GetResult(listen) is { Implicit: false };
            var options = new ServeOptions
            {
                Listen = chosen || parsed.GetValue(transport) == Transport.Tcp ? parsed.GetValue(listen)! : FreePath(),
                Advertise = parsed.GetValue(advertise),
                Zone = parsed.GetValue(zone) ?? standard.Zone,
                Join = parsed.GetValue(join),
                Node = parsed.GetValue(node) is { } id ? ulong.Parse(id, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture) : null,
                MemoryBytes = parsed.GetValue(memory) ?? standard.MemoryBytes,
                SegmentBits = parsed.GetValue(segments) ?? standard.SegmentBits,
                Replicas = (int)parsed.GetValue(replicas),
                NodeTimeoutMs = parsed.GetValue(failureTimeout) ?? FailureTimeoutMs((int)parsed.GetValue(replicas)),
                EtcdRegister = parsed.GetValue(register),
                Journal = parsed.GetValue(journal),
                Functions = FunctionsOf(parsed.GetValue(plugIns)),
                FunctionBudgetMs = parsed.GetValue(functionBudget) ?? standard.FunctionBudgetMs,
                Register = parsed.GetValue(acceptors) is not { Length: > 0 } all ? null : new RegisterOptions
                {
                    Acceptors = all,
                    Cluster = ulong.Parse(parsed.GetValue(number)!, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture),
                    Folder = parsed.GetValue(folder),
                    Start = Starts[parsed.GetValue(start)!],
                },
            };
            bool isChild = parsed.GetValue(withParent);
            LogLevel level = isChild && parsed.GetResult(log) is not { Implicit: false } ? LogLevel.Warning : Levels[parsed.GetValue(log)!];
            return RunAsync(options, parsed.GetValue(report), parsed.GetValue(leaveTimeout), isChild, level, console, signals, cancellation);
        });
        return command;
    }

    public static Option<string?> AdvertiseOption() => CheckedOption.Address(
        "--advertise", "Where others reach it, where that is not where it listens; port 0 stands for the one listened on. Default: as --listen.", anyPort: true);

    public static Option<string?> ZoneOption() => CheckedOption.Text(
        "--zone", "What it dies together with, such as a machine or rack: copies of a segment are kept in different ones. Default: nothing.", "NAME");

    public static Option<long> LeaveTimeoutOption() => CheckedOption.Whole(
        "--leave-timeout", "How long it may take at Ctrl+C or SIGTERM to hand over what it holds; 0 ends it at once. Default 60000.", 60_000, 0, 86_400_000, "MS");

    /// <summary>The folder of a server's plug-ins.</summary>
    public static Option<string?> PlugInsOption() => CheckedOption.Text(
        "--plug-ins", "A folder of assemblies with functions of your own that clients may call, the same at every server (docs/functions.md). They run as this process: who may write there decides what it does. Default: none.", "FOLDER");

    /// <summary>How long such a function may take.</summary>
    public static Option<long?> FunctionBudgetOption() => CheckedOption.WholeOrNone(
        "--function-budget", $"How long a function may take for the rows of one segment, at most a quarter of --failure-timeout; meanwhile the server does nothing else. Default {new ServeOptions().FunctionBudgetMs}.", 1, 15_000, "MS");

    /// <summary>The functions of a folder; none where none is given.</summary>
    /// <exception cref="PlugInException">It cannot be loaded.</exception>
    public static IReadOnlyList<IServerFunction> FunctionsOf(string? folder) => folder is null ? [] : PlugInFolder.Load(folder).Functions;

    /// <summary>How long a server may be silent where nothing else was said.</summary>
    public static long FailureTimeoutMs(int replicas) => replicas > 0 ? 500 : new ServeOptions().NodeTimeoutMs;

    public static Option<long> ReplicasOption(string help) => CheckedOption.Whole("--replicas", help, 0, 0, 7, "K");

    private static readonly Dictionary<string, AcceptorStart> Starts = new()
    {
        ["again"] = AcceptorStart.Again,
        ["first"] = AcceptorStart.First,
        ["replaced"] = AcceptorStart.Replacement,
    };

    private static readonly Dictionary<string, LogLevel> Levels = new()
    {
        ["information"] = LogLevel.Information,
        ["warning"] = LogLevel.Warning,
        ["error"] = LogLevel.Error,
    };

    private static bool IsNumber(string text) => ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong number) && number != 0;

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

    // Which address a server has is known once it listens: only then does it show that the options do not fit it.
    private static async Task<WeirServer> StartAsync(ServeOptions options, StandardErrorLog loggers, CancellationToken cancellation)
    {
        try
        {
            return await WeirHost.ServeAsync(options, loggers, cancellation);
        }
        catch (ArgumentException wrong)
        {
            throw new ToolException(wrong.Message.Split(" (Parameter")[0], wrong);
        }
    }

    /// <summary>Ends the process, though a thread of it never comes back and may hold what an orderly end asks for.</summary>
    private static int EndNow()
    {
        const int PatienceMs = 5000;
        new Thread(() => Environment.Exit(ExitCode.Failed)) { IsBackground = true }.Start();
        Thread.Sleep(PatienceMs);
        using var self = Process.GetCurrentProcess();
        self.Kill();
        return ExitCode.Failed;
    }

    /// <summary>Runs a server until it is told to leave.</summary>
    public static async Task<int> RunAsync(
        ServeOptions options, string? reportPath, long leaveMs, bool withParent, LogLevel level, ToolConsole console, StopSignals signals, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        if (withParent)
        {
            signals.IgnoresInterrupt = true;
            _ = ParentPipe.FollowAsync(ParentPipe.Open(), signals, _ => { });
        }

        using var loggers = new StandardErrorLog(console.Error, level);
        await using WeirServer server = await StartAsync(options, loggers, cancellation);
        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, new ServeReport(server.Id, Environment.ProcessId, server.Address), ReportJson.Default.ServeReport);
        }

        console.Say(ServingAt + server.Address);
        if (options.Functions.Count > 0)
        {
            console.Say($"functions: {string.Join(", ", options.Functions.Select(function => function.Name))}");
        }

        try
        {
            await server.Completion.WaitAsync(cancellation);
            return ExitCode.Done;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // A child ends with its parent, and so does the whole cluster: nobody is left to take over.
            bool leaves = leaveMs > 0 && !(withParent && signals.Reason == ParentPipe.Ended);
            if (leaves && await server.LeaveAsync(leaveMs, CancellationToken.None) is { } stays)
            {
                console.Error.WriteLine($"the server at {server.Address} ends without having handed over what it holds: {stays}");
            }
            else if (leaves)
            {
                console.Say("handed over what it held, and left the cluster");
            }

            return ExitCode.Done;
        }
        catch (StuckFunctionException stuck)
        {
            console.Complain($"the server at {server.Address} stopped: {stuck.Message}");
            return EndNow();
        }
        catch (Exception) when (server.HasLeft)
        {
            console.Say("it was drained and the cluster has forgotten it");
            return ExitCode.Done;
        }
        catch (Exception exception)
        {
            throw new ToolException($"the server at {server.Address} stopped: {exception.Message}", exception);
        }
    }
}
