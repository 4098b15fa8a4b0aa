using System.CommandLine;
using System.Globalization;
using ScottPlot;
using Weir.Cli.Commands;

namespace Weir.Cli.Reports;

/// <summary>Draws reports as PNG files.</summary>
internal static class PlotFile
{
    private const int Width = 1100, Height = 620;
    private const float TickDegrees = 35;

    /// <summary>The option <c>--plot</c>.</summary>
    public static Option<string?> Option() => CheckedOption.Text("--plot", "Also draw it as a PNG. Default: no file.", "FILE.png");

    /// <summary>Says before the work what would keep the file from being written after it.</summary>
    /// <exception cref="ToolException">The path is a folder, its folder does not exist, or it is no PNG by its name.</exception>
    public static void Check(string? path)
    {
        JsonFile.Check(path, "--plot");
        if (path is not null && !path.EndsWith(".png", StringComparison.OrdinalIgnoreCase))
        {
            throw new ToolException($"{path}: --plot writes a PNG, so the name must end with .png");
        }
    }

    /// <summary>Bytes of each run of <c>weir bench filters</c>, pass on pass.</summary>
    public static void Write(string path, FilterReport report)
    {
        using Plot plot = Bars([.. report.Runs.Select(run => run.Filters)]);
        for (int pass = 0; pass < report.Passes; pass++)
        {
            Bar[] bars = [.. report.Runs.Select((run, at) => new Bar
            {
                Position = at,
                ValueBase = Megabytes(run, pass),
                Value = Megabytes(run, pass + 1),
                FillColor = plot.Add.Palette.GetColor(pass),
            })];
            plot.Add.Bars(bars).LegendText = $"pass {pass + 1}";
        }

        plot.Axes.Margins(bottom: 0);
        plot.YLabel("MB of frames, pushed and pulled");
        plot.Title($"The click log's {report.Rows:N0} rows, batches of {report.BatchRows:N0}, {report.Servers} servers, {report.Workers} workers");
        plot.ShowLegend(Alignment.UpperRight);
        Save(plot, path);
    }

    /// <summary>How workers spent their time under each delay bound of <c>weir bench delay</c>, and how long they took.</summary>
    public static void Write(string path, DelayReport report)
    {
        (string Name, IReadOnlyList<DelayedRun> Runs)[] cases = [("bursts", report.Bursts), ("straggler", report.Straggler)];
        DelayedRun[] runs = [.. cases.SelectMany(of => of.Runs)];
        using Plot plot = Bars([.. cases.SelectMany(of => of.Runs.Select(run => $"{of.Name}, delay {run.Delay?.ToString(CultureInfo.InvariantCulture) ?? "none"}"))]);
        (string Legend, Func<DelayedRun, double> From, Func<DelayedRun, double> To)[] parts =
        [
            ("computed", _ => 0, run => run.ComputeShare * run.Seconds),
            ("waited", run => run.ComputeShare * run.Seconds, run => (run.ComputeShare + run.WaitShare) * run.Seconds),
            ("between the two, or done", run => (run.ComputeShare + run.WaitShare) * run.Seconds, run => run.Seconds),
        ];
        foreach ((string legend, Func<DelayedRun, double> from, Func<DelayedRun, double> to) in parts)
        {
            Color color = plot.Add.Palette.GetColor(plot.PlottableList.Count);
            plot.Add.Bars((Bar[])[.. runs.Select((run, at) => new Bar { Position = at, ValueBase = from(run), Value = to(run), FillColor = color })]).LegendText = legend;
        }

        plot.Axes.Margins(bottom: 0);
        plot.YLabel("seconds of a worker");
        plot.Title($"{report.Workers} workers, {report.StepMs} ms an iteration, slow ones three times that (simulated); mean of {report.Seeds} {(report.Seeds == 1 ? "seed" : "seeds")}");
        plot.ShowLegend(Alignment.UpperRight);
        Save(plot, path);
    }

    private static double Megabytes(FilteredRun run, int passes) => run.ByPass.Take(passes).Sum(pass => pass.PushBytes + pass.PullBytes) / 1e6;

    private static Plot Bars(string[] names)
    {
        var plot = new Plot();
        plot.Axes.Bottom.SetTicks([.. Enumerable.Range(0, names.Length).Select(at => (double)at)], names);
        plot.Axes.Bottom.TickLabelStyle.Rotation = -TickDegrees;
        plot.Axes.Bottom.TickLabelStyle.Alignment = Alignment.MiddleRight;
        plot.Axes.Bottom.MinimumSize = Height / 3f;
        plot.Axes.Left.MinimumSize = Width / 10f;
        return plot;
    }

    private static void Save(Plot plot, string path)
    {
        try
        {
            plot.SavePng(path, Width, Height);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ToolException($"{path}: the plot cannot be written: {exception.Message}", exception);
        }
    }
}
