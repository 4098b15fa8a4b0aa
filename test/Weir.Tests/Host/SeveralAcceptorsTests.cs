using System.Net;
using System.Net.Sockets;
using Weir.Client;
using Weir.Host;
using Weir.Register;
using Weir.Tests.Learn;

namespace Weir.Tests.Host;

/// <summary>Servers over real sockets whose register has three acceptors on real disks.</summary>
public class SeveralAcceptorsTests
{
    [Fact]
    public async Task The_first_server_stops_and_the_cluster_goes_on_deciding_and_takes_it_in_again_with_its_acceptor()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var scratch = new ScratchFolder();
        string[] addresses = FreeAddresses(3);
        Task<WeirServer> Start(int server, bool isFirstStart) => WeirHost.ServeAsync(
            new ServeOptions
            {
                Listen = addresses[server],
                Join = server == 0 && isFirstStart ? null : addresses[(server + 1) % 3],
                SegmentBits = 6,
                NodeTimeoutMs = 2000,
                Register = new RegisterOptions { Acceptors = addresses, Cluster = 77, Folder = scratch[$"acceptor {server}"], Start = isFirstStart ? AcceptorStart.First : AcceptorStart.Again },
            },
            cancellation: stop);
        Task<WeirServer>[] starting = [.. Enumerable.Range(0, 3).Select(server => Start(server, isFirstStart: true))];
        WeirServer[] servers = await Task.WhenAll(starting);
        try
        {
            await using WeirClient client = await WeirHost.ConnectAsync(addresses, cancellation: stop);
            await client.OpenTableAsync(new TableOptions { Name = "before" }, stop);
            await servers[0].DisposeAsync();
            await client.OpenTableAsync(new TableOptions { Name = "after" }, stop);
            servers[0] = await Start(0, isFirstStart: false);
            await servers[1].DisposeAsync();
            await client.OpenTableAsync(new TableOptions { Name = "later" }, stop);
        }
        finally
        {
            foreach (WeirServer server in servers)
            {
                await server.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task A_server_that_is_to_host_an_acceptor_at_another_address_is_refused()
    {
        using var scratch = new ScratchFolder();
        ArgumentException fault = await Assert.ThrowsAsync<ArgumentException>(() => WeirHost.ServeAsync(
            new ServeOptions { Register = new RegisterOptions { Acceptors = ["10.0.0.1:4000"], Cluster = 7, Folder = scratch["a"], Start = AcceptorStart.First } },
            cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("none of the acceptors' addresses: 10.0.0.1:4000", fault.Message);
    }

    /// <summary>One that forgot says what to do about it, in the log and where the start fails for it: not that other servers should be started.</summary>
    [Fact]
    public async Task A_server_whose_acceptor_forgot_says_so_where_it_finds_no_majority()
    {
        using var scratch = new ScratchFolder();
        Directory.CreateDirectory(scratch["emptied"]);
        using var log = new RecordingLog();
        string[] addresses = FreeAddresses(3);
        var options = new ServeOptions
        {
            Listen = addresses[0],
            JoinMs = 300,
            Register = new RegisterOptions { Acceptors = addresses, Cluster = 77, Folder = scratch["emptied"] },
        };
        WeirException failure = await Assert.ThrowsAsync<WeirException>(() => WeirHost.ServeAsync(options, log, TestContext.Current.CancellationToken));
        Assert.All(
            [failure.Message, Assert.Single(log.Lines, line => line.Contains("may have forgotten", StringComparison.Ordinal))],
            text => Assert.Contains("start this server once with --acceptor-start replaced", text));
        Assert.DoesNotContain("are the other servers", failure.Message);
    }

    private static string[] FreeAddresses(int count)
    {
        TcpListener[] listeners = [.. Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0))];
        foreach (TcpListener listener in listeners)
        {
            listener.Start();
        }

        string[] addresses = [.. listeners.Select(l => l.LocalEndpoint.ToString()!)];
        foreach (TcpListener listener in listeners)
        {
            listener.Stop();
        }

        return addresses;
    }
}
