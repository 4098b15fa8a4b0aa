using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Weir.Cli;
using Weir.Cli.Commands;
using Weir.Client;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>Training, measuring and predicting with servers and workers in this process.</summary>
public sealed class TrainTests : IDisposable
{
    private static readonly string[] Small = ["--rows", "4000", "--test-rows", "1000", "--batch", "200"];

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_writes_a_model_its_quality_and_a_report_with_the_names_that_scripts_read()
    {
        ToolRun run = await ToolRun.Of(["train", .. Small, "--out", _folder["model"], "--report", _folder["r.json"], "--servers", "3"]);
        run.IsDone();
        Assert.Contains("of the way there", run.Output);
        using JsonDocument report = Json("r.json");
        JsonElement root = report.RootElement;
        Assert.Equal(["train", "test", "model", "cluster", "wire"], Names(root));
        Assert.Equal(["rows", "nonzeros", "passes", "seconds", "rowsPerSecond"], Names(root.GetProperty("train")));
        Assert.Equal(["rows", "logLoss", "auc", "accuracy", "baseLogLoss", "bestLogLoss"], Names(root.GetProperty("test")));
        Assert.Equal(["rows", "nonZero", "path"], Names(root.GetProperty("model")));
        Assert.Equal(["servers", "workers", "delay", "segments"], Names(root.GetProperty("cluster")));
        Assert.Equal(["pushBytes", "pullBytes", "uncompressedBytes", "replicationBytes", "keys", "values", "filters", "byFilter", "byPass"], Names(root.GetProperty("wire")));
        JsonElement[] servers = [.. root.GetProperty("cluster").GetProperty("servers").EnumerateArray()];
        JsonElement[] workers = [.. root.GetProperty("cluster").GetProperty("workers").EnumerateArray()];
        Assert.Equal(3, servers.Length);
        Assert.Equal(["id", "pid", "address", "rows"], Names(servers[0]));
        Assert.Equal(JsonValueKind.String, servers[0].GetProperty("id").ValueKind);
        Assert.Equal(root.GetProperty("model").GetProperty("rows").GetInt64(), servers.Sum(server => server.GetProperty("rows").GetInt64()));
        Assert.Equal(["id", "pid", "rows", "clock", "firstIteration", "lastIteration", "staleness", "computeSeconds", "waitSeconds"], Names(workers[1]));
        Assert.InRange(workers[1].GetProperty("staleness").GetInt64(), 0, 1);
        Assert.Equal([1, 6000, 30, 1, 30], new[] { "id", "rows", "clock", "firstIteration", "lastIteration" }.Select(name => workers[1].GetProperty(name).GetInt64()));
        Assert.Equal(512, root.GetProperty("cluster").GetProperty("segments").GetInt32());
        Assert.Equal(ModelFile.Read(_folder["model/model.weir"]).Count, root.GetProperty("model").GetProperty("nonZero").GetInt32());
        Assert.True(root.GetProperty("test").GetProperty("logLoss").GetDouble() < root.GetProperty("test").GetProperty("baseLogLoss").GetDouble());
    }

    [Fact]
    public async Task Filters_are_listed_in_the_report_and_take_bytes_from_the_wire()
    {
        long plain = 0;
        foreach (string filters in (string[])["none", "zero,varint", "lossless"])
        {
            ToolRun run = await ToolRun.Of(
                ["train", .. Small, "--segments", "64", "--servers", "1", "--out", _folder["model"], "--report", _folder["r.json"], "--filters", filters]);
            run.IsDone();
            using JsonDocument report = Json("r.json");
            JsonElement wire = report.RootElement.GetProperty("wire");
            Assert.Equal(filters == "zero,varint" ? "varint,zero" : filters, wire.GetProperty("filters").GetString());
            long bytes = wire.GetProperty("pushBytes").GetInt64() + wire.GetProperty("pullBytes").GetInt64();
            plain = filters == "none" ? bytes : plain;
            Assert.True(filters == "none" || bytes < plain * 0.9, $"{bytes} bytes with {filters}, {plain} without");
            Assert.InRange(wire.GetProperty("uncompressedBytes").GetInt64(), plain * 0.99, plain * 1.01);
            JsonElement[] passes = [.. wire.GetProperty("byPass").EnumerateArray()];
            Assert.Equal(3, passes.Length);
            Assert.Equal(bytes, passes.Sum(pass => pass.GetProperty("pushBytes").GetInt64() + pass.GetProperty("pullBytes").GetInt64()));
        }
    }

