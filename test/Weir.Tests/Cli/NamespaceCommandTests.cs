using System.Text.Json;
using Weir.Cli;
using Weir.Client;
using Weir.Host;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary><c>weir namespace</c>, and what <c>--namespace</c> of other commands shows and keeps apart (papers PS-6).</summary>
public sealed class NamespaceCommandTests : IDisposable
{
    private static readonly string[] Small = ["train", "--rows", "2000", "--test-rows", "500", "--batch", "100", "--passes", "4"];

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_quota_is_set_shown_and_taken_away_and_status_shows_what_is_in_one_namespace()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        ToolRun status = await ToolRun.Of("status", "--cluster", server.Address);
        status.IsDone();
        Assert.DoesNotContain("namespace", status.Output);
        ToolRun set = await ToolRun.Of("namespace", "ads", "--cluster", server.Address, "--quota-mb", "3");
        set.IsDone();
        Assert.Equal("namespace ads: 0 tables, 0 jobs, 0 rows, 0 MB of 3 MB\n", set.Output);
        await using WeirClient client = await WeirHost.ConnectAsync([server.Address], new ClientOptions { Namespace = "ads" }, cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "clicks", Width = 2 }, stop);
        ulong[] keys = [.. Enumerable.Range(0, 50_000).Select(i => (ulong)i)];
        await client.PushAsync(table, keys, new float[keys.Length * 2], stop);

        // 8 bytes of floats and 12 for its key, each.
        ToolRun shown = await ToolRun.Of("namespace", "ads", "--cluster", server.Address);
        Assert.Equal("namespace ads: 1 tables, 0 jobs, 50,000 rows, 1 MB of 3 MB\n", shown.Output);
        status = await ToolRun.Of("status", "--cluster", server.Address);
        Assert.Matches(@"(?m)^\s*ads\s+1\s+0\s+50000\s+1\s+3\s*$", status.Output);
        Assert.DoesNotContain("clicks", status.Output);
        status = await ToolRun.Of("status", "--cluster", server.Address, "--namespace", "ads", "--report", _folder["status.json"]);
        Assert.Matches(@"(?m)^\s*clicks\s+2\s+Add\s+50000\s*$", status.Output);
        using (JsonDocument report = JsonDocument.Parse(await File.ReadAllBytesAsync(_folder["status.json"], stop)))
        {
            JsonElement only = Assert.Single(report.RootElement.GetProperty("namespaces").EnumerateArray());
            Assert.Equal(["name", "tables", "jobs", "workersAtWork", "rows", "bytes", "quotaBytes"], only.EnumerateObject().Select(property => property.Name));
            Assert.Equal((1_000_000, 3_000_000), (only.GetProperty("bytes").GetInt64(), only.GetProperty("quotaBytes").GetInt64()));
        }

        (await ToolRun.Of("namespace", "", "--cluster", server.Address, "--quota-mb", "1")).IsDone();
        ToolRun free = await ToolRun.Of("namespace", "", "--cluster", server.Address, "--no-quota");
        Assert.Equal("the default namespace: 0 tables, 0 jobs, 0 rows, 0 MB without a quota\n", free.Output);
    }

    /// <summary>A rate that falls to nothing says why, and the run goes on by itself once there is room.</summary>
    [Fact]
    public async Task A_run_that_waits_for_its_quota_says_so_and_goes_on_when_it_is_raised()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        await using WeirClient client = await WeirHost.ConnectAsync([server.Address], cancellation: stop);
        await client.SetNamespaceQuotaAsync("ads", 50_000, stop);
        string[] words = [.. Small, "--namespace", "ads", "--cluster", server.Address, "--out", _folder["model"]];
        Task<ToolRun> run = Task.Run(() => ToolRun.Of(words), stop);
        await Task.Delay(5000, stop);
        Assert.False(run.IsCompleted);
        await client.SetNamespaceQuotaAsync("ads", 50_000_000, stop);
        ToolRun done = await run;
        Assert.True(done.Code == ExitCode.Done, done.Error);
        Assert.Contains("pushes wait: namespace ads is over its quota", done.Error);
    }

    [Fact]
    public async Task A_run_trains_in_its_namespace_and_goes_on_there_from_a_checkpoint()
    {
        ToolRun processes = await ToolRun.Of([.. Small, "--namespace", "ads", "--processes", "--servers", "1", "--workers", "1", "--out", _folder["processes"]]);
        Assert.True(processes.Code == ExitCode.Done, processes.Error);
        (await ToolRun.Of([.. Small, "--namespace", "ads", "--out", _folder["model"], "--checkpoint", _folder["c"], "--checkpoint-every", "5clocks"])).IsDone();
        (await ToolRun.Of([.. Small[..^2], "--passes", "9", "--out", _folder["model"], "--resume", _folder["c"]])).Complains(
            ExitCode.Failed, "has 0 trainings of `weir train` in the default namespace");
        ToolRun resumed = await ToolRun.Of([.. Small[..^2], "--passes", "9", "--namespace", "ads", "--out", _folder["model"], "--resume", _folder["c"]]);
        Assert.True(resumed.Code == ExitCode.Done, resumed.Error);
        Assert.Contains("going on from checkpoint", resumed.Output);
    }
}
