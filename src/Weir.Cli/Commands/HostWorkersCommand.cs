using System.CommandLine;
using System.Globalization;
using Weir.Cli.Processes;
using Weir.Cli.Progress;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Host.PlugIns;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.ProximalGradient;

namespace Weir.Cli.Commands;

/// <summary>The hidden command that a training run's worker processes run: it hosts workers until all of the job have finished.</summary>
internal static class HostWorkersCommand
{
    public static Command Create(ToolConsole console, StopSignals signals)
    {
        var command = new Command(WorkerProcesses.HostWorkersName, "Hosts workers for weir train --processes.") { Hidden = true };
        command.SetAction((_, cancellation) => RunAsync(console, signals, ParentPipe.Open(), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ToolConsole console, StopSignals signals, TextReader input, CancellationToken cancellation)
    {
        signals.IgnoresInterrupt = true;
        HostOrder order = HostLineJson.ReadOrder(await Task.Run(input.ReadLine, cancellation));
        var gate = new PauseGate();
        _ = ParentPipe.FollowAsync(input, signals, line => gate.Lift(int.Parse(line, CultureInfo.InvariantCulture)));
        try
        {
            await HostAsync(order, gate, console, cancellation);
            return ExitCode.Done;
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ExitCode.Failed;
        }
        catch (Exception exception) when (exception is WeirException or DataException or PlugInException)
        {
            console.Say(HostLineJson.Write(new HostLine(null, default, exception.Message)));
            return ExitCode.Failed;
        }
    }

    private static async Task HostAsync(HostOrder order, PauseGate gate, ToolConsole console, CancellationToken cancellation)
    {
        ISparseSource rows = TrainingData.Sources(order.Data).Train;
        ILinearTraining training = order.ProximalGradient is { } options
            ? new ProximalGradientTraining(options, rows, order.Summary)
            : new LogisticTraining(order.Learning, rows, order.Summary) { OwnFilters = order.OwnFilters?.Load() ?? [] };
        await using WeirClient client = await ClusterConnection.OpenAsync(order.Addresses, order.Filters, null, cancellation, order.Namespace);
        Job job = await client.FindJobAsync(order.Group, cancellation);
        WeirTable table = await client.OpenTableAsync(training.Table(order.Table, job), cancellation);
        var workers = new HostedWorkers(
            training, table, order.Pauses, gate, step => console.Say(HostLineJson.Write(new HostLine(step, client.Counters, null))));
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _ = RoomNotes.RunAsync(client, console.Error.WriteLine, end.Token);
        await client.HostWorkersAsync(job, workers.RunAsync, cancellation);
        await end.CancelAsync();
    }
}
