using Weir.Cli;
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
    public async Task A_damaged_checkpoint_is_named_and_not_loaded_and_an_empty_folder_says_so()
    {
        ToolRun none = await ToolRun.Of([.. Small, "--out", _folder["m"], "--resume", _folder["c"]]);
        none.Complains(ExitCode.Failed, "no checkpoint in");
        (await ToolRun.Of([.. Small, "--out", _folder["m"], "--checkpoint", _folder["c"], "--checkpoint-every", "10clocks", "--checkpoints-kept", "1"])).IsDone();
        string folder = Assert.Single(Directory.GetDirectories(_folder["c"]), d => File.Exists(Path.Combine(d, "manifest")));
        ToolRun other = await ToolRun.Of([.. Small, "--out", _folder["m"], "--resume", _folder["c"], "--workers", "3"]);
        other.Complains(ExitCode.Failed, "--workers 2");
        string file = Path.Combine(folder, "blocks-00000");
        byte[] bytes = File.ReadAllBytes(file);
        bytes[bytes.Length / 2] ^= 1;
        File.WriteAllBytes(file, bytes);
        ToolRun damaged = await ToolRun.Of([.. Small, "--out", _folder["m"], "--resume", _folder["c"]]);
        damaged.Complains(ExitCode.Failed, "blocks-00000");
        (await ToolRun.Of("checkpoint", "verify", "--dir", _folder["c"])).Complains(ExitCode.Failed, "blocks-00000");
    }

    [Theory]
    [InlineData("--checkpoint-every", "30")]
    [InlineData("--checkpoint-every", "0s")]
    [InlineData("--checkpoint-every", "5clocks")]
    public async Task An_interval_needs_a_unit_and_a_folder(string option, string value) =>
        (await ToolRun.Of("train", option, value)).Complains(ExitCode.Usage, option);
}
