using System.Text.Json;
using Weir.Cli;
using Weir.Cli.Bench;
using Weir.Sim;
using Weir.Tests.Learn;
using Weir.World;

namespace Weir.Tests.Cli;

/// <summary>The benchmarks of the tool: what they report, not how fast.</summary>
public sealed class BenchTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task Push_pull_reports_the_names_that_scripts_read_and_figures_that_agree_with_each_other(string transport)
    {
        ToolRun run = await ToolRun.Of(
            "bench", "push-pull", "--keys", "1000", "--width", "3", "--request-keys", "100", "--rule", "adagrad", "--filters", "zero,key-cache", "--seconds", "0.1", "--transport", transport, "--report", _folder["r.json"]);
        run.IsDone();
        Assert.Contains("rule adagrad; 100 keys a request, window 4, filters key-cache,zero", run.Output);
        using JsonDocument report = JsonDocument.Parse(await File.ReadAllTextAsync(_folder["r.json"], TestContext.Current.CancellationToken));
        Assert.Equal(["push", "pull", "pushPull", "raw"], Names(report.RootElement));
        Assert.Equal(["bytesPerSecond", "p50Us"], Names(report.RootElement.GetProperty("raw")));
        foreach ((string kind, int directions) in (ReadOnlySpan<(string, int)>)[("push", 1), ("pull", 1), ("pushPull", 2)])
        {
            JsonElement speed = report.RootElement.GetProperty(kind);
            Assert.Equal(["keysPerSecond", "bytesPerSecond", "p50Us", "p99Us", "p999Us"], Names(speed));
            double Figure(string name) => speed.GetProperty(name).GetDouble();
            Assert.True(Figure("keysPerSecond") > 0);

            // Three floats a key.
            Assert.Equal(Figure("keysPerSecond") * 12 * directions, Figure("bytesPerSecond"), 1.0);
            Assert.InRange(Figure("p50Us"), 0.1, Figure("p99Us"));
            Assert.InRange(Figure("p99Us"), 0.1, Figure("p999Us"));
        }

        Assert.True(report.RootElement.GetProperty("raw").GetProperty("bytesPerSecond").GetDouble() > 0);
        Assert.True(report.RootElement.GetProperty("raw").GetProperty("p50Us").GetDouble() > 0);
    }

    [Theory]
    [InlineData("uniform", "adagrad", 3)]
    [InlineData("zipf", "adam", 16)]
    public async Task Store_reports_the_names_that_scripts_read_and_what_its_rows_take(string distribution, string rule, int width)
    {
        ToolRun run = await ToolRun.Of(
            "bench", "store", "--rows", "20000", "--width", $"{width}", "--rule", rule, "--distribution", distribution, "--seconds", "0.1", "--report", _folder["r.json"]);
        run.IsDone();
        Assert.Contains($"rule {rule}; 128 segments; 20,000 keys a request, {distribution}; one thread", run.Output);
        using JsonDocument report = JsonDocument.Parse(await File.ReadAllTextAsync(_folder["r.json"], TestContext.Current.CancellationToken));
        Assert.Equal(["lookup", "update", "bytesPerKey", "bytesPerRow", "rowBytes"], Names(report.RootElement));
        foreach (string work in (string[])["lookup", "update"])
        {
            Assert.Equal(["rowsPerSecond", "bareRowsPerSecond"], Names(report.RootElement.GetProperty(work)));
            Assert.All(report.RootElement.GetProperty(work).EnumerateObject(), figure => Assert.True(figure.Value.GetDouble() > 0));
        }

        double Bytes(string name) => report.RootElement.GetProperty(name).GetDouble();
        Assert.Equal(rule == "adam" ? ((3 * width) + 2) * 4 : 2 * width * 4, Bytes("rowBytes"));
        Assert.InRange(Bytes("bytesPerKey"), 12, 30);
        Assert.InRange(Bytes("bytesPerRow"), Bytes("rowBytes") + Bytes("bytesPerKey"), 1.2 * (Bytes("rowBytes") + Bytes("bytesPerKey")));
    }

    [Fact]
    public async Task Store_says_before_it_allocates_that_the_machine_has_not_the_memory() =>
        (await ToolRun.Of("bench", "store", "--rows", "1000000000", "--width", "65536")).Complains(
            ExitCode.Failed, "1,000,000,000 rows of 65,536 floats under adagrad need 1,081,382.");

    [Fact]
    public async Task Failover_reports_the_names_that_scripts_read_and_that_nothing_was_lost()
    {
        ToolRun run = await ToolRun.Of("bench", "failover", "--kills", "1", "--keys-per-second", "1000", "--report", _folder["r.json"]);
        run.IsDone();
        Assert.Contains("1 kills, 0 of the manager", run.Output);
        JsonElement report = await ReportAsync();
        Assert.Equal(
            ["kills", "p50Ms", "p99Ms", "maxMs", "managerKills", "managerMaxMs", "mapP50Ms", "pushedKeysPerSecond", "acknowledged", "lost", "doubled"], Names(report));
        Assert.Equal((1, 0, 0, 0), (Figure(report, "kills"), Figure(report, "managerKills"), Figure(report, "lost"), Figure(report, "doubled")));
        Assert.InRange(Figure(report, "mapP50Ms"), 1, Figure(report, "maxMs"));
        Assert.Equal(Figure(report, "maxMs"), Figure(report, "p50Ms"));
        Assert.True(Figure(report, "acknowledged") > 0 && Figure(report, "pushedKeysPerSecond") > 0);
    }

    [Fact]
    public async Task Join_reports_the_names_that_scripts_read_and_that_nobody_but_the_newcomer_received_segments()
    {
        ToolRun run = await ToolRun.Of("bench", "join", "--keys", "1000", "--segment-rows", "16", "--seconds", "0.2", "--report", _folder["r.json"]);
        run.IsDone();
        JsonElement report = await ReportAsync();
        Assert.Equal(
            ["before", "during", "moveSeconds", "segmentsMoved", "share", "copiesReceived", "othersReceived", "longestStallMs", "longestBeforeMs", "largeSegmentMoveSeconds"],
            Names(report));
        Assert.All((string[])["before", "during"], phase => Assert.Equal(["bytesPerSecond"], Names(report.GetProperty(phase))));
        Assert.Equal(0, Figure(report, "othersReceived"));
        Assert.Equal(Figure(report, "segmentsMoved") / 512, Figure(report, "share"));
        Assert.InRange(Figure(report, "copiesReceived"), Figure(report, "segmentsMoved"), 512);
        Assert.True(Figure(report, "longestStallMs") > 0 && Figure(report, "longestBeforeMs") > 0);
    }

    [Fact]
    public async Task Filters_reports_the_names_that_scripts_read_and_draws_them()
    {
        ToolRun run = await ToolRun.Of(
            "bench", "filters", "--rows", "4000", "--test-rows", "500", "--batch", "500", "--passes", "2", "--report", _folder["r.json"], "--plot", _folder["p.png"]);
        run.IsDone();
        JsonElement report = await ReportAsync();
        Assert.Equal(["rows", "passes", "batchRows", "servers", "workers", "runs"], Names(report));
        JsonElement[] runs = [.. report.GetProperty("runs").EnumerateArray()];
        Assert.Equal(["kind", "filters", "pushBytes", "pullBytes", "uncompressedBytes", "byPass", "shareByPass", "logLoss", "seconds"], Names(runs[0]));
        Assert.Equal(["none", "alone", "cumulative", "together"], runs.Select(r => r.GetProperty("kind").GetString()).Distinct());
        Assert.Equal([1.0, 1.0], runs[0].GetProperty("shareByPass").EnumerateArray().Select(share => share.GetDouble()));
        Assert.Equal("lossless,int8,significant:2,top-k:0.5,skip:0.7", runs[^1].GetProperty("filters").GetString());
        Assert.InRange(Figure(runs[^1], "pushBytes"), 1, Figure(runs[0], "pushBytes") / 2);
        AssertIsPng(_folder["p.png"]);
    }

    [Fact]
    public async Task Optimum_reports_the_names_that_scripts_read_and_comes_near_where_there_is_an_exact_solver()
    {
        ToolRun run = await ToolRun.Of("bench", "optimum", "--rows", "2000", "--features", "500", "--report", _folder["r.json"], "--", "--passes", "150", "--delay", "0");
        run.IsDone();
        JsonElement report = await ReportAsync();
        Assert.Equal(["data", "rows", "nonzeros", "passes", "step", "stepBound", "objective", "optimum", "relative", "seconds", "solverSeconds"], Names(report));
        Assert.Equal((2000, 150), ((int)Figure(report, "rows"), (int)Figure(report, "passes")));
        if (report.GetProperty("optimum").ValueKind == JsonValueKind.Null)
        {
            Assert.Skip("liblinear-train is not installed");
        }

        Assert.InRange(Figure(report, "relative"), -1e-5, 1e-3);
    }

    [Fact]
    public async Task Structures_reports_the_names_that_scripts_read()
    {
        ToolRun run = await ToolRun.Of("bench", "structures", "--items", "2000", "--batch", "100", "--seconds", "0.1", "--report", _folder["r.json"]);
        run.IsDone();
        JsonElement report = await ReportAsync();
        Assert.Equal(["items", "batchItems", "window", "epsilon", "paperInsertsPerCoreSecond", "runs", "top", "rankingTopMs", "redisTopMs"], Names(report));
        JsonElement[] runs = [.. report.GetProperty("runs").EnumerateArray()];
        Assert.Equal(["kind", "distribution", "perSecond", "perCoreSecond", "clientCores", "serverCores"], Names(runs[0]));

        // With redis-server on the path there are its runs too.
        Assert.Equal(["sketch", "ranking", "sketch", "ranking"], runs.Select(r => r.GetProperty("kind").GetString()).Where(kind => kind != "redis"));
        Assert.All(runs, r => Assert.True(Figure(r, "perSecond") > 0 && Figure(r, "perCoreSecond") > 0));
        Assert.True(Figure(report, "rankingTopMs") > 0);
    }

    [Fact]
    public async Task Delay_reports_the_names_that_scripts_read_and_draws_them()
    {
        ToolRun run = await ToolRun.Of(
            "bench", "delay", "--rows", "4000", "--test-rows", "500", "--batch", "500", "--seeds", "1", "--step-ms", "5", "--report", _folder["r.json"], "--plot", _folder["p.png"]);
        run.IsDone();
        JsonElement report = await ReportAsync();
        Assert.Equal(["rows", "passes", "batchRows", "servers", "workers", "stepMs", "seeds", "bursts", "straggler"], Names(report));
        foreach (JsonElement[] runs in new[] { "bursts", "straggler" }.Select(name => report.GetProperty(name).EnumerateArray().ToArray()))
        {
            Assert.Equal(["delay", "seconds", "secondsToObjective", "computeShare", "waitShare", "logLoss", "logLossDifference", "differenceDeviation"], Names(runs[0]));
            Assert.Equal(["0", "1", "2", "4", "8", "16", ""], runs.Select(r => r.GetProperty("delay").ToString()));
            Assert.All(runs, r => Assert.InRange(Figure(r, "computeShare") + Figure(r, "waitShare"), 0.01, 1.05));
            Assert.All(runs, r => Assert.InRange(Figure(r, "secondsToObjective"), 0, Figure(r, "seconds")));
        }

        AssertIsPng(_folder["p.png"]);
    }

    private static void AssertIsPng(string path) => Assert.Equal([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], File.ReadAllBytes(path)[..8]);

    [Fact]
    public async Task The_simulation_of_clusters_reports_the_names_that_scripts_read_and_each_fault_by_its_name()
    {
        ToolRun run = await ToolRun.Of("sim", "cluster", "--seeds", "2", "--report", _folder["r.json"]);
        run.IsDone();
        Assert.Contains("2 seeds, ", run.Output);
        JsonElement report = await ReportAsync();
        Assert.Equal(
            ["seeds", "simulatedSeconds", "events", "faults", "faultSeeds", "faultSeedsDuringChange", "schedules", "pushes", "acknowledged", "missing", "violations"],
            Names(report));
        Assert.All((string[])["faults", "faultSeeds", "faultSeedsDuringChange"], counts => Assert.Equal(CamelCase<FaultKind>(), Names(report.GetProperty(counts))));
        Assert.Equal(CamelCase<NamedSchedule>(), Names(report.GetProperty("schedules")));
        Assert.Equal((2, 0, 0), (Figure(report, "seeds"), report.GetProperty("missing").GetArrayLength(), report.GetProperty("violations").GetArrayLength()));
        Assert.InRange(Figure(report, "acknowledged"), 1, Figure(report, "pushes"));
        Assert.True(Figure(report, "simulatedSeconds") > 1 && Figure(report, "events") > 1000);
    }

    /// <summary>Pearson's chi-square over the first ranks and the rest. The seed is fixed, so this fails for a wrong law and never by chance.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    [InlineData(1000)]
    [InlineData(1_000_000_000)]
    public void Zipf_draws_ranks_as_often_as_their_law_says(long ranks)
    {
        const int Draws = 1_000_000;
        const int Counted = 50;
        var sampler = new ZipfSampler(ranks, new Rng(7));
        int bars = (int)Math.Min(ranks, Counted);
        long[] counts = new long[bars + 1];
        for (int draw = 0; draw < Draws; draw++)
        {
            long rank = sampler.Next();
            Assert.InRange(rank, 1, ranks);
            counts[Math.Min(rank - 1, bars)]++;
        }

        // Euler and Maclaurin's harmonic number is exact to a double from here on.
        double harmonic = ranks <= 1000
            ? Enumerable.Range(1, (int)ranks).Sum(rank => 1.0 / rank)
            : Math.Log(ranks) + 0.57721566490153286 + (1.0 / (2.0 * ranks));
        double square = 0, rest = Draws;
        for (int rank = 1; rank <= bars; rank++)
        {
            double expected = Draws / (rank * harmonic);
            square += (counts[rank - 1] - expected) * (counts[rank - 1] - expected) / expected;
            rest -= expected;
        }

        square += rest < 1 ? 0 : (counts[bars] - rest) * (counts[bars] - rest) / rest;

        // Its mean is the number of bars, and its deviation the root of twice that.
        Assert.InRange(square, 0, bars + (4 * Math.Sqrt(2 * bars)));
    }

    private async Task<JsonElement> ReportAsync()
    {
        using JsonDocument report = JsonDocument.Parse(await File.ReadAllTextAsync(_folder["r.json"], TestContext.Current.CancellationToken));
        return report.RootElement.Clone();
    }

    private static double Figure(JsonElement report, string name) => report.GetProperty(name).GetDouble();

    private static string[] CamelCase<T>()
        where T : struct, Enum => [.. Enum.GetNames<T>().Select(name => char.ToLowerInvariant(name[0]) + name[1..])];

    private static string[] Names(JsonElement element) => [.. element.EnumerateObject().Select(property => property.Name)];
}
