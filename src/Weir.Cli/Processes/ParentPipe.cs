using System.Text;

namespace Weir.Cli.Processes;

/// <summary>
/// A child's standard input: lines from its parent, and its end when the parent has closed it or is no more, upon which the child ends too.
/// </summary>
internal static class ParentPipe
{
    /// <summary>The reason of a stop that its parent brought about.</summary>
    public const string Ended = "the end of the parent process";

    // A child that does not come to its end in this time, in milliseconds, is stuck, and nobody is left to end it.
    private const int StopMs = 4000;

    /// <summary>Reads lines until the parent closes the pipe, then stops this process.</summary>
    /// <param name="input">The standard input.</param>
    /// <param name="signals">Stopped at the end.</param>
    /// <param name="take">Called with each line.</param>
    public static async Task FollowAsync(TextReader input, StopSignals signals, Action<string> take)
    {
        // A read of a console stream holds its thread, so it gets one that the pool can spare.
        await Task.Yield();
        while (await Task.Run(input.ReadLine) is { } line)
        {
            take(line);
        }

        signals.Stop(Ended);
        await Task.Delay(StopMs);
        Environment.Exit(ExitCode.Failed);
    }

    public static TextReader Open() => new StreamReader(Console.OpenStandardInput(), Encoding.UTF8);
}
