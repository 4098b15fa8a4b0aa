using System.Diagnostics;
using System.Text.Json;
using Weir.Cli;
using Weir.Client;
using Weir.Host;
using Weir.Keys;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>Durable tables with real processes and files: all servers are killed at once and started again (G2).</summary>
public sealed class JournalProcessTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Every_token_that_was_acknowledged_is_there_once_after_a_kill_of_all_servers_in_mid_push()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        HashSet<ulong> acknowledged = [];
        ulong next = 1;
        for (int life = 0; life < 3; life++)
        {
            await using ToolChild up = Up();
            await up.LineAsync("Ctrl+C stops them");
            (string[] addresses, int[] processes) = Servers();
            await using WeirClient client = await WeirHost.ConnectAsync(addresses, cancellation: stop);
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "tokens", Durable = true }, stop);
            await CheckAsync(client, table, acknowledged, next);
            WeirTable memory = await client.OpenTableAsync(new TableOptions { Name = "memory" }, stop);
            if (life == 0)
            {
                await client.PushAsync(memory, new ulong[] { 1 }, new float[] { 1 }, stop);
            }
            else
            {
                WeirException lost = await Assert.ThrowsAsync<WeirException>(() => client.PullAsync(memory, new ulong[] { 1 }, new float[1], stop));
                Assert.Equal(Status.StateLost, lost.Status);
                Assert.Contains("memory", lost.Message);
            }

            // The kill falls while pushes are on their way.
            List<(ulong Token, Task Push)> pushes = [];
            int before = acknowledged.Count;
            while (acknowledged.Count < before + 100)
            {
                await AcknowledgeAsync(pushes.Count > 16 ? pushes : []);
                pushes.Add((next, client.PushAsync(table, new[] { next++ }, new float[] { 1 }, stop)));
            }

            foreach (int process in processes)
            {
                Process.GetProcessById(process).Kill();
            }

            foreach ((ulong token, Task push) in pushes)
            {
                if (push.IsCompletedSuccessfully)
                {
                    acknowledged.Add(token);
                }
            }

            Assert.Equal(ExitCode.Failed, await up.ExitAsync());
        }

        await using ToolChild last = Up();
        await last.LineAsync("Ctrl+C stops them");
        await using WeirClient reader = await WeirHost.ConnectAsync(Servers().Addresses, cancellation: stop);
        await CheckAsync(reader, await reader.OpenTableAsync(new TableOptions { Name = "tokens", Durable = true }, stop), acknowledged, next);
        last.Interrupt();
        Assert.Equal(ExitCode.Done, await last.ExitAsync());

        async Task AcknowledgeAsync(List<(ulong Token, Task Push)> pushes)
        {
            foreach ((ulong token, Task push) in pushes)
            {
                await push;
                acknowledged.Add(token);
            }

            pushes.Clear();
        }
    }

    [Fact]
    public async Task A_folder_of_another_cluster_and_other_servers_than_it_has_are_refused()
    {
        await using (ToolChild up = Up())
        {
            await up.LineAsync("Ctrl+C stops them");
            up.Interrupt();
            Assert.Equal(ExitCode.Done, await up.ExitAsync());
        }

        (await ToolRun.Of("up", "--servers", "2", "--journal", _folder["cluster"])).Complains(ExitCode.Failed, "was started with --servers 3 --replicas 1 --register-peers 3");
        (await ToolRun.Of("serve", "--journal", Path.Combine(_folder["cluster"], "server-1", "journal"))).Complains(ExitCode.Usage, "--journal needs --acceptors or --register");
        ToolRun serve = await ToolRun.Of(
            "serve", "--listen", "127.0.0.1:0", "--join", "127.0.0.1:1", "--acceptors", "127.0.0.1:1", "--cluster-number", "abc", "--journal", Path.Combine(_folder["cluster"], "server-1", "journal"));
        Assert.Equal(ExitCode.Failed, serve.Code);
        Assert.Contains("not of cluster abc: was the wrong folder named?", serve.Error);
    }

    private ToolChild Up() => new("up", "--servers", "3", "--replicas", "1", "--journal", _folder["cluster"], "--report", _folder["up.json"]);

    private (string[] Addresses, int[] Processes) Servers()
    {
        using JsonDocument report = JsonDocument.Parse(File.ReadAllBytes(_folder["up.json"]));
        JsonElement[] servers = [.. report.RootElement.GetProperty("servers").EnumerateArray()];
        return ([.. servers.Select(s => s.GetProperty("address").GetString()!)], [.. servers.Select(s => s.GetProperty("pid").GetInt32())]);
    }

    private static async Task CheckAsync(WeirClient client, WeirTable table, HashSet<ulong> acknowledged, ulong next)
    {
        Dictionary<ulong, float> rows = [];
        await foreach (RowBatch batch in client.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Span[i]);
            }
        }

        Assert.All(rows, row => Assert.True(row.Value == 1 && row.Key < next, $"token {row.Key} is there {row.Value} times"));
        Assert.DoesNotContain(acknowledged, token => !rows.ContainsKey(token));
    }
}
