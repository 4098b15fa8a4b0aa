using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Weir.Cli;
using Weir.Cli.Bench;
using Weir.Learn.Data;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>The tool as processes: started, joined, killed and stopped as a user, a script or an accident does it.</summary>
public sealed class ProcessTests : IDisposable
{
    private static readonly string[] Small = ["train", "--rows", "4000", "--test-rows", "1000", "--batch", "200"];

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task With_processes_every_server_and_every_worker_s_host_is_one_and_the_model_is_the_embedded_run_s(string transport)
    {
        string[] run = [.. Small, "--delay", "0"];
        (await ToolRun.Of([.. run, "--out", _folder["embedded"]])).IsDone();
        await using var tool = new ToolChild([.. run, "--processes", "--transport", transport, "--out", _folder["processes"], "--report", _folder["r.json"]]);
        string line = await tool.LineAsync("worker processes");
        Assert.Equal(transport == "unix", line.Contains("over Unix sockets", StringComparison.Ordinal));
        Assert.True(await tool.ExitAsync() == ExitCode.Done, tool.Text);
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["r.json"]));
        JsonElement cluster = report.RootElement.GetProperty("cluster");
        Assert.Equal(ToolChild.Processes(line, "server").Order(), Pids(cluster.GetProperty("servers")).Order());
        Assert.Equal(ToolChild.Processes(line, "worker").Order(), Pids(cluster.GetProperty("workers")).Order());
        Assert.All(cluster.GetProperty("servers").EnumerateArray(), server => Assert.StartsWith(Scheme(transport), server.GetProperty("address").GetString()));
        Assert.Equal([6000, 6000], cluster.GetProperty("workers").EnumerateArray().Select(worker => worker.GetProperty("rows").GetInt32()));
        Assert.True(report.RootElement.GetProperty("wire").GetProperty("pushBytes").GetInt64() > 100_000);
        Assert.Equal(Model("embedded"), Model("processes"));
        Assert.All(ToolChild.Processes(line, "server").Concat(ToolChild.Processes(line, "worker")), id => Assert.False(IsRunning(id)));
    }

    [Fact]
    public async Task A_worker_process_that_is_killed_in_mid_run_changes_no_byte_of_the_model()
    {
        string[] run = [.. Small, "--delay", "0", "--workers", "4", "--passes", "30"];
        (await ToolRun.Of([.. run, "--out", _folder["undisturbed"]])).IsDone();
        await using var tool = new ToolChild([.. run, "--processes", "--out", _folder["disturbed"]]);
        int victim = ToolChild.Processes(await tool.LineAsync("worker processes"), "worker")[1];

        // The first line of progress: they are under way, and far from the end.
        await tool.ProgressAsync();
        Process.GetProcessById(victim).Kill();
        Assert.True(await tool.ExitAsync() == ExitCode.Done, tool.Text);
        Assert.Contains($"weir: worker process {victim} died; its workers go on elsewhere", tool.Text);
        Assert.Equal(Model("undisturbed"), Model("disturbed"));
    }

    [Fact]
    public async Task A_worker_process_that_dies_before_it_hosts_anybody_is_replaced_since_the_run_waits_for_as_many_as_were_to_come()
    {
        await using var tool = new ToolChild([.. Small, "--workers", "3", "--processes", "--out", _folder["model"]]);
        int victim = ToolChild.Processes(await tool.LineAsync("worker processes"), "worker")[1];
        Process.GetProcessById(victim).Kill();
        Assert.True(await tool.ExitAsync() == ExitCode.Done, tool.Text);
        Assert.Contains($"worker process {victim} died before it had a worker; another is started", tool.Text);
    }

    [Fact]
    public async Task A_run_that_goes_on_without_a_killed_process_ends_though_its_workers_never_do()
    {
        await using var tool = new ToolChild(
            [.. Small, "--delay", "0", "--workers", "3", "--passes", "30", "--processes", "--continue-without", "--out", _folder["model"], "--report", _folder["r.json"]]);
        int victim = ToolChild.Processes(await tool.LineAsync("worker processes"), "worker")[1];
        await tool.ProgressAsync();
        Process.GetProcessById(victim).Kill();
        Assert.True(await tool.ExitAsync() == ExitCode.Done, tool.Text);
        Assert.Contains($"weir: worker process {victim} died; the run goes on without its workers", tool.Text);
        Assert.True(ModelFile.Read(_folder["model/model.weir"]).Count > 0);
    }

    [Fact]
    public async Task A_server_process_that_is_killed_ends_the_run_with_what_was_lost()
    {
        await using var tool = new ToolChild([.. Small, "--processes", "--passes", "100000", "--out", _folder["model"]]);
        string line = await tool.LineAsync("worker processes");
        int[] servers = ToolChild.Processes(line, "server");
        await tool.ProgressAsync();
        Process.GetProcessById(servers[1]).Kill();
        Assert.Equal(ExitCode.Failed, await tool.ExitAsync());
        Assert.Contains("lost", tool.Text);
        Assert.DoesNotContain("   at ", tool.Text);
        Assert.False(Directory.Exists(_folder["model"]));
        Assert.All(servers.Concat(ToolChild.Processes(line, "worker")), id => Assert.False(IsRunning(id)));
    }

    /// <summary>The first is the manager and keeps the register's records, the last neither.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task A_server_process_with_a_replica_that_is_killed_in_mid_run_changes_no_byte_of_the_model(int victim)
    {
        string[] run = [.. Small, "--delay", "0", "--passes", "60", "--servers", "4"];
        (await ToolRun.Of([.. run, "--out", _folder["undisturbed"]])).IsDone();
        await using var tool = new ToolChild([.. run, "--processes", "--replicas", "1", "--out", _folder["disturbed"]]);
        int[] servers = ToolChild.Processes(await tool.LineAsync("worker processes"), "server");
        await tool.ProgressAsync();
        Process.GetProcessById(servers[victim]).Kill();
        Assert.True(await tool.ExitAsync() == ExitCode.Done, tool.Text);
        Assert.Contains($"server process {servers[victim]} at ", tool.Text);
        Assert.Contains("died; others hold what it held", tool.Text);
        Assert.Equal(Model("undisturbed"), Model("disturbed"));
    }

    [Fact]
    public async Task Up_starts_a_cluster_that_outlives_a_server_and_ends_at_Ctrl_C()
    {
        await using var up = new ToolChild(["up", "--servers", "3", "--replicas", "1", "--report", _folder["up.json"]]);
        string cluster = (await up.LineAsync("weir train --cluster")).Split("--cluster ")[1];
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["up.json"]));
        int[] servers = [.. Pids(report.RootElement.GetProperty("servers"))];
        Assert.Equal(3, servers.Length);
        Assert.Equal(3, report.RootElement.GetProperty("register").GetArrayLength());
        Process.GetProcessById(servers[1]).Kill();
        await up.LineAsync($"server process {servers[1]}");
        (await ToolRun.Of([.. Small, "--cluster", cluster, "--out", _folder["model"]])).IsDone();
        up.Interrupt();
        Assert.True(await up.ExitAsync() == ExitCode.Done, up.Text);
        Assert.All(servers, id => Assert.False(IsRunning(id)));
    }

    /// <summary>What README promises a newcomer: three servers with one command, a run on them, and a kill by hand in its middle, of the one that decides or of another.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_run_on_a_cluster_that_stays_ends_in_the_same_bytes_though_a_server_is_killed_by_hand_in_mid_run(int victim)
    {
        string[] run = [.. Small, "--delay", "0", "--passes", "60", "--seed", "7"];
        (await ToolRun.Of([.. run, "--out", _folder["undisturbed"]])).IsDone();
        await using var up = new ToolChild(["up", "--servers", "3", "--replicas", "1", "--report", _folder["up.json"]]);
        string cluster = (await up.LineAsync("weir train --cluster")).Split("--cluster ")[1];
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["up.json"]));
        int process = Pids(report.RootElement.GetProperty("servers"))[victim];
        await using var train = new ToolChild([.. run, "--cluster", cluster, "--out", _folder["disturbed"]]);
        await train.ProgressAsync();
        Process.GetProcessById(process).Kill();
        await up.LineAsync($"server process {process}");
        Assert.DoesNotContain("not 0", train.Text);
        Assert.True(await train.ExitAsync() == ExitCode.Done, train.Text);
        Assert.Equal(Model("undisturbed"), Model("disturbed"));
        ToolRun status = await ToolRun.Of("status", "--cluster", cluster);
        Assert.DoesNotContain("lost:", status.Output);
        Assert.DoesNotContain("down", status.Output);
    }

    [Fact]
    public async Task Ctrl_C_keeps_the_last_model_and_leaves_no_process_behind()
    {
        // Without an L1 penalty the first batches already leave weights that are not zero, however soon the interrupt comes.
        await using var tool = new ToolChild([.. Small, "--processes", "--passes", "100000", "--l1", "0", "--out", _folder["model"]]);
        string line = await tool.LineAsync("worker processes");
        await tool.ProgressAsync();
        tool.Interrupt();
        Assert.Equal(ExitCode.Failed, await tool.ExitAsync());
        Assert.Contains("the model so far is in", tool.Text);
        Assert.True(ModelFile.Read(_folder["model/model.weir"]).Count > 0);
        Assert.All(ToolChild.Processes(line, "server").Concat(ToolChild.Processes(line, "worker")), id => Assert.False(IsRunning(id)));
    }

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task Servers_are_started_joined_trained_on_looked_at_and_stopped(string transport)
    {
        await using var first = new ToolChild("serve", "--transport", transport, "--report", _folder["s.json"]);
        string address = (await first.LineAsync("serving at "))["serving at ".Length..];
        Assert.StartsWith(Scheme(transport), address);
        await using var second = new ToolChild("serve", "--transport", transport, "--join", address);
        string other = (await second.LineAsync("serving at "))["serving at ".Length..];
        using JsonDocument served = JsonDocument.Parse(File.ReadAllBytes(_folder["s.json"]));
        Assert.Equal(["id", "pid", "address"], served.RootElement.EnumerateObject().Select(property => property.Name));
        Assert.Equal(address, served.RootElement.GetProperty("address").GetString());

        await GarbageAsync(address);
        (await ToolRun.Of([.. Small, "--cluster", other, "--out", _folder["model"], "--report", _folder["r.json"]])).IsDone();
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["r.json"]));
        Assert.Equal(
            [address, other],
            report.RootElement.GetProperty("cluster").GetProperty("servers").EnumerateArray().Select(server => server.GetProperty("address").GetString()!));

        ToolRun status = await ToolRun.Of("status", "--cluster", address);
        status.IsDone();
        Assert.Contains(address, status.Output);
        Assert.Contains(other, status.Output);

        // The run has taken its table and its job with it.
        Assert.DoesNotContain("train-", status.Output);
        foreach (ToolChild server in (ToolChild[])[second, first])
        {
            server.Interrupt();
            Assert.Equal(ExitCode.Done, await server.ExitAsync());
        }

        Assert.Contains("closing the connection", first.Text);
    }

    /// <summary>A peer that speaks no Weir: the server says so in its log, closes, and serves on.</summary>
    private static async Task GarbageAsync(string address)
    {
        using Socket peer = RawSink.NewSocket(address, out EndPoint endPoint);
        await peer.ConnectAsync(endPoint, TestContext.Current.CancellationToken);
        await using var stream = new NetworkStream(peer);
        await stream.WriteAsync("GET / HTTP/1.1\r\nHost: somebody-who-took-this-for-a-web-server.example.org\r\n\r\n"u8.ToArray(), TestContext.Current.CancellationToken);
        try
        {
            // What the server has to say of it, then the end of the stream.
            await stream.CopyToAsync(Stream.Null, TestContext.Current.CancellationToken);
        }
        catch (IOException)
        {
            // Closed with what it had not read: a reset.
        }
    }

    private static string Scheme(string transport) => transport == "unix" ? "unix:" : "127.0.0.1:";

    private static int[] Pids(JsonElement members) => [.. members.EnumerateArray().Select(member => member.GetProperty("pid").GetInt32())];

    private static bool IsRunning(int id)
    {
        try
        {
            using Process process = Process.GetProcessById(id);
            return !process.HasExited && process.StartTime < DateTime.Now;
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException)
        {
            return false;
        }
    }

    private byte[] Model(string folder) => File.ReadAllBytes(_folder[string.Create(CultureInfo.InvariantCulture, $"{folder}/model.weir")]);
}
