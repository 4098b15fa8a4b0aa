using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Weir.Cli.Commands;
using Weir.Client;
using Weir.Host.PlugIns;
using Weir.Learn.Data;

namespace Weir.Cli;

/// <summary>The tool: parses the command line, runs the command, and turns what went wrong into one line and an exit code.</summary>
internal static class Tool
{
    /// <summary>Runs one command line.</summary>
    /// <returns>One of <see cref="ExitCode"/>.</returns>
    public static async Task<int> RunAsync(string[] arguments, ToolConsole console, StopSignals signals)
    {
        ParseResult parsed = Parse(arguments, console, signals);
        if (parsed.Action is ParseErrorAction fault)
        {
            foreach (string line in UsageFaults.Describe(parsed, fault))
            {
                console.Complain(line);
            }

            return ExitCode.Usage;
        }

        var configuration = new InvocationConfiguration
        {
            Output = console.Output,
            Error = console.Error,
            EnableDefaultExceptionHandler = false,

            // The signals are the tool's own business: a first one stops a training run cleanly, however long that takes.
            ProcessTerminationTimeout = null,
        };
        try
        {
            return await parsed.InvokeAsync(configuration, signals.Token);
        }
        catch (PlugInException wrong)
        {
            // Plug-ins are loaded before anything begins.
            console.Complain(wrong.Message);
            return ExitCode.Usage;
        }
        catch (Exception exception)
        {
            console.Complain(Describe(exception, signals));
            return ExitCode.Failed;
        }
    }

    /// <summary>What is wrong with a command line, a line for each fault. Nothing is run.</summary>
    public static IEnumerable<string> Faults(string[] arguments)
    {
        using var signals = new StopSignals();
        ParseResult parsed = Parse(arguments, new ToolConsole(TextWriter.Null, TextWriter.Null, isTerminal: false), signals);
        return parsed.Action is ParseErrorAction fault ? UsageFaults.Describe(parsed, fault) : [];
    }

    private static ParseResult Parse(string[] arguments, ToolConsole console, StopSignals signals) =>
        Root(console, signals).Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });

    // Not the parser's own root command, which bears the name of the assembly.
    private static Command Root(ToolConsole console, StopSignals signals) => new(
        "weir",
        "Weir keeps a model in the memory of many servers and trains it with many workers. "
        + "`weir train` alone starts a small cluster in this process and trains on a generated click log.")
    {
        new HelpOption(),
        TrainCommand.Create(console, signals),
        EvaluateCommand.Create(console),
        PredictCommand.Create(console),
        ExportCommand.Create(console),
        ServeCommand.Create(console, signals),
        UpCommand.Create(console),
        AddCommand.Create(console, signals),
        DrainCommand.Create(console),
        ForgetCommand.Create(console),
        StatusCommand.Create(console),
        NamespaceCommand.Create(console),
        WorkersCommand.Create(console),
        CheckpointCommand.Create(console),
        new Command("bench", "Measures how fast Weir is on this machine.")
        {
            BenchPushPullCommand.Create(console), BenchStoreCommand.Create(console), BenchFailoverCommand.Create(console), BenchJoinCommand.Create(console),
            BenchCheckpointCommand.Create(console), BenchFiltersCommand.Create(console), BenchDelayCommand.Create(console), BenchOptimumCommand.Create(console, signals),
            BenchStructuresCommand.Create(console),
        },
        new Command("sim", "Plays clusters in simulated time.") { SimClusterCommand.Create(console) },
        HostWorkersCommand.Create(console, signals),
        BenchSinkCommand.Create(console, signals),
    };

    private static string Describe(Exception exception, StopSignals signals) => exception switch
    {
        ToolException or DataException or WeirException => exception.Message,
        OperationCanceledException when signals.Token.IsCancellationRequested => $"stopped by {signals.Reason}",
        IOException or UnauthorizedAccessException => exception.Message,
        _ => $"this is a defect of Weir, please report it with what follows: {exception}",
    };
}
