using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Weir.Cli;
using Weir.Cli.Bench;
using Weir.Client;
using Weir.Host;
using Weir.Tests.Cli;
using Weir.Tests.Learn;
using Weir.Tests.Repo;

namespace Weir.Tests.Docs;

/// <summary>docs/three-hosts.md is typed as it stands there.</summary>
public sealed partial class ThreeHostsTests : IDisposable
{
    private const string Page = "docs/three-hosts.md";

    // The hosts' addresses in the page; on one machine the same of the loopback stand for them.
    private const string Hosts = "10.0.0.";
    private const string Loopback = "127.0.0.";

    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_command_of_the_page_is_one_that_the_tool_takes()
    {
        string[] lines = [.. Commands(), .. Inline().Matches(Repository.Text(Page)).Select(match => match.Groups[1].Value.Replace("...", Hosts + "1:4000", StringComparison.Ordinal))];
        Assert.Equal(3 * 3, lines.Count(line => line.Contains("--acceptor-folder", StringComparison.Ordinal)));
        Assert.Contains(lines, line => line.StartsWith("weir drain ", StringComparison.Ordinal));
        Assert.All(lines, line => Assert.Empty(Tool.Faults(line.Split(' ')[1..])));
        Assert.NotEmpty(Tool.Faults(["serve", "--lisen", "0.0.0.0:4000"]));
    }

    [Fact]
    public async Task The_commands_of_the_three_hosts_start_a_cluster_that_trains_and_take_back_a_host_with_its_disk_and_without()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "only Linux has 127.0.0.2 and 127.0.0.3 without asking for them");
        using var free = new TcpListener(IPAddress.Any, 0);
        free.Start();
        int port = ((IPEndPoint)free.LocalEndpoint).Port;
        free.Stop();
        ToolChild[] servers = [.. Enumerable.Range(1, 3).Select(host => new ToolChild(Serve(host, " --acceptor-start first", port)))];
        try
        {
            await Task.WhenAll(servers.Select(server => server.LineAsync("serving at ")));
            (await ToolRun.Of([.. Local(Command("weir train --cluster"), port), "--rows", "1000", "--test-rows", "200", "--passes", "1", "--out", _folder["model"]])).IsDone();
            await servers[2].DisposeAsync();
            servers[2] = new ToolChild(Serve(3, "", port));
            await servers[2].LineAsync("serving at ");

            // One may die at a time: the next once the copies of the first are made again.
            await using WeirClient client = await WeirHost.ConnectAsync([$"{Loopback}1:{port}"], cancellation: TestContext.Current.CancellationToken);
            await RepairedCluster.AwaitAsync(client, 3, TestContext.Current.CancellationToken);
            await servers[1].DisposeAsync();
            Directory.Delete(Acceptor(2), recursive: true);
            servers[1] = new ToolChild(Serve(2, " --acceptor-start replaced", port));
            await servers[1].LineAsync("serving at ");
            await servers[1].LineAsync("has taken over what stands among the others");
            await RepairedCluster.AwaitAsync(client, 3, TestContext.Current.CancellationToken);
            ToolRun status = await ToolRun.Of([.. Local(Command("weir status --cluster"), port).Where(word => word != "--watch")]);
            status.IsDone();
            Assert.All(Enumerable.Range(1, 3), host => Assert.Contains($"{Loopback}{host}:{port}", status.Output));
            Assert.DoesNotContain("lost:", status.Output);
        }
        finally
        {
            foreach (ToolChild server in servers)
            {
                await server.DisposeAsync();
            }
        }
    }

    /// <summary>The command of a host that ends so, for this machine: all hosts cannot listen on every interface of it at one port.</summary>
    private string[] Serve(int host, string end, int port)
    {
        string line = Assert.Single(
            Commands(), l => l.Contains($"--advertise {Hosts}{host}:", StringComparison.Ordinal) && l.EndsWith("--acceptor-folder weir-acceptor" + end, StringComparison.Ordinal));
        Assert.Contains("--listen 0.0.0.0:4000 ", line);
        return Local(line.Replace("--listen 0.0.0.0:", $"--listen {Hosts}{host}:", StringComparison.Ordinal).Replace("weir-acceptor", Acceptor(host), StringComparison.Ordinal), port);
    }

    private string Acceptor(int host) => _folder[string.Create(CultureInfo.InvariantCulture, $"acceptor-{host}")];

    private static string[] Local(string line, int port) =>
        line.Replace(Hosts, Loopback, StringComparison.Ordinal).Replace(":4000", $":{port}", StringComparison.Ordinal).Split(' ')[1..];

    private static string Command(string beginning) => Assert.Single(Commands(), line => line.StartsWith(beginning, StringComparison.Ordinal));

    private static IEnumerable<string> Commands() =>
        Block().Matches(Repository.Text(Page))
            .SelectMany(match => Continued().Replace(match.Groups[1].Value, " ").Split('\n', StringSplitOptions.RemoveEmptyEntries));

    [GeneratedRegex(@"^```\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    // A line that ends in a backslash goes on in the next.
    [GeneratedRegex(@" *\\\n *")]
    private static partial Regex Continued();

    [GeneratedRegex("`(weir [a-z]+ [^`]*--[^`]*)`")]
    private static partial Regex Inline();
}
