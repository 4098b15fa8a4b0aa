using System.CommandLine;
using Weir.Cli.Training;

namespace Weir.Cli.Commands;

/// <summary><c>weir train</c>.</summary>
internal static class TrainCommand
{
    public static Command Create(ToolConsole console, StopSignals signals)
    {
        var command = new Command(
            "train",
            "Trains sparse logistic regression and writes the model, its quality and, if asked, a report. Ctrl+C stops cleanly and writes the model so far, "
            + "without a report, and the exit code is 1; a second one ends at once.");
        var options = new TrainOptions();
        foreach (Option option in options.All)
        {
            command.Options.Add(option);
        }

        command.Validators.Add(options.CheckTogether);
        command.SetAction((parsed, _) => new TrainingRun(options.Read(parsed), console, signals).RunAsync());
        return command;
    }
}
