using System.Diagnostics;
using Weir.Cli;
using Weir.Cli.Commands;
using Weir.Client;
using Weir.Host;
using Weir.Keys;
using Weir.Tests.Host;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>Servers as processes with functions of a user's own: what one that loops does to them, and what is wrong with a folder.</summary>
public sealed class StuckServerTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_function_that_loops_ends_one_server_and_the_chain_goes_on_with_what_it_had()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        EmittedFunction.Write(_folder["functions.dll"], new EmittedFunction("Emitted.Loops", "loops", EmittedBody.Loops), new EmittedFunction("Emitted.Idles", "idles"), new EmittedFunction("Emitted.Throws", "throws", EmittedBody.Throws));
        await using ToolChild first = Serve("--replicas", "1");
        string manager = AddressOf(await first.LineAsync(ServeCommand.ServingAt));
        await using ToolChild second = Serve("--join", manager);
        string victim = AddressOf(await second.LineAsync(ServeCommand.ServingAt));
        await first.LineAsync("functions: idles, loops, throws");
        await using WeirClient client = await WeirHost.ConnectAsync([manager], new ClientOptions { UnreachableMs = 60_000 }, cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        ulong[] keys = [.. Enumerable.Range(0, 1000).Select(i => (ulong)i)];
        float[] ones = new float[keys.Length], read = new float[keys.Length];
        Array.Fill(ones, 1f);
        await client.PushAsync(table, keys, ones, stop);
        await client.CallAsync(table, "idles", keys, cancellation: stop);
        WeirException thrown = await Assert.ThrowsAsync<WeirException>(() => client.CallAsync(table, "throws", keys, cancellation: stop));
        Assert.Contains("function throws threw InvalidOperationException: emitted to throw", thrown.Message);

        // A key that the second server leads: the first one decides the map, and holds its register alone.
        ulong[] led = [];
        for (long asked = Stopwatch.GetTimestamp(); led.Length == 0;)
        {
            Assert.True(Stopwatch.GetElapsedTime(asked).TotalSeconds < 60, $"the second server leads nothing:\n{first.Text}\n{second.Text}");
            led = [.. keys.Where(key => client.State.Map!.Head(Mix.Segment(key, client.State.Map.SegmentBits))?.Address == victim).Take(1)];
            await client.PullAsync(table, keys, read, stop);
        }

        long began = Stopwatch.GetTimestamp();
        WeirException looped = await Assert.ThrowsAsync<WeirException>(() => client.CallAsync(table, "loops", led, cancellation: stop));
        Assert.Equal(Status.Failed, looped.Status);
        Assert.Contains("function loops has not come back from a run of rows of table t for 1.2 s, with a budget of 20 ms: the server has stopped, and the call is not sent to the next one", looped.Message);
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 1, 60);
        Assert.Equal(ExitCode.Failed, await second.ExitAsync());
        Assert.Contains($"weir: the server at {victim} stopped: function loops has not come back", second.Text);
        await client.PushAsync(table, keys, ones, stop);
        await client.PullAsync(table, keys, read, stop);
        Assert.All(read, value => Assert.Equal(2, value));
        Assert.DoesNotContain("stopped", first.Text);

        ToolChild Serve(params string[] more) => new(["serve", "--plug-ins", _folder[""], "--function-budget", "20", "--failure-timeout", "6000", "--segments", "64", .. more]);

        static string AddressOf(string line) => line[ServeCommand.ServingAt.Length..];
    }

    [Fact]
    public async Task A_folder_of_plug_ins_that_cannot_be_used_ends_the_command_before_it_begins()
    {
        (await ToolRun.Of("serve", "--plug-ins", _folder["none"])).Complains(ExitCode.Usage, "there is no folder of plug-ins");
        (await ToolRun.Of("up", "--plug-ins", _folder[""])).Complains(ExitCode.Usage, "has a public class that implements IServerFunction");
        _folder.Write("text.dll", "no assembly");
        (await ToolRun.Of("serve", "--plug-ins", _folder[""])).Complains(ExitCode.Usage, "text.dll is no .NET assembly");
        (await ToolRun.Of("train", "--plug-ins", _folder[""], "--filters", "own")).Complains(ExitCode.Usage, "text.dll is no .NET assembly");
    }
}
