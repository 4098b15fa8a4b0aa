using System.Globalization;
using Weir.Cli.Commands;
using Weir.Cli.Reports;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Learn.Logistic;

namespace Weir.Cli.Bench;

/// <summary>
/// Trains on the generated click log once without filters, once with each, and with one more each time, and says how many bytes each pass took and how good the model became: the series of Li et al. 2014 (OSDI),
/// figures 11 and 12. With two servers and two workers a server's bytes are a worker's, so one figure stands for both.
/// </summary>
internal sealed class FilterBench(FilterSettings settings, ToolConsole console)
{
    private static readonly (string Kind, TrainingFilters Filters)[] Series =
    [
        ("none", default),
        ("alone", Wire(Filters.KeyCache)),
        ("alone", Wire(Filters.DeltaVarint)),
        ("alone", Wire(Filters.ZeroBitmap)),
        ("alone", Wire(Filters.RoundToBFloat16)),
        ("alone", Wire(Filters.RoundToInt8)),
        ("alone", Wire(Filters.Lz4)),
        ("alone", default(TrainingFilters) with { Significant = FilterSettings.Significant }),
        ("alone", default(TrainingFilters) with { TopK = FilterSettings.TopK }),
        ("alone", default(TrainingFilters) with { Skip = FilterSettings.Skip }),
        ("cumulative", Wire(Filters.KeyCache | Filters.DeltaVarint)),
        ("cumulative", Wire(Filters.Lossless)),
        ("cumulative", Wire(Filters.Lossless | Filters.RoundToInt8)),
        ("cumulative", Wire(Filters.Lossless | Filters.RoundToInt8) with { Significant = FilterSettings.Significant }),
        ("together", Wire(Filters.Lossless | Filters.RoundToInt8) with { Significant = FilterSettings.Significant, TopK = 0.5f, Skip = FilterSettings.Skip }),
    ];

    /// <summary>Runs all of them.</summary>
    public async Task<FilterReport> RunAsync(CancellationToken cancellation)
    {
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"the click log's {settings.Rows:N0} rows, {settings.Passes} passes in batches of {settings.BatchRows:N0}; {FilterSettings.Servers} servers with {1 << FilterSettings.SegmentBits} segments and {FilterSettings.Workers} workers in this process"));
        TrainingData data = await Task.Run(() => TrainingData.Open(new DataSettings(null, null, 1, settings.Rows, settings.TestRows), cancellation), cancellation);
        List<FilteredRun> runs = [];
        foreach ((string kind, TrainingFilters filters) in Series)
        {
            var options = new LogisticOptions
            {
                Passes = settings.Passes,
                BatchRows = settings.BatchRows,
                L1 = settings.L1,
                SignificantThreshold = filters.Significant,
                LargestFraction = filters.TopK,
                SendChance = filters.Skip,
            };
            TrainingOutcome outcome = await BenchedTraining.RunAsync(
                data, options, new BenchedCluster(FilterSettings.Servers, FilterSettings.SegmentBits, FilterSettings.Workers), filters.Wire, null, cancellation);
            IReadOnlyList<WireOfPass> plain = runs.Count == 0 ? outcome.ByPass : runs[0].ByPass;
            double[] shares = [.. outcome.ByPass.Zip(plain, (pass, without) => (double)(pass.PushBytes + pass.PullBytes) / (without.PushBytes + without.PullBytes))];
            var run = new FilteredRun(kind, FilterOption.Text(filters), outcome.Wire.PushBytes, outcome.Wire.PullBytes, outcome.Wire.UncompressedBytes, outcome.ByPass, shares, outcome.Test.LogLoss, outcome.Seconds);
            runs.Add(run);
            console.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"{kind,-10} {run.Filters,-52} {run.PushBytes / 1e6,7:F1} MB pushed, {run.PullBytes / 1e6,7:F1} MB pulled; by pass {string.Join(" ", shares.Select(share => share.ToString("F3", CultureInfo.InvariantCulture)))} of none's; log-loss {run.LogLoss:F5}, {run.Seconds:F1} s"));
        }

        return new FilterReport(settings.Rows, settings.Passes, settings.BatchRows, FilterSettings.Servers, FilterSettings.Workers, runs);
    }

    private static TrainingFilters Wire(Filters filters) => new(filters, null, null, null);
}
