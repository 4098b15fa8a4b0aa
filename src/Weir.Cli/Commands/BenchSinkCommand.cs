using System.CommandLine;
using Weir.Cli.Bench;
using Weir.Cli.Processes;

namespace Weir.Cli.Commands;

/// <summary>The hidden command that a benchmark's other process runs: it throws away what it is sent until its parent ends it.</summary>
internal static class BenchSinkCommand
{
    public static Command Create(ToolConsole console, StopSignals signals)
    {
        var address = new Argument<string>("address");
        var command = new Command(RawLink.SinkName, "The other end of the bare socket of weir bench.") { address };
        command.Hidden = true;
        command.SetAction(async (parsed, cancellation) =>
        {
            signals.IgnoresInterrupt = true;
            using var sink = new RawSink(parsed.GetValue(address)!);
            var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            await using CancellationTokenRegistration stop = signals.Token.Register(stopped.SetResult);
            _ = ParentPipe.FollowAsync(ParentPipe.Open(), signals, _ => { });
            console.Say(ServeCommand.ServingAt + sink.Address);
            await stopped.Task;
            return ExitCode.Done;
        });
        return command;
    }
}
