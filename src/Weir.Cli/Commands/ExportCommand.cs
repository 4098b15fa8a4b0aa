using System.CommandLine;
using Weir.Learn.Data;

namespace Weir.Cli.Commands;

/// <summary><c>weir export</c>.</summary>
internal static class ExportCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<string> model = CheckedOption.RequiredText("--model", "The model file.", "FILE");
        Option<string> output = CheckedOption.RequiredText("--out", "The text file.", "FILE");
        var command = new Command("export", "Writes a model as text: a line with key, tab and weight for each weight that is not 0, keys ascending.") { model, output };
        command.SetAction(parsed =>
        {
            LinearModel read = ModelFile.Read(parsed.GetValue(model)!);
            ModelFile.WriteText(parsed.GetValue(output)!, read);
            console.Say($"{read.Count} weights written to {parsed.GetValue(output)}");
            return ExitCode.Done;
        });
        return command;
    }
}
