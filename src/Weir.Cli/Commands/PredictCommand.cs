using System.CommandLine;
using System.Globalization;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Cli.Commands;

/// <summary><c>weir predict</c>.</summary>
internal static class PredictCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<string> model = CheckedOption.RequiredText("--model", "The model file.", "FILE");
        Option<string> data = CheckedOption.RequiredText("--data", "Rows in LIBSVM text, plain or gzip; their labels are not used.", "FILE");
        Option<string?> output = CheckedOption.Text("--out", "Where to write the probabilities. Default: the standard output, to be piped on.", "FILE");
        var command = new Command("predict", "Writes the probability of label 1 for each row, one a line, in order.") { model, data, output };
        command.SetAction((parsed, cancellation) =>
            RunAsync(console, parsed.GetValue(model)!, parsed.GetValue(data)!, parsed.GetValue(output), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ToolConsole console, string modelPath, string dataPath, string? outPath, CancellationToken cancellation)
    {
        LinearModel model = ModelFile.Read(modelPath);
        var data = new LibsvmFile(dataPath);

        // All of it is checked first, so that no reader of the output gets half of it.
        await Task.Run(() => data.Scan(cancellation), cancellation);
        if (outPath is null)
        {
            // Lines are gathered: the tool's own output is flushed line by line.
            var lines = new StringWriter();
            await PredictAsync(model, data, lines, cancellation);
            await console.Output.WriteAsync(lines.ToString());
            return ExitCode.Done;
        }

        if (Directory.Exists(outPath))
        {
            throw new ToolException($"{outPath}: is a folder; --out takes a file");
        }

        string temporary = outPath + ".tmp";
        await using (var file = new StreamWriter(temporary))
        {
            await PredictAsync(model, data, file, cancellation);
        }

        File.Move(temporary, outPath, overwrite: true);
        return ExitCode.Done;
    }

    private static Task PredictAsync(LinearModel model, LibsvmFile data, TextWriter lines, CancellationToken cancellation) =>
        Evaluation.PredictAsync(
            data,
            model.LookupAsync,
            model.InterceptKey,
            probability => lines.Write(string.Create(CultureInfo.InvariantCulture, $"{probability:R}\n")),
            cancellation);
}