    /// <summary>With one worker, bit-exact but for what the filters choose: the rows that they hold back arrive by the end.</summary>
    [Theory]
    [InlineData("significant:0.5", 0.9)]
    [InlineData("top-k:0.3", 0.9)]
    [InlineData("significant:0.5,skip:0.7", 0.9)]
    public async Task Filters_of_rows_take_bytes_and_leave_the_quality(string filters, double most)
    {
        (long plain, double loss) = await TrainAsync("lossless");
        (long bytes, double filtered) = await TrainAsync($"lossless,{filters}");
        Assert.True(bytes < plain * most, $"{bytes} bytes of pushes, {plain} without");
        Assert.InRange(filtered, loss - 0.01, loss + 0.01);

        async Task<(long PushBytes, double LogLoss)> TrainAsync(string named)
        {
            (await ToolRun.Of(["train", .. Small, "--segments", "64", "--servers", "1", "--out", _folder["model"], "--report", _folder["r.json"], "--filters", named])).IsDone();
            using JsonDocument report = Json("r.json");
            JsonElement wire = report.RootElement.GetProperty("wire");
            Assert.Equal(named, wire.GetProperty("filters").GetString());
            return (wire.GetProperty("pushBytes").GetInt64(), report.RootElement.GetProperty("test").GetProperty("logLoss").GetDouble());
        }
    }

    [Fact]
    public async Task With_delay_0_the_model_file_is_the_same_for_any_number_of_servers_with_filters_and_with_pauses_to_measure()
    {
        var files = new List<byte[]>();
        foreach (string[] more in (string[][])[["--servers", "1"], ["--servers", "2"], ["--servers", "4", "--segments", "128"], ["--servers", "2", "--filters", "lossless"]])
        {
            (await ToolRun.Of(["train", .. Small, "--out", _folder["model"], "--delay", "0", "--workers", "4", .. more])).IsDone();
            files.Add(await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken));
        }

