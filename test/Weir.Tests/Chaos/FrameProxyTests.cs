using System.Net;
using System.Net.Sockets;
using Weir.Keys;
using Weir.Tests.Host;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Chaos;

/// <summary>The proxy of the chaos suite does what its report says, and the suite so tests what it says.</summary>
public sealed class FrameProxyTests : IAsyncDisposable
{
    private readonly TcpListener _server = new(IPAddress.Loopback, 0);
    private readonly FramePool _pool = new();
    private readonly FrameProxy _proxy;

    public FrameProxyTests()
    {
        _server.Start();
        _proxy = new FrameProxy(new IPEndPoint(IPAddress.Loopback, 0), (IPEndPoint)_server.LocalEndpoint, 1);
    }

    public async ValueTask DisposeAsync()
    {
        await _proxy.DisposeAsync();
        _server.Stop();
    }

    [Fact]
    public async Task Frames_pass_as_they_are_both_ways()
    {
        (Socket near, Socket far) = await ConnectAsync();
        byte[] there = Frame(1), back = Frame(2);
        await near.SendAsync(there);
        Assert.Equal(there, await ReadAsync(far, there.Length));
        await far.SendAsync(back);
        Assert.Equal(back, await ReadAsync(near, back.Length));
        Assert.Equal(2, _proxy.Tally.Frames);
    }

    [Fact]
    public async Task A_frame_arrives_twice()
    {
        _proxy.Faults = new ProxyFaults { DuplicatePerMille = 1000 };
        (Socket near, Socket far) = await ConnectAsync();
        byte[] frame = Frame(1);
        await near.SendAsync(frame);
        Assert.Equal((byte[])[.. frame, .. frame], await ReadAsync(far, 2 * frame.Length));
        Assert.Equal(1, _proxy.Tally.Duplicated);
    }

    [Fact]
    public async Task The_first_half_of_a_frame_arrives_and_then_the_end()
    {
        _proxy.Faults = new ProxyFaults { TruncatePerTenThousand = 10_000 };
        (Socket near, Socket far) = await ConnectAsync();
        byte[] frame = Frame(1);
        await near.SendAsync(frame);
        byte[] came = await ReadAsync(far, frame.Length);
        Assert.Equal(frame[..came.Length], came);
        Assert.InRange(came.Length, 0, frame.Length / 2);
    }

    [Fact]
    public async Task One_bit_of_a_frame_arrives_turned_over()
    {
        _proxy.Faults = new ProxyFaults { FlipPerTenThousand = 10_000 };
        (Socket near, Socket far) = await ConnectAsync();
        byte[] frame = Frame(1);
        await near.SendAsync(frame);
        byte[] came = await ReadAsync(far, frame.Length);
        Assert.Equal(1, frame.Zip(came, (a, b) => byte.PopCount((byte)(a ^ b))).Sum(bits => bits));
    }

    [Fact]
    public async Task A_frame_that_is_held_back_arrives_after_those_behind_it()
    {
        (Socket near, Socket far) = await ConnectAsync();
        _proxy.Faults = new ProxyFaults { HoldPerMille = 1000, HoldMs = 500 };
        byte[] held = Frame(1), next = Frame(2);
        await near.SendAsync(held);
        await Until.TrueAsync(() => Volatile.Read(ref _proxy.Tally.Held) == 1, "the proxy has taken it out");

        _proxy.Faults = new ProxyFaults();
        await near.SendAsync(next);
        Assert.Equal((byte[])[.. next, .. held], await ReadAsync(far, 2 * held.Length));
        Assert.Equal(1, _proxy.Tally.Held);
    }

    [Fact]
    public async Task Nothing_arrives_where_it_is_cut_and_the_other_way_goes_on()
    {
        _proxy.Faults = new ProxyFaults { CutsTowards = true };
        (Socket near, Socket far) = await ConnectAsync();
        await near.SendAsync(Frame(1));
        byte[] back = Frame(2);
        await far.SendAsync(back);
        Assert.Equal(back, await ReadAsync(near, back.Length));
        _proxy.Faults = new ProxyFaults();
        byte[] next = Frame(3);
        await near.SendAsync(next);
        Assert.Equal(next, await ReadAsync(far, next.Length));
    }

    [Fact]
    public async Task A_reset_ends_the_connection_at_both_ends()
    {
        (Socket near, Socket far) = await ConnectAsync();
        await near.SendAsync(Frame(1));
        await ReadAsync(far, FrameHeader.Size);
        _proxy.ResetAll();
        Assert.Empty(await ReadAsync(near, 1));
    }

    private async Task<(Socket Near, Socket Far)> ConnectAsync()
    {
        Task<Socket> accepting = _server.AcceptSocketAsync();
        var near = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await near.ConnectAsync(IPEndPoint.Parse(_proxy.Address));
        return (near, await accepting);
    }

    private byte[] Frame(ulong request)
    {
        FrameBuffer buffer = Frames.Build(_pool, new FrameHeader { Kind = FrameKind.OpenTable, RequestId = request }, new OpenTableBody("a table", 1, UpdateRule.Add, 0, false, 0, KeyLifetime.Default));
        byte[] frame = buffer.Span.ToArray();
        buffer.Release();
        return frame;
    }

    /// <summary>So many bytes, or fewer where the connection ends before.</summary>
    private static async Task<byte[]> ReadAsync(Socket socket, int count)
    {
        byte[] bytes = new byte[count];
        int have = 0;
        try
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
            while (have < count && await socket.ReceiveAsync(bytes.AsMemory(have), patience.Token) is > 0 and int read)
            {
                have += read;
            }
        }
        catch (SocketException)
        {
            // A reset.
        }

        return bytes[..have];
    }
}
