using System.Globalization;
using System.Text.Json;
using Weir.Cli;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary><c>weir train --method dbpg</c>.</summary>
public sealed class ProximalGradientTrainTests : IDisposable
{
    private static readonly string[] Small = ["--rows", "2000", "--test-rows", "500", "--method", "dbpg", "--passes", "5", "--l1", "2"];
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_reports_its_objective_its_step_and_the_bound()
    {
        ToolRun run = await TrainAsync("--delay", "1");
        run.IsDone();
        Assert.Contains("16 blocks of features, step", run.Output);
        Assert.Contains("objective", run.Output);
        Assert.DoesNotContain("warning", run.Error);
        JsonElement report = Report();
        double objective = report.GetProperty("objective").GetDouble();
        Assert.InRange(objective, 1, 2000 * Math.Log(2));
        Assert.Equal(report.GetProperty("stepBound").GetDouble(), report.GetProperty("step").GetDouble());
        Assert.All(report.GetProperty("cluster").GetProperty("workers").EnumerateArray(), worker => Assert.InRange(worker.GetProperty("staleness").GetInt64(), 0, 1));
        Assert.Equal(80, report.GetProperty("cluster").GetProperty("workers")[0].GetProperty("clock").GetInt64());

        // The mean of the losses with a penalty by as many rows less is the same run.
        (await ToolRun.Of(["train", .. Small[..^1], "0.001", "--loss-scale", "mean", "--delay", "1", "--out", _folder["model"], "--report", _folder["r.json"]])).IsDone();
        Assert.Equal(objective / 2000, Report().GetProperty("objective").GetDouble(), 1e-3);
    }

    [Fact]
    public async Task A_step_above_the_bound_is_warned_of_and_the_run_goes_on()
    {
        ToolRun run = await TrainAsync("--step", "1.5", "--delay", "4");
        double bound = Report().GetProperty("stepBound").GetDouble();
        run.Complains(ExitCode.Done, "warning: --step 1.5 is above the bound " + bound.ToString("G4", CultureInfo.InvariantCulture));
        Assert.Equal(1.5, Report().GetProperty("step").GetDouble());
        Assert.InRange(bound, 0.01, 1);

        // The bound is of the largest curvatures: for smaller ones it is none.
        (await TrainAsync("--curvature", "local", "--step", "0.1")).Complains(ExitCode.Done, "warning: --curvature local");
    }

    [Fact]
    public async Task With_delay_0_the_model_is_the_same_for_1_2_and_3_servers_in_processes_and_with_pauses()
    {
        var files = new List<byte[]>();
        foreach (string[] more in (string[][])[["--servers", "1"], ["--servers", "2"], ["--servers", "3"], ["--servers", "2", "--processes"], ["--servers", "2", "--evaluate-every", "2"]])
        {
            (await TrainAsync(["--delay", "0", "--workers", "2", .. more])).IsDone();
            files.Add(await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken));
        }

        Assert.All(files, file => Assert.Equal(files[0], file));
    }

    [Fact]
    public async Task The_KKT_filter_takes_bytes_and_is_named_in_the_report()
    {
        (await TrainAsync("--filters", "lossless")).IsDone();
        (long plain, double objective) = Told("lossless");
        (await TrainAsync("--filters", "lossless,kkt")).IsDone();
        (long bytes, double filtered) = Told("lossless,kkt");
        Assert.True(bytes < plain * 0.9, $"{bytes} bytes, {plain} without");
        Assert.InRange(filtered, objective * 0.99, objective * 1.01);

        (long Bytes, double Objective) Told(string filters)
        {
            JsonElement report = Report(), wire = report.GetProperty("wire");
            Assert.Equal(filters, wire.GetProperty("filters").GetString());
            return (wire.GetProperty("pushBytes").GetInt64() + wire.GetProperty("pullBytes").GetInt64(), report.GetProperty("objective").GetDouble());
        }
    }

    [Fact]
    public async Task A_model_can_be_begun_with()
    {
        (await TrainAsync("--delay", "0")).IsDone();
        double first = Report().GetProperty("objective").GetDouble();
        File.Move(_folder["model/model.weir"], _folder["first.weir"]);
        (await TrainAsync("--delay", "0", "--init-from", _folder["first.weir"])).IsDone();
        Assert.True(Report().GetProperty("objective").GetDouble() < first);
    }

    [Fact]
    public async Task A_run_goes_on_from_its_checkpoint_with_the_same_blocks_alone()
    {
        string[] rows = ["train", "--rows", "2000", "--test-rows", "500", "--method", "dbpg", "--delay", "0", "--out", _folder["model"]];
        (await ToolRun.Of([.. rows, "--passes", "60", "--checkpoint", _folder["saved"], "--checkpoint-every", "100clocks"])).IsDone();
        ToolRun other = await ToolRun.Of([.. rows, "--passes", "80", "--resume", _folder["saved"], "--blocks", "8", "--step", "0.1"]);
        other.Complains(ExitCode.Failed, "in 16 blocks of features");
        (await ToolRun.Of([.. rows, "--passes", "80", "--resume", _folder["saved"]])).IsDone();
        byte[] resumed = await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken);
        (await ToolRun.Of([.. rows, "--passes", "80"])).IsDone();
        Assert.Equal(await File.ReadAllBytesAsync(_folder["model/model.weir"], TestContext.Current.CancellationToken), resumed);
    }

    private Task<ToolRun> TrainAsync(params string[] more) =>
        ToolRun.Of(["train", .. Small, "--out", _folder["model"], "--report", _folder["r.json"], .. more]);

    private JsonElement Report()
    {
        using JsonDocument report = JsonDocument.Parse(File.ReadAllText(_folder["r.json"]));
        return report.RootElement.Clone();
    }
}
