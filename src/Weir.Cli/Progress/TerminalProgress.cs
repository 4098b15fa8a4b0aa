using Spectre.Console;
using Weir.Cli.Training;

namespace Weir.Cli.Progress;

/// <summary>A bar on a terminal, redrawn in place.</summary>
internal sealed class TerminalProgress : IProgressDisplay
{
    private const int RedrawMs = 200;

    private readonly IAnsiConsole _terminal;
    private readonly int _passes;

    public TerminalProgress(ToolConsole console, int passes)
    {
        _passes = passes;
        _terminal = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(console.Output) });
    }

    public Task ShowAsync(TrainingMeter meter, Task work) => _terminal.Progress()
        .AutoClear(true)
        .Columns(new ProgressBarColumn(), new TaskDescriptionColumn { Alignment = Justify.Left })
        .StartAsync(async context =>
        {
            ProgressTask bar = context.AddTask("training", maxValue: 1);
            using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(RedrawMs));
            while (await Task.WhenAny(work, timer.WaitForNextTickAsync().AsTask()) != work)
            {
                TrainingMoment now = meter.Now();
                bar.Value = now.Share;
                bar.Description = Markup.Escape(PlainProgress.Line(now, _passes));
            }
        });

    // Through the terminal's own writer, which moves the bar out of the way.
    public void Say(string line) => _terminal.WriteLine(line);

    public void Note(string line) => _terminal.WriteLine($"weir: {line}");
}
