using Weir.Cli;
using Weir.Client;
using Weir.Host;
using Weir.Tests.Host;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary><c>weir checkpoint save|list|verify|restore</c> as typed, and each with what may be wrong.</summary>
public sealed class CheckpointCommandTests : IDisposable
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 5000).Select(i => (ulong)i * 31)];
    private static readonly TableOptions Declared = new() { Name = "t" };

    private readonly ScratchFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_cluster_is_saved_listed_verified_and_restored_on_another_number_of_servers()
    {
        string folder = _folder["c"];
        await using (WeirServer first = await ServeAsync())
        {
            await using WeirServer second = await ServeAsync(first.Address);
            await FillAsync(first.Address, 3f);
            ToolRun saved = await ToolRun.Of("checkpoint", "save", "--cluster", first.Address, "--dir", folder, "--name", "monday");
            saved.IsDone();
            Assert.Contains("checkpoint monday: 5,000 rows", saved.Output, StringComparison.Ordinal);
            (await ToolRun.Of("checkpoint", "save", "--cluster", second.Address, "--dir", folder, "--name", "tuesday")).IsDone();
            (await ToolRun.Of("checkpoint", "save", "--cluster", second.Address, "--dir", folder, "--name", "wednesday", "--keep", "2")).IsDone();
        }

        ToolRun listed = await ToolRun.Of("checkpoint", "list", "--dir", folder);
        listed.IsDone();
        Assert.DoesNotContain("monday", listed.Output, StringComparison.Ordinal);
        Assert.Contains("tuesday: 5,000 rows", listed.Output, StringComparison.Ordinal);
        Assert.Contains("64 segments; tables t", listed.Output, StringComparison.Ordinal);
        ToolRun verified = await ToolRun.Of("checkpoint", "verify", "--dir", folder);
        verified.IsDone();
        Assert.Contains("checkpoint wednesday is as it was written", verified.Output, StringComparison.Ordinal);

        await using WeirServer alone = await ServeAsync();
        ToolRun restored = await ToolRun.Of("checkpoint", "restore", "--cluster", alone.Address, "--dir", folder, "--name", "tuesday");
        restored.IsDone();
        Assert.Contains("checkpoint tuesday is loaded: 5,000 rows", restored.Output, StringComparison.Ordinal);
        Assert.All(await ReadAsync(alone.Address), value => Assert.Equal(3f, value));
    }

    [Fact]
    public async Task A_damaged_or_missing_file_is_named_and_the_cluster_keeps_what_it_has()
    {
        string folder = _folder["c"], file = Path.Combine(folder, "one", "blocks-00000");
        await using WeirServer server = await ServeAsync();
        await FillAsync(server.Address, 1f);
        (await ToolRun.Of("checkpoint", "save", "--cluster", server.Address, "--dir", folder, "--name", "one")).IsDone();
        await FillAsync(server.Address, 1f);
        byte[] sound = File.ReadAllBytes(file), damaged = [.. sound];
        damaged[sound.Length / 3] ^= 16;
        File.WriteAllBytes(file, damaged);
        await FailsAsync("one/blocks-00000 is damaged", "verify", "--dir", folder);
        await FailsAsync("one/blocks-00000 is damaged", "restore", "--dir", folder, "--cluster", server.Address);
        File.WriteAllBytes(file, sound[..^9]);
        await FailsAsync("one/blocks-00000 is truncated", "verify", "--dir", folder);
        File.Delete(file);
        await FailsAsync("one/blocks-00000 is missing", "restore", "--dir", folder, "--cluster", server.Address);
        Assert.All(await ReadAsync(server.Address), value => Assert.Equal(2f, value));
        File.WriteAllBytes(file, sound);
        File.WriteAllText(Path.Combine(folder, "one", "manifest"), "no manifest");
        await FailsAsync("one/manifest is not the manifest of a checkpoint", "verify", "--dir", folder);
        ToolRun listed = await ToolRun.Of("checkpoint", "list", "--dir", folder);
        Assert.Contains("one/manifest is not the manifest", listed.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_place_a_name_or_a_cluster_that_is_not_there_is_said()
    {
        string nobody = "127.0.0.1:1", folder = _folder["none"], file = _folder.Write("file", "");
        foreach (string[] command in (string[][])[["list"], ["verify"], ["restore", "--cluster", nobody]])
        {
            await FailsAsync($"{folder}: there is no such folder", [.. command, "--dir", folder]);
            await FailsAsync($"{file}: is a file; checkpoints are in a folder", [.. command, "--dir", file]);
        }

        Directory.CreateDirectory(folder);
        ToolRun listed = await ToolRun.Of("checkpoint", "list", "--dir", folder);
        listed.IsDone();
        Assert.Contains("no checkpoint in", listed.Output, StringComparison.Ordinal);
        await FailsAsync("no checkpoint in", "verify", "--dir", folder);
        await FailsAsync("monday/manifest is missing: there is no checkpoint of this name", "verify", "--dir", folder, "--name", "monday");
        await FailsAsync("no cluster found within 5 s: 127.0.0.1:1", "save", "--dir", folder, "--cluster", nobody);
        await FailsAsync("no cluster found within 5 s: 127.0.0.1:1", "restore", "--dir", folder, "--cluster", nobody, "--name", "monday");
        await using WeirServer server = await ServeAsync();
        await FailsAsync($"{file}: is a file; checkpoints go into a folder", "save", "--dir", file, "--cluster", server.Address);
        await FailsAsync("monday/manifest is missing", "restore", "--dir", folder, "--cluster", server.Address, "--name", "monday");
        Assert.Empty(Directory.GetFileSystemEntries(folder));
    }

    [Fact]
    public async Task A_cluster_of_another_number_of_segments_or_with_tables_of_its_own_keeps_what_it_has()
    {
        await using (WeirServer server = await ServeAsync())
        {
            await FillAsync(server.Address, 1f);
            (await ToolRun.Of("checkpoint", "save", "--cluster", server.Address, "--dir", _folder["c"])).IsDone();
        }

        await using WeirServer larger = await ServeAsync(segmentBits: 7);
        await FailsAsync("the checkpoint has 64 segments and this cluster 128", "restore", "--dir", _folder["c"], "--cluster", larger.Address);
        await using WeirServer used = await ServeAsync();
        await FillAsync(used.Address, 5f);
        await FailsAsync("Load it into a new cluster", "restore", "--dir", _folder["c"], "--cluster", used.Address);
        Assert.All(await ReadAsync(used.Address), value => Assert.Equal(5f, value));
    }

    [Theory]
    [InlineData("checkpoint save --cluster 127.0.0.1:1", "--dir")]
    [InlineData("checkpoint list", "--dir")]
    [InlineData("checkpoint restore --dir c", "--cluster")]
    [InlineData("checkpoint verify --dir c --name a/b", "--name: a checkpoint's name has 1 to 100 letters")]
    [InlineData("checkpoint verify --dir s3://Models", "--dir: 's3://Models' is no address of a store: a bucket's name")]
    [InlineData("checkpoint save --cluster 127.0.0.1:1 --dir s3:/models/a", "write s3://bucket/prefix")]
    [InlineData("checkpoint save --cluster 127.0.0.1:1 --dir c --keep 0", "--keep is '0'")]
    [InlineData("train --checkpoint s3://", "--checkpoint: 's3://' is no address of a store")]
    [InlineData("train --resume s3://models/a//b", "--resume: 's3://models/a//b' is no address of a store")]
    [InlineData("bench checkpoint --rows 5 --gigabytes 4", "--rows and --gigabytes contradict each other")]
    [InlineData("bench checkpoint --rows 0", "--rows is '0'")]
    public async Task A_wrong_command_line_is_explained(string line, string expected) =>
        (await ToolRun.Of(line.Split(' '))).Complains(ExitCode.Usage, expected);

    /// <summary>As a user has it: a bucket that the variables of AWS lead to, for every command that takes a folder.</summary>
    [Fact]
    public async Task A_bucket_takes_the_place_of_a_folder_everywhere()
    {
        S3Server.SkipIfMissing();
        await using S3Server store = await S3Server.StartAsync();
        string place = $"s3://{S3Server.Bucket}/runs/1";
        string[] run = ["train", "--rows", "4000", "--test-rows", "1000", "--batch", "100", "--delay", "0", "--passes"];
        (await ToolRun.Of([.. run, "30", "--out", _folder["undisturbed"]])).IsDone();
        await using (var killed = new ToolChild(store.Variables, [.. run, "30", "--out", _folder["killed"], "--checkpoint", place, "--checkpoint-every", "10clocks"]))
        {
            await killed.LineAsync("checkpoint 2");
        }

        await ChildAsync(store.Variables, ExitCode.Done, "segments; tables train-", "checkpoint", "list", "--dir", place);
        await ChildAsync(store.Variables, ExitCode.Done, "is as it was written", "checkpoint", "verify", "--dir", place);
        await using (WeirServer server = await ServeAsync(segmentBits: 8))
        {
            await ChildAsync(store.Variables, ExitCode.Done, "is loaded", "checkpoint", "restore", "--dir", place, "--cluster", server.Address);
            await ChildAsync(store.Variables, ExitCode.Done, "checkpoint loaded", "checkpoint", "save", "--dir", place + "/loaded", "--name", "loaded", "--cluster", server.Address);
        }

        await using (WeirServer server = await ServeAsync())
        {
            await FillAsync(server.Address, 1f);
            await ChildAsync(store.Variables, ExitCode.Done, "checkpoint again", "checkpoint", "save", "--dir", place + "/below", "--name", "again", "--cluster", server.Address);
        }

        await ChildAsync(store.Variables, ExitCode.Done, "going on from checkpoint", [.. run, "30", "--servers", "3", "--out", _folder["resumed"], "--resume", place]);
        Assert.Equal(File.ReadAllBytes(_folder["undisturbed/model.weir"]), File.ReadAllBytes(_folder["resumed/model.weir"]));
        await ChildAsync(store.Variables, ExitCode.Failed, "has no bucket nobody-made-it", "checkpoint", "list", "--dir", "s3://nobody-made-it");
        await ChildAsync(store.Variables, ExitCode.Failed, "has no bucket nobody-made-it", [.. run, "30", "--out", _folder["none"], "--checkpoint", "s3://nobody-made-it"]);
        Assert.False(Directory.Exists(_folder["none"]));
    }

    [Fact]
    public async Task Without_credentials_a_region_or_a_sound_endpoint_the_tool_says_which_variable_to_set()
    {
        var none = new Dictionary<string, string>
        {
            ["AWS_EC2_METADATA_DISABLED"] = "true",
            ["AWS_SHARED_CREDENTIALS_FILE"] = _folder["none"],
            ["AWS_CONFIG_FILE"] = _folder["none"],
            ["AWS_ACCESS_KEY_ID"] = "",
            ["AWS_SECRET_ACCESS_KEY"] = "",
            ["AWS_PROFILE"] = "",
            ["AWS_ENDPOINT_URL_S3"] = "",
            ["AWS_ENDPOINT_URL"] = "",
            ["AWS_REGION"] = "",
            ["AWS_DEFAULT_REGION"] = "",
        };
        string[] list = ["checkpoint", "list", "--dir", "s3://models/a"];
        await ChildAsync(none, ExitCode.Failed, "no region is known: set AWS_REGION", list);
        await ChildAsync(new Dictionary<string, string>(none) { ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1" }, ExitCode.Failed, "no AWS credentials were found: set AWS_ACCESS_KEY_ID", list);
        await ChildAsync(new Dictionary<string, string>(none) { ["AWS_ENDPOINT_URL"] = "127.0.0.1:1" }, ExitCode.Failed, "AWS_ENDPOINT_URL is '127.0.0.1:1'; it must be http://host:port", list);
    }

    private static async Task ChildAsync(IReadOnlyDictionary<string, string> variables, int code, string expected, params string[] arguments)
    {
        await using var child = new ToolChild(variables, arguments);
        Assert.True(await child.ExitAsync() == code, child.Text);
        Assert.Contains(expected, child.Text, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", child.Text, StringComparison.Ordinal);
    }

    private static async Task FailsAsync(string expected, params string[] arguments) => (await ToolRun.Of(["checkpoint", .. arguments])).Complains(ExitCode.Failed, expected);

    private static Task<WeirServer> ServeAsync(string? join = null, int segmentBits = 6) =>
        WeirHost.ServeAsync(new ServeOptions { Join = join, SegmentBits = segmentBits, JoinMs = 60_000 }, cancellation: Cancellation);

    private static async Task FillAsync(string address, float value)
    {
        await using WeirClient client = await WeirHost.ConnectAsync([address], cancellation: Cancellation);
        WeirTable table = await client.OpenTableAsync(Declared, Cancellation);
        await client.PushAsync(table, Keys, Enumerable.Repeat(value, Keys.Length).ToArray(), Cancellation);
    }

    private static async Task<float[]> ReadAsync(string address)
    {
        await using WeirClient client = await WeirHost.ConnectAsync([address], cancellation: Cancellation);
        float[] read = new float[Keys.Length];
        Assert.Equal(Keys.Length, (await client.PullAsync(await client.OpenTableAsync(Declared, Cancellation), Keys, read, Cancellation)).Found);
        return read;
    }
}
