namespace Weir.Cli;

/// <summary>Where a command writes: results to the output, complaints and log lines to the error stream. Thread-safe.</summary>
/// <param name="output">Results and progress.</param>
/// <param name="error">Complaints and log lines.</param>
/// <param name="isTerminal">Whether a person watches <paramref name="output"/>; else it goes to a file or a program, as plain lines.</param>
internal sealed class ToolConsole(TextWriter output, TextWriter error, bool isTerminal)
{
    public TextWriter Output { get; } = TextWriter.Synchronized(output);

    public TextWriter Error { get; } = TextWriter.Synchronized(error);

    public bool IsTerminal { get; } = isTerminal;

    public void Say(string line) => Output.WriteLine(line);

    /// <summary>Says on the error stream what a person should know; the name in front tells it from other programs' lines.</summary>
    public void Complain(string line) => Error.WriteLine($"weir: {line}");
}
