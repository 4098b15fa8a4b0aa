using System.Text.Json;
using Weir.Cli;
using Weir.Cli.Commands;
using Weir.Cli.Reports;
using Weir.Client;
using Weir.Host;
using Weir.Placement;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>What <c>weir status</c> shows a person, and the names of its report, which scripts read.</summary>
public sealed class StatusTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_straggler_is_shown_with_its_process_and_how_far_behind_it_is()
    {
        const long Straggles = 2, Ends = 9;
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        await using WeirClient quick = await WeirHost.ConnectAsync([server.Address], new ClientOptions { Name = "quick" }, cancellation: stop);
        await using WeirClient slow = await WeirHost.ConnectAsync([server.Address], new ClientOptions { Name = "slow" }, cancellation: stop);
        Job job = await quick.OpenJobAsync(new JobOptions { Name = "job", Workers = 2, Hosts = 2 }, stop);
        var looked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        async Task HostAsync(WeirClient client, long until, TaskCompletionSource there) => await client.HostWorkersAsync(
            job,
            async (worker, ended) =>
            {
                while (worker.Clock < Ends)
                {
                    if (worker.Clock == until)
                    {
                        there.TrySetResult();
                        await looked.Task.WaitAsync(ended);
                    }

                    await worker.ClockAsync(ended);
                }
            },
            stop);
        TaskCompletionSource quickIsThere = new(), slowIsThere = new();
        Task[] hosting = [HostAsync(quick, Ends - 1, quickIsThere), HostAsync(slow, Straggles, slowIsThere)];
        await Task.WhenAll(quickIsThere.Task, slowIsThere.Task).WaitAsync(stop);
        ToolRun status = await ToolRun.Of("status", "--cluster", server.Address, "--report", _folder["status.json"]);
        status.IsDone();
        looked.SetResult();
        await Task.WhenAll(hosting);

        string row = Assert.Single(status.Output.Split('\n'), line => line.Contains("slow", StringComparison.Ordinal));
        Assert.Matches(@"^\s*job\s+[01]\s+slow\s+from 1\s+2\s+6\s*$", row);
        Assert.Matches(@"quick\s+from 1\s+8\s*$", Assert.Single(status.Output.Split('\n'), line => line.Contains("quick", StringComparison.Ordinal)));
        using JsonDocument report = JsonDocument.Parse(await File.ReadAllBytesAsync(_folder["status.json"], stop));
        JsonElement worker = Assert.Single(report.RootElement.GetProperty("workers").EnumerateArray(), w => w.GetProperty("process").GetString() == "slow");
        Assert.Equal(["id", "job", "process", "clock", "finished", "firstIteration", "lastIteration", "behind"], worker.EnumerateObject().Select(p => p.Name));
        Assert.Equal((Straggles, Ends - 1 - Straggles), (worker.GetProperty("clock").GetInt64(), worker.GetProperty("behind").GetInt64()));
    }

    [Fact]
    public async Task Segments_that_are_down_or_under_repair_are_named()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2, Replicas = 1 });
        await using WeirClient client = await cluster.ConnectAsync(cancellation: TestContext.Current.CancellationToken);
        ClusterMap map = client.Core.State.Map!;
        MapChain[] chains = [.. map.Chains.Select(_ => new MapChain(1, [ChainMember.Complete(0), ChainMember.Complete(1)]))];
        chains[3] = chains[3] with { Members = [ChainMember.Complete(0), new ChainMember(1, 1)], IsDown = true };
        chains[5] = chains[5] with { Members = [ChainMember.Complete(0), new ChainMember(1, 1)] };
        chains[9] = chains[9] with { Members = [ChainMember.Complete(0)] };
        var status = ClusterStatus.Of(map with { Chains = chains }, [], "");
        JsonFile.Write(_folder["status.json"], StatusReport.Of(status), ReportJson.Default.StatusReport);
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["status.json"]));
        Assert.Equal(
            ["mapVersion", "generation", "members", "down", "repairing", "tables", "workers", "losses", "namespaces"], report.RootElement.EnumerateObject().Select(p => p.Name));
        Assert.Equal([3], report.RootElement.GetProperty("down").EnumerateArray().Select(s => s.GetInt32()));
        Assert.Equal([3, 5, 9], report.RootElement.GetProperty("repairing").EnumerateArray().Select(s => s.GetInt32()));

        using var output = new StringWriter();
        StatusCommand.Show(new ToolConsole(output, output, isTerminal: false), status);
        Assert.Contains("1 of them down, 3 under repair", output.ToString());
        Assert.Contains("down: segments 3\n", output.ToString());
        Assert.Contains("under repair: segments 3, 5, 9\n", output.ToString());
    }
}
