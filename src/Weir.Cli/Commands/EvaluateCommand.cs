using System.CommandLine;
using Weir.Cli.Reports;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Cli.Commands;

/// <summary><c>weir evaluate</c>.</summary>
internal static class EvaluateCommand
{
    public static Command Create(ToolConsole console)
    {
        Option<string> model = CheckedOption.RequiredText("--model", "The model file.", "FILE");
        Option<string> test = CheckedOption.RequiredText("--test", "Rows to measure on, LIBSVM text, plain or gzip.", "FILE");
        Option<string?> report = CheckedOption.Text("--report", "Also write what was measured as JSON. Default: no file.", "FILE.json");
        var command = new Command("evaluate", "Measures a model on labelled rows: log-loss in nats, AUC, accuracy.") { model, test, report };
        command.SetAction((parsed, cancellation) =>
            RunAsync(console, parsed.GetValue(model)!, parsed.GetValue(test)!, parsed.GetValue(report), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ToolConsole console, string modelPath, string testPath, string? reportPath, CancellationToken cancellation)
    {
        JsonFile.Check(reportPath);
        LinearModel model = ModelFile.Read(modelPath);
        var test = new LibsvmFile(testPath);
        DataSummary summary = await Task.Run(() => test.Scan(cancellation), cancellation);
        BinaryQuality quality = await Evaluation.MeasureAsync(test, model.LookupAsync, model.InterceptKey, cancellation);
        TestQuality measured = QualityText.Of(quality, summary.BaseRate);
        console.Say($"model {modelPath}: {model.Count} weights not 0");
        foreach (string line in QualityText.Lines(measured, "these rows' own base rate"))
        {
            console.Say(line);
        }

        if (reportPath is not null)
        {
            JsonFile.Write(reportPath, new EvaluateReport(measured, new ModelOfFile(model.Count, modelPath)), ReportJson.Default.EvaluateReport);
        }

        return ExitCode.Done;
    }
}
