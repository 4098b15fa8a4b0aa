using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using System.IO.Compression;
using System.Text.Json;
using Weir.Cli.Reports;

namespace Weir.Cli.Bench;

/// <summary>What is trained on, and how long.</summary>
/// <param name="Data">A file in the format of LIBSVM, also .gz; null for the generated problem.</param>
/// <param name="Rows">Rows of the generated problem.</param>
/// <param name="Features">Its features.</param>
/// <param name="Training">Further words for <c>weir train</c>.</param>
internal sealed record OptimumSettings(string? Data, long Rows, long Features, IReadOnlyList<string> Training);

/// <summary>
/// How near delayed block proximal gradient comes to the optimum of L1-regularised logistic regression that an exact solver finds on the same rows in the same run: LIBLINEAR's <c>liblinear-train -s 6</c> (Yuan, Ho and Lin 2012).
/// </summary>
internal sealed class OptimumBench(OptimumSettings settings, ToolConsole console, StopSignals signals)
{
    private const string Solver = "liblinear-train";
    private const string ObjectiveLabel = "Objective value = ";
    private const ulong Seed = 1;

    /// <summary>Trains, and has the solver do the same.</summary>
    /// <exception cref="ToolException">The training failed, or the solver did.</exception>
    public async Task<OptimumReport> RunAsync(CancellationToken cancellation)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("weir-optimum-");
        try
        {
            string rows = await Task.Run(() => RowsIn(folder.FullName, cancellation), cancellation);
            string reportPath = Path.Combine(folder.FullName, "report.json");
            string[] words =
            [
                "train", "--method", "dbpg", "--train", rows, "--no-intercept", "--l1", "1", "--loss-scale", "sum", .. settings.Training, "--out", Path.Combine(folder.FullName, "model"), "--report", reportPath,
            ];
            if (Tool.Faults(words).FirstOrDefault() is { } fault)
            {
                throw new ToolException(fault);
            }

            if (await Tool.RunAsync(words, console, signals) != ExitCode.Done)
            {
                throw new ToolException("the training did not come to its end");
            }

            TrainReport trained = JsonSerializer.Deserialize(await File.ReadAllBytesAsync(reportPath, cancellation), ReportJson.Default.TrainReport)!;
            (double? optimum, double seconds) = await SolveAsync(rows, Path.Combine(folder.FullName, "solved"), cancellation);
            double objective = trained.Objective!.Value;
            var report = new OptimumReport(
                settings.Data ?? $"generated: {settings.Features} features, seed {Seed}", trained.Train.Rows, trained.Train.Nonzeros, trained.Train.Passes, trained.Step!.Value, trained.StepBound!.Value, objective, optimum,
                objective / optimum - 1, trained.Train.Seconds, seconds);
            Say(report);
            return report;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>The rows as plain text, which the solver reads.</summary>
    private string RowsIn(string folder, CancellationToken cancellation)
    {
        string path = Path.Combine(folder, "rows.libsvm");
        if (settings.Data is null)
        {
            console.Say($"generating {settings.Rows:N0} rows of {settings.Features:N0} features");
            _ = new SparseProblem(settings.Rows, settings.Features, Seed).Write(path, cancellation);
            return path;
        }

        if (!settings.Data.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
        {
            return settings.Data;
        }

        using var packed = new GZipStream(File.OpenRead(settings.Data), CompressionMode.Decompress);
        using FileStream plain = File.Create(path);
        packed.CopyTo(plain);
        return path;
    }

    /// <summary>What the solver ends with, and how long it took; null where it is not installed.</summary>
    private async Task<(double? Optimum, double Seconds)> SolveAsync(string rows, string model, CancellationToken cancellation)
    {
        long begin = Stopwatch.GetTimestamp();
        var start = new ProcessStartInfo(Solver, ["-s", "6", "-c", "1", "-B", "-1", "-e", "1e-5", rows, model]) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process? process;
        try
        {
            process = Process.Start(start);
        }
        catch (Win32Exception)
        {
            process = null;
        }

        if (process is null)
        {
            console.Say($"{Solver} is not installed (Debian: liblinear-tools): nothing to compare with");
            return (null, 0);
        }

        using (process)
        {
            try
            {
                Task<string> errors = process.StandardError.ReadToEndAsync(cancellation);
                string said = await process.StandardOutput.ReadToEndAsync(cancellation);
                await process.WaitForExitAsync(cancellation);
                int at = said.LastIndexOf(ObjectiveLabel, StringComparison.Ordinal);
                string number = at < 0 ? "" : said[(at + ObjectiveLabel.Length)..].Split('\n')[0].Trim();
                return process.ExitCode == 0 && double.TryParse(number, NumberStyles.Float, CultureInfo.InvariantCulture, out double optimum)
                    ? (optimum, Stopwatch.GetElapsedTime(begin).TotalSeconds)
                    : throw new ToolException($"{Solver} ended with {process.ExitCode} and named no objective: {(await errors).Trim()}");
            }
            finally
            {
                if (!process.HasExited)
                {
                    process.Kill();
                }
            }
        }
    }

    private void Say(OptimumReport report)
    {
        string against = report.Optimum is { } optimum
            ? string.Create(CultureInfo.InvariantCulture, $"; the optimum of {Solver} is {optimum:F4} after {report.SolverSeconds:F1} s: {report.Relative:E2} above it, relative")
            : "";
        console.Say(string.Create(CultureInfo.InvariantCulture, $"objective {report.Objective:F4} after {report.Passes} passes and {report.Seconds:F1} s, step {report.Step:G4} (bound {report.StepBound:G4}){against}"));
    }
}
