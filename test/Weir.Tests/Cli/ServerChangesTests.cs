using System.Text.Json;
using Weir.Cli;
using Weir.Host;
using Weir.Tests.Learn;
using Weir.Tests.Register;

namespace Weir.Tests.Cli;

/// <summary>Servers are added, drained, stopped and forgotten by hand while a run goes on, over processes.</summary>
public sealed class ServerChangesTests : IDisposable
{
    private static readonly string[] Run = ["train", "--rows", "4000", "--test-rows", "1000", "--batch", "200", "--delay", "0"];

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_goes_on_while_servers_come_are_drained_and_are_stopped_and_its_model_is_the_same()
    {
        string[] run = [.. Run, "--passes", "200"];
        (await ToolRun.Of([.. run, "--out", _folder["undisturbed"]])).IsDone();
        await using var first = new ToolChild("serve");
        string cluster = Address(await first.LineAsync("serving at "));
        await using var second = new ToolChild("add", "--cluster", cluster, "--report", _folder["add.json"]);
        string other = Address(await second.LineAsync("serving at "));
        await using var train = new ToolChild([.. run, "--cluster", cluster, "--out", _folder["disturbed"]]);
        await train.LineAsync("rows/s");
        await using var third = new ToolChild("add", "--cluster", other);
        string late = Address(await third.LineAsync("serving at "));

        using JsonDocument added = JsonDocument.Parse(File.ReadAllBytes(_folder["add.json"]));
        string id = added.RootElement.GetProperty("id").GetString()!;
        ToolRun drained = await ToolRun.Of("drain", id[..8], "--cluster", cluster);
        drained.IsDone();
        Assert.Contains("is empty: it may be stopped", drained.Output);
        ToolRun status = await ToolRun.Of("status", "--cluster", cluster, "--report", _folder["status.json"]);
        status.IsDone();
        Assert.Contains($"{other} (drained)", status.Output);
        using (JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["status.json"])))
        {
            JsonElement member = report.RootElement.GetProperty("members").EnumerateArray().Single(m => m.GetProperty("address").GetString() == other);
            Assert.Equal((0, true), (member.GetProperty("segmentsHeld").GetInt32(), member.GetProperty("draining").GetBoolean()));
            Assert.Equal(
                ["mapVersion", "generation", "members", "down", "repairing"],
                report.RootElement.EnumerateObject().Select(property => property.Name).Take(5));
        }

        // One that is drained is stopped by hand, one that is not hands over first.
        (await ToolRun.Of("forget", other, "--cluster", cluster)).IsDone();
        Assert.True(await second.ExitAsync() == ExitCode.Done, second.Text);
        Assert.Contains("drained and the cluster has forgotten it", second.Text);
        third.Interrupt();
        Assert.True(await third.ExitAsync() == ExitCode.Done, third.Text);
        Assert.Contains("handed over what it held, and left the cluster", third.Text);
        Assert.True(await train.ExitAsync() == ExitCode.Done, train.Text);
        Assert.Equal(Model("undisturbed"), Model("disturbed"));
        status = await ToolRun.Of("status", "--cluster", cluster);
        Assert.DoesNotContain(late, status.Output);
        Assert.DoesNotContain("lost:", status.Output);
    }

    [Fact]
    public async Task What_cannot_be_drained_or_forgotten_is_refused_in_words()
    {
        await using var first = new ToolChild("serve", "--listen", "0.0.0.0:0", "--advertise", "127.0.0.1:0");
        string cluster = Address(await first.LineAsync("serving at "));
        Assert.StartsWith("127.0.0.1:", cluster);
        Assert.False(cluster.EndsWith(":0", StringComparison.Ordinal));
        (await ToolRun.Of("drain", "nobody", "--cluster", cluster)).Complains(ExitCode.Failed, "there is no server nobody");
        (await ToolRun.Of("drain", cluster, "--cluster", cluster)).Complains(ExitCode.Failed, "no other server could take over");
        (await ToolRun.Of("forget", cluster, "--cluster", cluster, "--give-up")).Complains(ExitCode.Failed, "register's only acceptor");
        (await ToolRun.Of("drain", "--cluster", cluster)).Complains(ExitCode.Usage, "Required argument missing");
        (await ToolRun.Of("forget", cluster)).Complains(ExitCode.Usage, "--cluster");
        await using var watch = new ToolChild("status", "--cluster", cluster, "--watch");
        await watch.LineAsync("map ");
        watch.Interrupt();
        Assert.Equal(ExitCode.Done, await watch.ExitAsync());

        // The only server of a cluster has nobody to hand over to.
        first.Interrupt();
        Assert.True(await first.ExitAsync() == ExitCode.Done, first.Text);
        Assert.Contains("ends without having handed over", first.Text);
    }

    /// <summary>To join a cluster that lives, or to count the servers of a dead one as lost, is nobody's wish who starts a new one.</summary>
    [Fact]
    public async Task Up_refuses_an_etcd_prefix_that_has_the_map_of_another_cluster()
    {
        EtcdCluster.SkipIfMissing();
        await using EtcdCluster etcd = await EtcdCluster.StartAsync(1);
        string register = etcd.NewAddress();
        await using (WeirServer server = await WeirHost.ServeAsync(new ServeOptions { EtcdRegister = register, JoinMs = 60_000 }, cancellation: TestContext.Current.CancellationToken))
        {
            Assert.NotEmpty(server.Address);
        }

        (await ToolRun.Of("up", "--servers", "1", "--register", register)).Complains(ExitCode.Failed, "has the map of a cluster already");
    }

    private static string Address(string line) => line["serving at ".Length..];

    private byte[] Model(string run) => File.ReadAllBytes(_folder[$"{run}/model.weir"]);
}