        ToolRun measured = await ToolRun.Of(["train", .. Small, "--out", _folder["model"], "--delay", "0", "--workers", "4", "--evaluate-every", "1"]);
        measured.IsDone();
        Assert.Contains("after 1 passes: test log-loss", measured.Output);
        Assert.Contains("after 2 passes: test log-loss", measured.Output);
        if (!measured.Output.Contains("best model measured", StringComparison.Ordinal))
        {
            files.Add(await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken));
        }

        Assert.All(files, file => Assert.Equal(files[0], file));
    }

    [Fact]
    public async Task Rare_keys_take_no_rows_where_that_is_asked_for_and_the_model_still_learns()
    {
        long all = await RowsAsync([]), admitted = await RowsAsync(["--admit-after", "5"]);
        Assert.InRange(admitted, 100, all / 2);
        Assert.InRange(await RowsAsync(["--expire-after", "10", "--rule", "adagrad"]), 100, all);

        async Task<long> RowsAsync(string[] more)
        {
            (await ToolRun.Of(["train", .. Small, "--out", _folder["model"], "--report", _folder["r.json"], .. more])).IsDone();
            using JsonDocument report = Json("r.json");
            JsonElement test = report.RootElement.GetProperty("test");
            Assert.True(test.GetProperty("logLoss").GetDouble() < test.GetProperty("baseLogLoss").GetDouble());
            return report.RootElement.GetProperty("model").GetProperty("rows").GetInt64();
        }
    }

    /// <summary>When a row expires is the servers' choice, so what the table is told stands for it here.</summary>
    [Fact]
    public void The_table_is_declared_with_the_rule_and_the_lifetime_of_the_command_line()
    {
        var options = new TrainOptions();
        var command = new Command("train");
        foreach (Option option in options.All)
        {
            command.Options.Add(option);
        }

        ParseResult parsed = command.Parse("--rule proximal --alpha 0.5 --l1 0.25 --l2 2 --admit-after 7 --expire-after 900");
        Assert.Empty(parsed.Errors);
        var log = new ClickLog(trainRows: 100, testRows: 1);
        TableOptions table = new LogisticTraining(options.Read(parsed).Learning, log.Train, log.Train.Scan(CancellationToken.None)).Table("t", new Job(1, 1));
        Assert.Equal(UpdateRule.ProximalSgd(0.5f, 0.25f, 2), table.Rule);
        Assert.Equal(7, table.AdmitAfterSightings);
        Assert.Equal(900, table.ExpireAfterClocks);
    }

    [Fact]
    public async Task The_best_model_measured_is_the_one_that_is_written()
    {
        // A step this large makes the loss rise again.
        string[] wild = ["train", .. Small, "--out", _folder["model"], "--delay", "0", "--rule", "sgd", "--alpha", "0.02"];
        ToolRun run = await ToolRun.Of([.. wild, "--passes", "4", "--evaluate-every", "1"]);
        run.IsDone();
        Assert.Contains("this is the best model measured", run.Output);
        byte[] best = await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken);
        string passes = Regex.Matches(run.Output, @"after (\d) passes: test log-loss ([\d.]+)").MinBy(match => double.Parse(match.Groups[2].Value, CultureInfo.InvariantCulture))!.Groups[1].Value;

        (await ToolRun.Of([.. wild, "--passes", passes])).IsDone();
        Assert.Equal(await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken), best);
    }

    [Fact]
    public async Task A_model_is_evaluated_used_exported_and_gone_on_from()
    {
        string rows = _folder.Write("rows.txt", string.Concat(Enumerable.Range(0, 400).Select(row => $"{row % 2} {row % 2}:1 {2 + (row % 5)}:1\n")));
        ToolRun train = await ToolRun.Of("train", "--train", rows, "--out", _folder["model"], "--passes", "5", "--l1", "0");
        train.IsDone();
        Assert.Contains("batches of 4 rows: the default of 4096 is more than a twentieth of the data", train.Output);
        string model = _folder["model/model.weir"];

        (await ToolRun.Of("evaluate", "--model", model, "--test", rows, "--report", _folder["e.json"])).IsDone();
        using JsonDocument evaluated = Json("e.json");
        Assert.Equal(1.0, evaluated.RootElement.GetProperty("test").GetProperty("accuracy").GetDouble());

        (await ToolRun.Of("predict", "--model", model, "--data", rows, "--out", _folder["p.txt"])).IsDone();
        ToolRun piped = await ToolRun.Of("predict", "--model", model, "--data", rows);
        string predicted = await File.ReadAllTextAsync(_folder["p.txt"], TestContext.Current.CancellationToken);
        Assert.Equal(predicted, piped.Output);
        double[] probabilities = [.. predicted.TrimEnd().Split('\n').Select(line => double.Parse(line, CultureInfo.InvariantCulture))];
        Assert.Equal(400, probabilities.Length);
        Assert.All(probabilities.Index(), row => Assert.Equal(row.Index % 2 == 1, row.Item > 0.5));

        (await ToolRun.Of("export", "--model", model, "--out", _folder["m.txt"])).IsDone();
        Assert.Equal(ModelFile.Read(model).Count, (await File.ReadAllLinesAsync(_folder["m.txt"], TestContext.Current.CancellationToken)).Length);

        // One row of one key moves that weight and the intercept alone: the others are the model's that it began with.
        string one = _folder.Write("one.txt", "1 99:1\n");
        (await ToolRun.Of("train", "--train", one, "--out", _folder["next"], "--init-from", model, "--passes", "1", "--l1", "0")).IsDone();
        LinearModel before = ModelFile.Read(model);
        LinearModel after = ModelFile.Read(_folder["next/model.weir"]);
        Assert.NotEqual(0, after.Weight(99));
        Assert.All(before.Keys.ToArray().Where(key => key != before.InterceptKey), key => Assert.Equal(before.Weight(key), after.Weight(key), 1e-5f));
    }

    [Fact]
    public async Task Without_an_intercept_there_is_none_in_the_model_nor_in_one_that_a_run_begins_with()
    {
        string rows = _folder.Write("rows.txt", string.Concat(Enumerable.Range(0, 100).Select(row => $"{row % 2} {1 + (row % 2)}:1\n")));
        (await ToolRun.Of("train", "--train", rows, "--out", _folder["plain"], "--no-intercept", "--l1", "0")).IsDone();
        LinearModel plain = ModelFile.Read(_folder["plain/model.weir"]);
        Assert.Null(plain.InterceptKey);
        Assert.Equal([1UL, 2UL], plain.Keys.ToArray().Order());
        (await ToolRun.Of("train", "--train", rows, "--out", _folder["with"], "--l1", "0", "--init-from", _folder["plain/model.weir"])).IsDone();
        Assert.NotNull(ModelFile.Read(_folder["with/model.weir"]).InterceptKey);

        (await ToolRun.Of("train", "--train", rows, "--out", _folder["next"], "--no-intercept", "--init-from", _folder["with/model.weir"]))
            .Complains(ExitCode.Failed, "is a model with an intercept, and --no-intercept trains one without");
    }

    [Fact]
    public async Task A_run_that_is_stopped_keeps_the_model_so_far()
    {
        using var output = new AwaitedWriter("rows/s");
        using var error = new StringWriter();
        using var signals = new StopSignals();
        Task<int> run = Tool.RunAsync(["train", .. Small, "--passes", "1000000", "--out", _folder["model"]], new ToolConsole(output, error, isTerminal: false), signals);
        await output.Written;
        signals.Stop("Ctrl+C");
        Assert.Equal(ExitCode.Failed, await run);
        Assert.Matches(@"^weir: stopped by Ctrl\+C after iteration \d+ of 10000000; the model so far is in .*model\.weir\n$", error.ToString());
        Assert.True(ModelFile.Read(_folder["model/model.weir"]).Count > 0);
    }

    /// <summary>Tells when a line with these words was written.</summary>
    private sealed class AwaitedWriter(string words) : StringWriter
    {
        private readonly TaskCompletionSource _written = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Written => _written.Task;

        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            if (value?.Contains(words, StringComparison.Ordinal) == true)
            {
                _written.TrySetResult();
            }
        }
    }

    private static string[] Names(JsonElement element) => [.. element.EnumerateObject().Select(property => property.Name)];

    private JsonDocument Json(string name) => JsonDocument.Parse(File.ReadAllBytes(_folder[name]));
}
