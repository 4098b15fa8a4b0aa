using System.Net.Sockets;
using Weir.Client;
using Weir.Host;
using Weir.Host.Sockets;
using Weir.Tests.Learn;

namespace Weir.Tests.Host;

public class UnixSocketTests
{
    [Fact]
    public async Task A_cluster_lives_on_unix_sockets_alone()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var folder = new ScratchFolder();
        string first = $"unix:{folder["1.sock"]}";
        string second = $"unix:{folder["2.sock"]}";
        await using (WeirServer one = await WeirHost.ServeAsync(new ServeOptions { Listen = first, SegmentBits = 6 }, cancellation: stop))
        await using (WeirServer two = await WeirHost.ServeAsync(new ServeOptions { Listen = second, Join = first }, cancellation: stop))
        await using (WeirClient client = await WeirHost.ConnectAsync([second], cancellation: stop))
        {
            Assert.Equal((first, second), (one.Address, two.Address));
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
            ulong[] keys = [.. Enumerable.Range(0, 1000).Select(key => (ulong)key)];
            float[] values = [.. keys.Select(key => key + 1f)];
            await client.PushAsync(table, keys, values, stop);
            float[] pulled = new float[keys.Length];
            await client.PullAsync(table, keys, pulled, stop);
            Assert.Equal(values, pulled);
            ClusterStatus status = await client.GetStatusAsync(stop);
            Assert.Equal([first, second], status.Servers.Select(server => server.Address).Order());
            Assert.All(status.Servers, server => Assert.InRange(server.Rows, 1, 999));
        }

        Assert.Empty(folder.Names());
    }

    [Fact]
    public async Task The_socket_is_for_its_owner_and_goes_when_the_server_stops()
    {
        using var folder = new ScratchFolder();
        string path = folder["s"];
        await using (var server = new EchoServer(listen: $"unix:{path}"))
        {
            Assert.Equal($"unix:{path}", server.Address);
            if (!OperatingSystem.IsWindows())
            {
                Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
            }
        }

        Assert.False(Path.Exists(path));
    }

    [Fact]
    public async Task A_dead_servers_socket_is_replaced()
    {
        using var folder = new ScratchFolder();
        LeaveBehind(folder["s"]);
        await using var server = new EchoServer(listen: $"unix:{folder["s"]}");
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        client.Network.Send(client.Network.Open(server.Address), TestFrames.Make(client.Pool, 1, 10));
        (await client.Machine.NextAsync()).Release();
    }

    [Fact]
    public async Task A_living_servers_socket_is_in_use_and_goes_on_serving()
    {
        using var folder = new ScratchFolder();
        string address = $"unix:{folder["s"]}";
        await using var first = new EchoServer(listen: address);
        var fault = Assert.Throws<WeirException>(() => new EchoServer(listen: address));
        Assert.Equal($"cannot listen on {address}: a server that is alive listens there; end it or choose another path", fault.Message);
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        client.Network.Send(client.Network.Open(address), TestFrames.Make(client.Pool, 1, 10));
        (await client.Machine.NextAsync()).Release();
    }

    [Fact]
    public void What_is_no_socket_is_left_alone()
    {
        using var folder = new ScratchFolder();
        string path = folder.Write("s", "a letter");
        string fault = Assert.Throws<WeirException>(() => new EchoServer(listen: $"unix:{path}")).Message;
        Assert.Equal($"cannot listen on unix:{path}: there is something of that name which is no socket of this user; remove it or choose another path", fault);
        Assert.Equal("a letter", File.ReadAllText(path));

        string sub = Directory.CreateDirectory(folder["d"]).FullName;
        Assert.Contains("no socket", Assert.Throws<WeirException>(() => new EchoServer(listen: $"unix:{sub}")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_folder_is_named()
    {
        using var folder = new ScratchFolder();
        string path = Path.Combine(folder["none"], "s");
        string fault = Assert.Throws<WeirException>(() => new EchoServer(listen: $"unix:{path}")).Message;
        Assert.Equal($"cannot listen on unix:{path}: there is no folder {folder["none"]}; make it first", fault);
    }

    [Theory]
    [InlineData("unix:")]
    [InlineData("unix:s.sock")]
    [InlineData("unix:4000")]
    [InlineData("unix:/run/\0s")]
    public void A_path_begins_at_the_root(string text)
    {
        Assert.False(HostAddress.TryParse(text, out _, out string? fault));
        Assert.StartsWith($"'{text}' is no address: the path of a socket begins at the root", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_that_the_system_cannot_hold_is_refused_with_the_limit()
    {
        string longest = "/" + new string('x', HostAddress.MaxPathBytes - 1);
        Assert.True(HostAddress.TryParse($"unix:{longest}", out HostAddress address, out _));
        Assert.Equal($"unix:{longest}", address.ToString());
        Assert.Equal(longest, address.ToEndPoint().ToString());
        Assert.False(HostAddress.TryParse($"unix:{longest}y", out _, out string? fault));
        Assert.EndsWith($"the path has {HostAddress.MaxPathBytes + 1} bytes, and the system allows a socket's {HostAddress.MaxPathBytes}; choose a shorter one", fault, StringComparison.Ordinal);

        // Bytes, not characters.
        Assert.False(HostAddress.TryParse($"unix:{longest[..^1]}\u00e9", out _, out _));
    }

    [Fact]
    public async Task Why_a_socket_cannot_be_connected_to_is_said_in_words()
    {
        using var folder = new ScratchFolder();
        string address = $"unix:{folder["s"]}";
        Assert.Equal($"there is no {address}: no server listens there", await DownOf(address));
        LeaveBehind(folder["s"]);
        Assert.Equal($"{address} refused the connection: the server that made it has died", await DownOf(address));
    }

    // As a killed server does: a socket takes away the name it was bound to, so it gets another first.
    private static void LeaveBehind(string path)
    {
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path + "-"));
        File.Move(path + "-", path);
    }

    private static async Task<string> DownOf(string address)
    {
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        client.Network.Send(client.Network.Open(address), TestFrames.Make(client.Pool, 1, 10));
        return await client.Machine.NextDownAsync();
    }
}
