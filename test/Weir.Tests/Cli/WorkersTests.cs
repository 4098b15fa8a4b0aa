using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Weir.Cli;
using Weir.Learn.Data;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>Workers that join a training run and leave it, over processes.</summary>
public sealed class WorkersTests : IDisposable
{
    private const int BatchRows = 1000;

    // 221 blocks: two workers go through 98 of them in 49 iterations, three through 63 in 21, and two through 60 in 30.
    private static readonly string[] Run = ["train", "--rows", "221000", "--test-rows", "1000", "--batch", "1000", "--processes"];

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_worker_joins_at_clock_50_of_100_and_one_leaves_at_70_and_the_report_shows_that_no_pull_broke_its_bound()
    {
        const int Delay = 2;
        JsonElement[] workers = await TrainAsync("model", "--delay", Delay.ToString(CultureInfo.InvariantCulture));
        Assert.Equal([(1, 70), (1, 100), (50, 100)], workers.Select(w => (First(w), Last(w))));
        Assert.Equal(workers.Select(Last), workers.Select(w => (int)w.GetProperty("clock").GetInt64()));
        Assert.Equal([70 * BatchRows, 100 * BatchRows, 51 * BatchRows], workers.Select(w => w.GetProperty("rows").GetInt64()));
        Assert.All(workers, w => Assert.InRange(w.GetProperty("staleness").GetInt64(), 0, Delay));

        // Three where the newcomer's process has started before the run ends; until then another hosts its worker.
        Assert.InRange(workers.Select(w => w.GetProperty("pid").GetInt32()).Distinct().Count(), 2, 3);
        Assert.True(ModelFile.Read(_folder["model/model.weir"]).Count > 0);
    }

    [Fact]
    public async Task With_delay_0_a_run_that_a_worker_joined_and_another_left_ends_in_the_same_bytes_each_time()
    {
        JsonElement[] workers = await TrainAsync("once", "--delay", "0");
        await TrainAsync("again", "--delay", "0");
        Assert.Equal(await Model("once"), await Model("again"));
        Assert.Equal([0, 0, 0], workers.Select(w => w.GetProperty("staleness").GetInt64()));
    }

    [Fact]
    public async Task A_worker_that_is_not_there_and_a_job_that_is_not_there_are_refused_in_words()
    {
        await using var server = new ToolChild("serve");
        string address = (await server.LineAsync("serving at "))["serving at ".Length..];
        (await ToolRun.Of("workers", "add", "--cluster", address)).Complains(ExitCode.Failed, "the job must be named where not exactly one runs: none runs");
        (await ToolRun.Of("workers", "remove", "--cluster", address, "--job", "x", "--worker", "0")).Complains(ExitCode.Failed, "there is no job x; none runs");
        (await ToolRun.Of("workers", "remove", "--cluster", address, "--job", "x")).Complains(ExitCode.Usage, "--worker");
        await using var train = new ToolChild([.. Run, "--passes", "1000000", "--cluster", address, "--out", _folder["model"]]);
        await train.ProgressAsync();
        (await ToolRun.Of("workers", "remove", "--cluster", address, "--worker", "7")).Complains(ExitCode.Failed, "has no worker 7: its workers are 0 to 1");
        ToolRun removed = await ToolRun.Of("workers", "remove", "--cluster", address, "--worker", "1");
        Assert.Matches(@"^worker 1 leaves after iteration \d+\n$", removed.Output);
        (await ToolRun.Of("workers", "remove", "--cluster", address, "--worker", "0")).Complains(ExitCode.Failed, "worker 0 is the last one at work");

        // In mid-run, as soon as the hosts agree: at an iteration that none of them had begun.
        ToolRun added = await ToolRun.Of("workers", "add", "--cluster", address, "--count", "2");
        Assert.Matches(@"^workers 2 to 3 join from iteration \d+ on\n$", added.Output);
        await train.LineAsync("worker 3 joins from iteration");
        string status = (await ToolRun.Of("status", "--cluster", address)).Output;
        Assert.Matches(@"from 1 through \d+", status);
        Assert.Contains(Regex.Match(added.Output, @"from iteration \d+").Value.Replace("iteration ", "", StringComparison.Ordinal), status);
    }

    /// <summary>Trains on two servers; before the first iteration a worker is asked to join at 50 and worker 0 to leave after 70.</summary>
    private async Task<JsonElement[]> TrainAsync(string folder, params string[] more)
    {
        await using var first = new ToolChild("serve");
        string address = (await first.LineAsync("serving at "))["serving at ".Length..];
        await using var second = new ToolChild("serve", "--join", address);
        await second.LineAsync("serving at ");
        await using var train = new ToolChild([.. Run, .. more, "--passes", "1", "--cluster", address, "--out", _folder[folder], "--report", _folder[folder + ".json"]]);
        await train.LineAsync("worker processes");
        ToolRun added = await ToolRun.Of("workers", "add", "--cluster", address, "--from", "50");
        Assert.Equal(("", "worker 2 joins from iteration 50 on\n"), (added.Error, added.Output));
        ToolRun removed = await ToolRun.Of("workers", "remove", "--cluster", address, "--worker", "0", "--through", "70");
        Assert.Equal(("", "worker 0 leaves after iteration 70\n"), (removed.Error, removed.Output));
        Assert.True(await train.ExitAsync() == ExitCode.Done, train.Text);
        Assert.Contains("worker 2 joins from iteration 50 on", train.Text);
        Assert.Contains("worker 0 leaves after iteration 70", train.Text);
        using JsonDocument report = JsonDocument.Parse(await File.ReadAllBytesAsync(_folder[folder + ".json"], TestContext.Current.CancellationToken));
        return [.. report.RootElement.GetProperty("cluster").GetProperty("workers").Clone().EnumerateArray()];
    }

    private static int First(JsonElement worker) => worker.GetProperty("firstIteration").GetInt32();

    private static int Last(JsonElement worker) => worker.GetProperty("lastIteration").GetInt32();

    private Task<byte[]> Model(string folder) => File.ReadAllBytesAsync(_folder[folder + "/model.weir"], TestContext.Current.CancellationToken);
}
