using Weir.Cli;
using Weir.Client;
using Weir.Host;
using Weir.Host.PlugIns;
using Weir.Tests.Cli;
using Weir.Tests.Learn;

namespace Weir.Tests.Examples;

/// <summary>The plug-ins of examples/PlugIn as an operator uses them: the built assembly in a folder, servers that load it, a training that names its filter.</summary>
public sealed class PlugInTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public PlugInTests()
    {
        // artifacts/bin/PROJECT/CONFIGURATION, of which this is another project.
        var own = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        File.Copy(Path.Combine(own.Parent!.Parent!.FullName, "PlugIn", own.Name, "PlugIn.dll"), _folder["PlugIn.dll"]);
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task PS09_servers_clip_rows_and_take_Lion_s_steps_where_the_rows_lie()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        PlugInFolder folder = PlugInFolder.Load(_folder[""]);
        Assert.Equal(["clip", "lion"], folder.Functions.Select(f => f.Name));
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { Functions = folder.Functions }, cancellation: stop);
        await using WeirClient client = await WeirHost.ConnectAsync([server.Address], cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "embeddings", Width = 2 }, stop);
        ulong[] keys = [7, 8];
        await client.SetAsync(table, keys, new float[] { 3, 4, 0.3f, 0.4f }, stop);
        await client.CallAsync(table, "clip", keys, BitConverter.GetBytes(1f), cancellation: stop);
        float[] read = new float[4];
        await client.PullAsync(table, keys, read, stop);
        Assert.Equal([0.6f, 0.8f, 0.3f, 0.4f], read);
        WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.CallAsync(table, "clip", keys, cancellation: stop));
        Assert.Contains("the argument must be the largest norm", refused.Message);

        // One weight and its momentum; the model in plain arithmetic beside it.
        await client.SetAsync(table, keys, new float[4], stop);
        float weight = 0, momentum = 0;
        foreach (float gradient in (float[])[1, -2, 30, 0])
        {
            await client.CallAsync(table, "lion", keys.AsMemory(0, 1), BitConverter.GetBytes(0.5f), new float[] { gradient, 0 }, stop);
            weight -= 0.5f * Math.Sign((0.9f * momentum) + (0.1f * gradient));
            momentum = (0.99f * momentum) + (0.01f * gradient);
        }

        await client.PullAsync(table, keys, read, stop);
        Assert.Equal(weight, read[0]);
        Assert.Equal(momentum, read[1], 1e-6f);
    }

    [Fact]
    public async Task A_training_names_a_filter_of_the_folder_and_worker_processes_load_it_too()
    {
        string[] small = ["train", "--rows", "3000", "--test-rows", "500", "--batch", "100", "--workers", "1", "--servers", "1", "--plug-ins", _folder[""], "--filters", "zero,In-Turns:2"];
        ToolRun run = await ToolRun.Of([.. small, "--out", _folder["model"]]);
        run.IsDone();
        Assert.Contains("filters zero,In-Turns:2", run.Output);
        ToolRun apart = await ToolRun.Of([.. small, "--processes", "--delay", "0", "--out", _folder["apart"]]);
        apart.IsDone();
        ToolRun together = await ToolRun.Of([.. small, "--delay", "0", "--out", _folder["together"]]);
        together.IsDone();
        Assert.Equal(File.ReadAllBytes(_folder["together/model.weir"]), File.ReadAllBytes(_folder["apart/model.weir"]));
        Assert.NotEqual(File.ReadAllBytes(_folder["model/model.weir"]), File.ReadAllBytes(_folder["apart/model.weir"]));
    }

    [Theory]
    [InlineData("in-turns:0", "the filter in-turns refuses '0': it needs a whole number of iterations above 0")]
    [InlineData("in-turns", "the filter in-turns refuses ''")]
    [InlineData("nobodys:1", "--filters names nobodys, which is no filter of Weir's, nor of")]
    public async Task A_filter_that_is_not_there_or_refuses_its_argument_ends_the_run_before_it_begins(string filter, string expected) =>
        (await ToolRun.Of("train", "--rows", "100", "--out", _folder["model"], "--plug-ins", _folder[""], "--filters", filter)).Complains(ExitCode.Usage, expected);

    [Fact]
    public async Task A_filter_of_one_s_own_needs_the_folder_that_has_it() =>
        (await ToolRun.Of("train", "--filters", "in-turns:2")).Complains(ExitCode.Usage, "filters of your own need --plug-ins");
}
