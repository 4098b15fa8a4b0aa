using System.CommandLine;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary><c>weir drain</c>: a server hands over all it holds, so that it may be stopped.</summary>
internal static class DrainCommand
{
    public static Command Create(ToolConsole console)
    {
        Argument<string> server = AddCommand.ServerArgument();
        Option<string[]?> cluster = AddCommand.ClusterOption();
        var undo = new Option<bool>("--undo") { Description = "The server gets segments again." };
        var command = new Command(
            "drain",
            "Has a server hand over all that it holds, while training goes on, and returns once it is empty. It stays a member without segments: stop it, or let it have segments again with --undo.")
        {
            server, cluster, undo,
        };
        command.SetAction((parsed, cancellation) => RunAsync(console, parsed.GetValue(server)!, parsed.GetValue(cluster)!, parsed.GetValue(undo), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ToolConsole console, string server, string[] addresses, bool undoes, CancellationToken cancellation)
    {
        await using WeirClient client = await ClusterConnection.OpenAsync(addresses, Filters.None, null, cancellation);
        if (undoes)
        {
            await client.UndrainServerAsync(server, cancellation);
            console.Say($"server {server} gets segments again");
            return ExitCode.Done;
        }

        try
        {
            await client.DrainServerAsync(server, new SegmentsLeft(console), cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            throw new ToolException($"stopped waiting; the cluster goes on draining server {server}: `weir drain {server} --undo` ends that");
        }

        console.Say($"server {server} is empty: it may be stopped");
        return ExitCode.Done;
    }

    /// <summary>A line a second at most, so that a large drain fills no screen.</summary>
    private sealed class SegmentsLeft(ToolConsole console) : IProgress<int>
    {
        private const long EveryMs = 1000;

        private long _next;

        public void Report(int value)
        {
            if (Environment.TickCount64 >= _next && value > 0)
            {
                _next = Environment.TickCount64 + EveryMs;
                console.Say($"{value} segments left");
            }
        }
    }
}
