using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Weir.Client;
using Weir.Host;
using Weir.Host.Sockets;
using Weir.Tests.Chaos;
using Weir.Tests.Learn;

namespace Weir.Tests.Host;

/// <summary>Peers that connect and say nothing, by the thousand: they hold a connection each and nobody up.</summary>
public class IdleConnectionsTests
{
    private const int Wanted = 10_000;

    /// <summary>Open files that the process needs for other things.</summary>
    private const int Spare = 1_500;

    // The address of the server, and the file that says when all are connected.
    private const string Variable = "WEIR_CROWD";

    [Fact]
    public async Task Ten_thousand_idle_connections_leave_those_who_work_unharmed_and_are_closed()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;

        // The server leaves a quarter of its files to others; the crowd has a process of its own.
        const int Needed = (Wanted + Spare) * 4 / 3;
        int files = OpenFiles();
        Assert.SkipWhen(files < Needed, $"{Wanted:N0} connections need {Needed:N0} open files, and this process may open {files:N0} (ulimit -n)");

        // As many as are accepted: who comes later and speaks is served all the same.
        var sockets = SocketOptions.Default with { MaxConnections = Wanted, FirstHeaderTimeoutMs = 600_000 };
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6, Host = HostOptions.Default with { Sockets = sockets } }, cancellation: stop);
        await using WeirClient before = await WeirHost.ConnectAsync([server.Address], cancellation: stop);
        WeirTable table = await before.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        using var folder = new ScratchFolder();
        await using var crowd = new OwnProcess(typeof(IdleConnectionsTests), nameof(A_crowd_in_a_process_of_its_own), Variable, $"{server.Address} {folder["all are there"]}");
        while (!File.Exists(folder["all are there"]))
        {
            await Task.Delay(50, stop);
            if (crowd.HasExited)
            {
                await crowd.PassesAsync();
            }
        }

        ulong[] keys = [.. Enumerable.Range(0, 1000).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
        await before.PushAsync(table, keys, ones, stop);
        await using WeirClient after = await WeirHost.ConnectAsync([server.Address], cancellation: stop);
        WeirTable same = await after.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        await after.PushPullAsync(same, keys, ones, read, stop);
        Assert.All(read, value => Assert.Equal(2, value));
    }

    [Fact(Explicit = true)]
    public async Task A_crowd_in_a_process_of_its_own()
    {
        string[] told = Environment.GetEnvironmentVariable(Variable)?.Split(' ', 2) ?? [];
        Assert.SkipWhen(told.Length == 0, "a part of another");
        List<Socket> silent = [];
        while (silent.Count < Wanted)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            silent.Add(socket);
            await socket.ConnectAsync(IPEndPoint.Parse(told[0]));
        }

        await File.WriteAllTextAsync(told[1], "");
        // Until it is killed, or for two minutes where nobody is left who would.
        await Task.Delay(120_000, TestContext.Current.CancellationToken);
        silent.ForEach(socket => socket.Dispose());
    }

    /// <summary>
    /// Found by reading: a crowd took all the files that a process may open, the record of the register's acceptor could not be written, and the server stopped.
    /// </summary>
    [Fact]
    public async Task A_crowd_leaves_a_server_the_files_that_its_disk_needs()
    {
        const int Files = 400, Crowd = 500;
        Assert.SkipUnless(ChaosNetwork.TryRun("prlimit", "--version"), "no program prlimit in PATH, which sets how many files a process may open");
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var folder = new ScratchFolder();
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        string address = free.LocalEndpoint.ToString()!;
        free.Stop();
        await using var server = new ChaosServer(
            ["prlimit", $"--nofile={Files}:{Files}"],
            ["--listen", address, "--segments", "64", "--acceptors", address, "--cluster-number", "7", "--acceptor-folder", folder["acceptor"], "--acceptor-start", "first"]);
        await server.ServesAsync();
        List<Socket> silent = [];
        try
        {
            for (int i = 0; i < Crowd; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                silent.Add(socket);
                await socket.ConnectAsync(IPEndPoint.Parse(address), stop);
            }

            await using WeirClient client = await WeirHost.ConnectAsync([address], cancellation: stop);
            await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
            Assert.False(server.HasExited, server.Text);
            Assert.Contains("may not open more files", server.Text);
        }
        finally
        {
            silent.ForEach(socket => socket.Dispose());
        }
    }

    private static int OpenFiles()
    {
        if (!OperatingSystem.IsLinux())
        {
            return int.MaxValue;
        }

        // The runtime has raised the soft limit to the hard one.
        string line = File.ReadLines("/proc/self/limits").First(l => l.StartsWith("Max open files", StringComparison.Ordinal));
        string soft = line["Max open files".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
        return int.TryParse(soft, CultureInfo.InvariantCulture, out int limit) ? limit : int.MaxValue;
    }
}
