using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Host;
using Weir.Host.Loops;
using Weir.Host.Sockets;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>A node that echoes over TCP, with a pool of its own so that a leak shows.</summary>
internal sealed class EchoServer : IAsyncDisposable
{
    public EchoServer(SocketOptions? options = null, int port = 0, ILogger? log = null, bool atEndOfTurn = true, string? listen = null)
    {
        Network = new SocketNetwork(options ?? SocketOptions.Default, log ?? NullLogger.Instance);
        Machine = new EchoMachine(Network, atEndOfTurn);
        Loop = new NodeLoop(Machine, new HostTimers(), HostOptions.Default, NullLogger.Instance, "echo", Pool);
        Network.Attach(Loop);
        Assert.True(HostAddress.TryParse(listen ?? $"127.0.0.1:{port}", out HostAddress wanted, out string? fault), fault);
        Address = Network.Listen(wanted.ToEndPoint());
    }

    public FramePool Pool { get; } = new();

    public SocketNetwork Network { get; }

    public EchoMachine Machine { get; }

    public NodeLoop Loop { get; }

    public string Address { get; }

    public int Port => IPEndPoint.Parse(Address).Port;

    /// <summary>A plain socket to the server, for bytes that no client of Weir would send.</summary>
    public async Task<Socket> ConnectAsync()
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPEndPoint.Parse(Address), TestContext.Current.CancellationToken);
        return socket;
    }

    public async ValueTask DisposeAsync()
    {
        await Network.DisposeAsync();
        await Loop.DisposeAsync();
    }
}

/// <summary>A client's side of TCP around a machine that the test chooses.</summary>
internal sealed class SocketClientSide<TMachine> : IAsyncDisposable
    where TMachine : IMachine
{
    public SocketClientSide(Func<INetwork, TMachine> machine, SocketOptions? options = null)
    {
        // Tests send all at once, however slowly the connection comes about.
        Network = new SocketNetwork(options ?? SocketOptions.Default with { MaxConnectingBytes = 64 << 20 }, NullLogger.Instance);
        Machine = machine(Network);
        Loop = new ClientLoop(Machine, new HostTimers(), NullLogger.Instance, "client", Pool);
        Network.Attach(Loop);
    }

    public FramePool Pool { get; } = new();

    public SocketNetwork Network { get; }

    public TMachine Machine { get; }

    public ClientLoop Loop { get; }

    public async ValueTask DisposeAsync()
    {
        await Network.DisposeAsync();
        await Loop.DisposeAsync();
    }
}

internal static class PlainSocket
{
    /// <summary>Reads until the peer ends the stream, or <paramref name="bytes"/> have come.</summary>
    public static async Task<byte[]> ReadAsync(this Socket socket, int bytes = int.MaxValue)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        timeout.CancelAfter(ListeningMachine.Patience);
        var read = new List<byte>();
        var buffer = new byte[64 << 10];
        while (read.Count < bytes)
        {
            int count = await socket.ReceiveAsync(buffer.AsMemory(0, Math.Min(buffer.Length, bytes - read.Count)), timeout.Token);
            if (count == 0)
            {
                break;
            }

            read.AddRange(buffer.AsSpan(0, count));
        }

        return [.. read];
    }

    public static async Task WriteAsync(this Socket socket, byte[] bytes)
    {
        int sent = 0;
        while (sent < bytes.Length)
        {
            sent += await socket.SendAsync(bytes.AsMemory(sent), TestContext.Current.CancellationToken);
        }
    }
}

internal static class Until
{
    /// <summary>Waits for something that another thread will make true; fails if it does not.</summary>
    public static async Task TrueAsync(Func<bool> holds, string what)
    {
        long endMs = Environment.TickCount64 + (long)ListeningMachine.Patience.TotalMilliseconds;
        while (!holds())
        {
            Assert.True(Environment.TickCount64 < endMs, $"never came true: {what}");
            await Task.Delay(5, TestContext.Current.CancellationToken);
        }
    }
}
