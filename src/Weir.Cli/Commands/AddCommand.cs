using System.CommandLine;
using Microsoft.Extensions.Logging;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Functions;
using Weir.Host;

namespace Weir.Cli.Commands;

/// <summary><c>weir add</c>: one more server for a running cluster, in this process.</summary>
internal static class AddCommand
{
    public static Command Create(ToolConsole console, StopSignals signals)
    {
        var standard = new ServeOptions();
        Option<string[]?> cluster = ClusterOption();
        Option<string?> listen = CheckedOption.Address(
            "--listen", "Where to listen; port 0 takes a free one. The default is reached from this machine only: others are a decision.", anyPort: true);
        listen.DefaultValueFactory = _ => standard.Listen;
        Option<string?> advertise = ServeCommand.AdvertiseOption();
        Option<string?> zone = ServeCommand.ZoneOption();
        Option<long?> memory = CheckedOption.WholeOrNone("--memory", "Memory for rows, state and index; beyond, new keys are refused. Default: no limit.", 1 << 20, 1L << 50, "BYTES");
        Option<long?> failureTimeout = CheckedOption.WholeOrNone(
            "--failure-timeout", "Silence after which a server counts as gone, the same at every server. Default 5000, or 500 where the cluster has replicas.", 500, 60_000, "MS");
        Option<long> leaveTimeout = ServeCommand.LeaveTimeoutOption();
        Option<string?> report = CheckedOption.Text("--report", "Write the server's id, process and address as JSON once it serves. Default: no file.", "FILE.json");
        Option<string?> plugIns = ServeCommand.PlugInsOption();
        Option<long?> functionBudget = ServeCommand.FunctionBudgetOption();
        var command = new Command(
            "add",
            $"Runs one more server of a running cluster: `weir serve --join` that asks the cluster what the others were told. It prints '{ServeCommand.ServingAt}ADDRESS' once it is a member, gets its share of the segments while training goes on, and runs until Ctrl+C or SIGTERM, when it hands them over again.")
        {
            cluster, listen, advertise, zone, memory, failureTimeout, leaveTimeout, plugIns, functionBudget, report,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            IReadOnlyList<IServerFunction> functions = ServeCommand.FunctionsOf(parsed.GetValue(plugIns));
            string manager;
            int replicas;
            await using (WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation))
            {
                ClusterStatus status = await client.GetStatusAsync(cancellation);
                (manager, replicas) = (status.Manager, status.Replicas);
            }

            var options = new ServeOptions
            {
                Listen = parsed.GetValue(listen)!,
                Advertise = parsed.GetValue(advertise),
                Zone = parsed.GetValue(zone) ?? standard.Zone,
                Join = manager,
                Functions = functions,
                FunctionBudgetMs = parsed.GetValue(functionBudget) ?? standard.FunctionBudgetMs,
                MemoryBytes = parsed.GetValue(memory) ?? standard.MemoryBytes,
                NodeTimeoutMs = parsed.GetValue(failureTimeout) ?? ServeCommand.FailureTimeoutMs(replicas),
            };
            return await ServeCommand.RunAsync(options, parsed.GetValue(report), parsed.GetValue(leaveTimeout), withParent: false, LogLevel.Information, console, signals, cancellation);
        });
        return command;
    }

    /// <summary>The cluster that an operator's command is about.</summary>
    public static Option<string[]?> ClusterOption()
    {
        Option<string[]?> cluster = CheckedOption.Addresses(
            "--cluster", $"Addresses of the cluster, one or more; gives up after {ClusterConnection.ConnectMs / 1000} s where nobody answers.");
        cluster.Required = true;
        return cluster;
    }

    /// <summary>The server that an operator's command is about.</summary>
    public static Argument<string> ServerArgument() => new("server") { Description = "The server's address, its id as `weir status` shows it, or the first digits of that.", HelpName = "SERVER" };
}
