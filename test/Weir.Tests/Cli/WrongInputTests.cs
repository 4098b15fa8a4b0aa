using System.Net;
using System.Net.Sockets;
using Weir.Cli;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>Input that is wrong ends the tool with exit code 1 and one line, and leaves nothing half-written behind.</summary>
public sealed class WrongInputTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("0 3:", ":17: \"3:\" has no value; expected index:value")]
    [InlineData("0 a:1", ":17: ")]
    [InlineData("0 -1:2", ":17: ")]
    [InlineData("0 18446744073709551616:1", ":17: ")]
    [InlineData("0 1:NaN", ":17: ")]
    [InlineData("2 1:1", ":17: ")]
    [InlineData("x 1:1", ":17: ")]
    [InlineData(null, ":17: the line is longer than")]
    public async Task A_bad_line_is_named_before_anything_was_written(string? line, string expected)
    {
        string good = string.Concat(Enumerable.Range(0, 16).Select(row => $"{row % 2} 1:1 {row + 2}:1\n"));
        string train = _folder.Write("bad.txt", $"{good}{line ?? "0 1:" + new string('1', 1 << 20)}\n{good}");
        await FailsAsync("bad.txt" + expected, "--train", train);
        await FailsAsync("bad.txt" + expected, "--train", _folder.Write("good.txt", good), "--test", train);
    }

    [Fact]
    public async Task A_third_label_is_named()
    {
        string train = _folder.Write("labels.txt", "0 1:1\n1 2:1\n-1 3:1\n");
        await FailsAsync("labels.txt:3: label -1 is a third one", "--train", train);
    }

    [Fact]
    public async Task A_file_that_is_missing_or_a_folder_or_empty_is_named()
    {
        await FailsAsync("there is no such file", "--train", _folder["missing.txt"]);
        Directory.CreateDirectory(_folder["folder"]);
        await FailsAsync("is a directory", "--train", _folder["folder"]);
        await FailsAsync("the file is empty", "--train", _folder.Write("empty.txt", ""));
        await FailsAsync("there is no such file", "--rows", "200", "--init-from", _folder["missing.weir"]);
        await FailsAsync("is not a Weir model file", "--rows", "200", "--init-from", _folder.Write("text.txt", "some text that is no model"));
    }

    [Fact]
    public async Task An_output_that_cannot_be_written_is_named_before_the_training()
    {
        string file = _folder.Write("file", "");
        (await ToolRun.Of("train", "--rows", "200", "--out", file)).Complains(ExitCode.Failed, "is a file; --out takes a folder");
        await FailsAsync("there is no folder", "--rows", "200", "--report", Path.Combine(_folder["none"], "r.json"));
        Directory.CreateDirectory(_folder["folder"]);
        await FailsAsync("is a folder; --report takes a file", "--rows", "200", "--report", _folder["folder"]);
    }

    [Fact]
    public async Task A_cluster_where_nobody_is_is_named_and_given_up_in_the_stated_time()
    {
        string address = FreeAddress();
        await FailsAsync($"no cluster found within 5 s: {address}", "--rows", "200", "--test-rows", "10", "--cluster", address);
    }

    [Fact]
    public async Task A_port_in_use_is_named_with_what_to_do()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        string address = taken.LocalEndpoint.ToString()!;
        ToolRun run = await ToolRun.Of("serve", "--listen", address);
        run = run with { Error = string.Join('\n', run.Error.Split('\n').Where(line => line.StartsWith("weir: ", StringComparison.Ordinal))) };
        run.Complains(ExitCode.Failed, $"cannot listen on {address}: the port is in use; end the process that uses it or choose another port");
    }

    private static string FreeAddress()
    {
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        return free.LocalEndpoint.ToString()!;
    }

    [Fact]
    public async Task A_server_with_an_acceptor_under_another_address_than_the_acceptors_says_so()
    {
        string[] acceptors = ["127.0.0.1:7801", "127.0.0.1:7802", "127.0.0.1:7803"];
        (await ToolRun.Of(
            "serve", "--listen", "127.0.0.1:0", "--acceptors", string.Join(',', acceptors), "--cluster-number", "7", "--acceptor-folder", _folder["acceptor"], "--acceptor-start", "first",
            "--log", "error"))
            .Complains(ExitCode.Failed, $", which is none of the acceptors' addresses: {string.Join(", ", acceptors)}");
    }

    /// <summary>R2: a lone acceptor that forgot cannot be replaced, since there is nobody to learn from; it was advised all the same, after 10 s.</summary>
    [Theory]
    [InlineData(true, "finds no record of cluster 7")]
    [InlineData(false, "there is no folder")]
    public async Task The_only_acceptor_that_forgot_is_told_to_restore_a_checkpoint(bool hasFolder, string expected)
    {
        if (hasFolder)
        {
            Directory.CreateDirectory(_folder["acceptor"]);
        }

        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        string address = free.LocalEndpoint.ToString()!;
        free.Stop();
        ToolRun run = await ToolRun.Of(
            "serve", "--listen", address, "--acceptors", address, "--cluster-number", "7", "--acceptor-folder", _folder["acceptor"]);
        Assert.Equal(ExitCode.Failed, run.Code);
        Assert.Contains(expected, run.Error);
        Assert.Contains("restore a checkpoint there", run.Error);
        Assert.DoesNotContain("majority", run.Error);
    }

    private async Task FailsAsync(string expected, params string[] arguments)
    {
        string[] before = _folder.Names();
        (await ToolRun.Of(["train", "--out", _folder["model"], .. arguments])).Complains(ExitCode.Failed, expected);
        Assert.Equal(before, _folder.Names());
    }
}
