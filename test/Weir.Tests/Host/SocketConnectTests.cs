using System.Net;
using System.Net.Sockets;
using Weir.Client;
using Weir.Host.Sockets;
using Weir.World;

namespace Weir.Tests.Host;

public class SocketConnectTests
{
    [Fact]
    public async Task A_port_in_use_is_named_with_what_to_do()
    {
        await using var first = new EchoServer();
        var fault = Assert.Throws<WeirException>(() => new EchoServer(port: first.Port));
        Assert.Equal($"cannot listen on {first.Address}: the port is in use; end the process that uses it or choose another port (0 picks a free one)", fault.Message);
        Assert.Equal(first.Address, fault.Node);
    }

    [Fact]
    public async Task An_address_of_another_machine_cannot_be_listened_on()
    {
        await using var network = new SocketNetwork(SocketOptions.Default, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        var fault = Assert.Throws<WeirException>(() => client.Network.Listen(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 0)));
        Assert.Contains("192.0.2.1:0: this machine has no such address", fault.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Nobody_there_is_said_with_the_address()
    {
        int port = FreePort();
        string down = await DownOf($"127.0.0.1:{port}");
        Assert.Equal($"127.0.0.1:{port} refused the connection: nobody listens there", down);
    }

    [Theory]
    [InlineData("no-such-host.invalid:4000", "the host name in no-such-host.invalid:4000 is not known")]
    [InlineData("nonsense", "'nonsense' is no address: write host:port, for instance 127.0.0.1:4000")]
    [InlineData("127.0.0.1:99999", "'127.0.0.1:99999' is no address: the port must be a number from 0 to 65535")]
    [InlineData("127.0.0.1:0", "'127.0.0.1:0' cannot be connected to: port 0 stands for a free port of a listener")]
    public async Task An_address_that_cannot_be_reached_is_said_in_words(string address, string reason) =>
        Assert.Equal(reason, await DownOf(address));

    [Fact]
    public async Task A_listener_that_never_answers_is_given_up_in_the_stated_time()
    {
        // A listener whose queue is full answers no SYN: the way a dead host looks, without leaving this machine.
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(0);
        var endPoint = (IPEndPoint)listener.LocalEndPoint!;
        var crowd = new List<Socket>();
        for (int i = 0; i < 4; i++)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { Blocking = false };
            crowd.Add(socket);
            try
            {
                await socket.ConnectAsync(endPoint, new CancellationTokenSource(50).Token);
            }
            catch (OperationCanceledException)
            {
                break;
            }
        }

        Assert.Equal(
            $"no answer from {endPoint} in 0.1 s",
            await DownOf(endPoint.ToString(), SocketOptions.Default with { ConnectTimeoutMs = 100 }));
        crowd.ForEach(socket => socket.Dispose());
    }

    [Fact]
    public async Task A_link_finds_the_server_again_after_it_restarts_on_the_same_port()
    {
        await using var client = new SocketClientSide<ListeningMachine>(
            _ => new ListeningMachine(), SocketOptions.Default with { FirstBackoffMs = 5, LastBackoffMs = 20 });
        var server = new EchoServer();
        int port = server.Port;
        LinkId link = client.Network.Open(server.Address);
        for (int restart = 0; restart < 3; restart++)
        {
            await AskUntilAnswered(client, link, (ulong)restart);
            await server.DisposeAsync();
            await NextDownIs(client, "closed by the peer");
            client.Network.Send(link, TestFrames.Make(client.Pool, 99, 10));
            await NextDownIs(client, $"{server.Address} refused the connection: nobody listens there");
            server = new EchoServer(port: port);
        }

        // After the longest pause a single frame is enough: it waits for the connection.
        await Task.Delay(40, TestContext.Current.CancellationToken);
        client.Network.Send(link, TestFrames.Make(client.Pool, 50, 10));
        while (true)
        {
            FrameBuffer answer = await client.Machine.NextAsync();
            ulong question = TestFrames.RequestId(answer);
            answer.Release();
            if (question == 50)
            {
                break;
            }
        }

        await server.DisposeAsync();
        client.Machine.ReleaseAll();
        await Until.TrueAsync(() => client.Pool.Rented == 0, "every buffer is back in its pool");
    }

    [Fact]
    public async Task The_same_address_is_the_same_link_until_it_is_closed()
    {
        await using var server = new EchoServer();
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        LinkId link = client.Network.Open(server.Address);
        Assert.Equal(link, client.Network.Open(server.Address));
        client.Network.Send(link, TestFrames.Make(client.Pool, 1, 10));
        (await client.Machine.NextAsync()).Release();

        client.Network.Close(link);
        client.Network.Send(link, TestFrames.Make(client.Pool, 2, 10));
        await Until.TrueAsync(() => client.Network.Connections == 0 && client.Pool.Rented == 0, "the connection ends, the frame is dropped");
        Assert.NotEqual(link, client.Network.Open(server.Address));
    }

    [Fact]
    public async Task Every_fault_of_the_options_is_listed_at_once()
    {
        await Task.CompletedTask;
        SocketOptions options = SocketOptions.Default with { MaxConnections = 0, ConnectTimeoutMs = -3, FirstBackoffMs = 5000 };
        string message = Assert.Throws<ArgumentException>(options.Validate).Message;
        Assert.Contains("MaxConnections is 0, and must be from 1 to 1000000", message, StringComparison.Ordinal);
        Assert.Contains("ConnectTimeoutMs is -3", message, StringComparison.Ordinal);
        Assert.Contains("FirstBackoffMs (5000) must not exceed LastBackoffMs (1000)", message, StringComparison.Ordinal);
    }

    // Between two servers a question may have been refused, too.
    private static async Task NextDownIs(SocketClientSide<ListeningMachine> client, string reason)
    {
        string heard;
        do
        {
            heard = await client.Machine.NextDownAsync();
        }
        while (heard != reason && heard.Contains("refused", StringComparison.Ordinal));
        Assert.Equal(reason, heard);
    }

    private static async Task<string> DownOf(string address, SocketOptions? options = null)
    {
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine(), options);
        client.Network.Send(client.Network.Open(address), TestFrames.Make(client.Pool, 1, 10));
        string reason = await client.Machine.NextDownAsync();
        Assert.Equal(0, client.Pool.Rented);
        return reason;
    }

    // Asks again and again, as a client does, and takes no answer to an earlier question.
    private static async Task AskUntilAnswered(SocketClientSide<ListeningMachine> client, LinkId link, ulong question)
    {
        while (true)
        {
            Task<FrameBuffer> next = client.Machine.NextAsync();
            while (!next.IsCompleted)
            {
                client.Network.Send(link, TestFrames.Make(client.Pool, question, 10));
                await Task.WhenAny(next, Task.Delay(20, TestContext.Current.CancellationToken));
            }

            FrameBuffer answer = await next;
            bool mine = TestFrames.RequestId(answer) == question;
            answer.Release();
            if (mine)
            {
                return;
            }
        }
    }

    private static int FreePort()
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)socket.LocalEndPoint!).Port;
    }
}
