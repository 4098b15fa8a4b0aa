using Weir.Cli;
using Weir.Client;
using Weir.Host;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary><c>weir train --checkpoint</c> and <c>--resume</c>, <c>weir checkpoint</c>.</summary>
public sealed class ResumeTests : IDisposable
{
    private static readonly string[] Small = ["train", "--rows", "4000", "--test-rows", "1000", "--batch", "100", "--delay", "0", "--passes", "20"];

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Killed in mid-run with everything it had, and resumed on another number of servers: the model is the undisturbed run's, byte for byte.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_run_that_was_killed_and_resumed_ends_in_the_same_bytes(bool processes)
    {
        string[] kind = processes ? ["--processes"] : [];
        (await ToolRun.Of([.. Small, "--out", _folder["undisturbed"]])).IsDone();
        await using (var tool = new ToolChild([.. Small, .. kind, "--out", _folder["killed"], "--checkpoint", _folder["c"], "--checkpoint-every", "10clocks"]))
        {
            await tool.LineAsync("checkpoint 2");
        }

        ToolRun verified = await ToolRun.Of("checkpoint", "verify", "--dir", _folder["c"]);
        verified.IsDone();
        ToolRun resumed = await ToolRun.Of([.. Small, .. kind, "--servers", "3", "--out", _folder["resumed"], "--resume", _folder["c"]]);
        Assert.True(resumed.Code == ExitCode.Done, resumed.Error);
        Assert.Contains("going on from checkpoint", resumed.Output, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(_folder["killed"], "model.weir")));
        Assert.Equal(File.ReadAllBytes(Path.Combine(_folder["undisturbed"], "model.weir")), File.ReadAllBytes(Path.Combine(_folder["resumed"], "model.weir")));
    }

    [Fact]
    public async Task A_damaged_checkpoint_is_named_and_not_loaded_and_a_missing_folder_says_so()
    {
        ToolRun none = await ToolRun.Of([.. Small, "--out", _folder["m"], "--resume", _folder["c"]]);
        none.Complains(ExitCode.Failed, "there is no such folder");
        (await ToolRun.Of([.. Small, "--out", _folder["m"], "--checkpoint", _folder["c"], "--checkpoint-every", "10clocks", "--checkpoints-kept", "1"])).IsDone();
        string folder = Assert.Single(Directory.GetDirectories(_folder["c"]), d => File.Exists(Path.Combine(d, "manifest")));
        string file = Path.Combine(folder, "blocks-00000");
        byte[] bytes = File.ReadAllBytes(file);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(file, bytes);
        ToolRun damaged = await ToolRun.Of([.. Small, "--out", _folder["m"], "--resume", _folder["c"]]);
        damaged.Complains(ExitCode.Failed, "blocks-00000");
        (await ToolRun.Of("checkpoint", "verify", "--dir", _folder["c"])).Complains(ExitCode.Failed, "blocks-00000");
    }

    /// <summary>Which batches there are, and what a push does, must be the run's; nothing is begun or loaded where they are not.</summary>
    [Fact]
    public async Task Data_or_options_that_do_not_fit_the_checkpoint_are_said_before_anything_begins()
    {
        (await ToolRun.Of([.. Small, "--out", _folder["whole"], "--checkpoint", _folder["c"], "--checkpoint-every", "10clocks"])).IsDone();
        foreach ((string[] changed, string expected) in ((string[], string)[])[
            (["--workers", "3"], "the run to resume has 2 workers, not 3"),
            (["--rows", "5000"], "the run to resume reads 4,000 rows"),
            (["--seed", "2"], "the run to resume reads 4,000 rows"),
            (["--batch", "50"], "in batches of 100, and this command line 4,000 rows"),
            (["--rule", "adagrad"], "the run to resume had other options: its table has width 1, "),
            (["--l1", "7"], "the run to resume had other options"),
            (["--delay", "1"], "the run to resume had other options: its table has"),
            (["--admit-after", "2"], "this command line asks for width 1"),
            (["--passes", "1"], "it has nothing left to do. Add passes")])
        {
            // An option that is given twice is a fault of its own: what changes takes the place of what there is.
            string[] line = [.. Small];
            line = Array.IndexOf(line, changed[0]) is >= 0 and int at ? [.. line[..(at + 1)], changed[1], .. line[(at + 2)..]] : [.. line, .. changed];
            (await ToolRun.Of([.. line, "--out", _folder["other"], "--resume", _folder["c"]])).Complains(ExitCode.Failed, expected);
            Assert.False(Directory.Exists(_folder["other"]));
        }

        string[] longer = [.. Small[..^1], "22"];
        (await ToolRun.Of([.. longer, "--out", _folder["longer"]])).IsDone();
        (await ToolRun.Of([.. longer, "--out", _folder["resumed"], "--resume", _folder["c"]])).IsDone();
        Assert.Equal(File.ReadAllBytes(_folder["longer/model.weir"]), File.ReadAllBytes(_folder["resumed/model.weir"]));
    }

    [Fact]
    public async Task A_run_is_resumed_in_a_cluster_that_is_there_already_unless_somebody_works_in_it()
    {
        (await ToolRun.Of([.. Small, "--out", _folder["whole"], "--checkpoint", _folder["c"], "--checkpoint-every", "10clocks"])).IsDone();
        await using WeirServer first = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 8, JoinMs = 60_000 }, cancellation: TestContext.Current.CancellationToken);
        await using WeirServer second = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 8, Join = first.Address, JoinMs = 60_000 }, cancellation: TestContext.Current.CancellationToken);
        string[] resume = [.. Small, "--out", _folder["resumed"], "--resume", _folder["c"], "--cluster"];
        ToolRun resumed = await ToolRun.Of([.. resume, second.Address]);
        resumed.IsDone();
        Assert.Contains("going on from checkpoint", resumed.Output, StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(_folder["whole/model.weir"]), File.ReadAllBytes(_folder["resumed/model.weir"]));

        await using WeirServer smaller = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6, JoinMs = 60_000 }, cancellation: TestContext.Current.CancellationToken);
        (await ToolRun.Of([.. resume, smaller.Address])).Complains(ExitCode.Failed, "the checkpoint has 256 segments and this cluster 64");
        await using WeirClient busy = await WeirHost.ConnectAsync([smaller.Address], cancellation: TestContext.Current.CancellationToken);
        await busy.OpenJobAsync(new JobOptions { Name = "mine", Workers = 1 }, TestContext.Current.CancellationToken);
        (await ToolRun.Of([.. resume, smaller.Address])).Complains(ExitCode.Failed, "the cluster runs job mine, which would go back or end");
        (await ToolRun.Of([.. resume, "127.0.0.1:1"])).Complains(ExitCode.Failed, "no cluster found within 5 s: 127.0.0.1:1");
    }

    [Theory]
    [InlineData("--checkpoint-every", "30")]
    [InlineData("--checkpoint-every", "0s")]
    [InlineData("--checkpoint-every", "5clocks")]
    public async Task An_interval_needs_a_unit_and_a_folder(string option, string value) =>
        (await ToolRun.Of("train", option, value)).Complains(ExitCode.Usage, option);
}
