using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Chaos;

/// <summary>What a proxy does to the frames that pass through it, each drawn anew for every frame of either direction.</summary>
internal sealed record ProxyFaults
{
    /// <summary>The longest that a frame is held back; those behind it on the connection wait with it.</summary>
    public int DelayMs { get; init; }

    /// <summary>Frames of a thousand that arrive twice.</summary>
    public int DuplicatePerMille { get; init; }

    /// <summary>Frames of ten thousand of which the first half arrives, and then the end of the connection.</summary>
    public int TruncatePerTenThousand { get; init; }

    /// <summary>Frames of ten thousand of which one bit arrives turned over.</summary>
    public int FlipPerTenThousand { get; init; }

    /// <summary>Frames of ten thousand upon which the connection is reset.</summary>
    public int ResetPerTenThousand { get; init; }

    /// <summary>Nothing passes towards the server.</summary>
    public bool CutsTowards { get; init; }

    /// <summary>Nothing passes from the server.</summary>
    public bool CutsFrom { get; init; }
}

/// <summary>How often a proxy did what. Thread-safe to count in.</summary>
internal sealed class ProxyTally
{
    public long Frames, Delayed, Duplicated, Truncated, Flipped, Reset, Cut;
}

/// <summary>
/// A TCP proxy before one server that knows where frames begin and end, and so can do to single frames what no packet filter can: TCP would mend it
/// (design section 9, what INetwork does not promise). Thread-safe.
/// </summary>
internal sealed class FrameProxy : IAsyncDisposable
{
    // Frames read ahead of those that wait to be due; the sender then waits in TCP.
    private const int QueuedFrames = 256;

    private readonly TcpListener _listener;
    private readonly IPEndPoint _server;
    private readonly CancellationTokenSource _stop = new();
    private readonly HashSet<Socket> _sockets = [];
    private readonly Rng _rng;
    private readonly Task _accepting;

    public FrameProxy(IPEndPoint listen, IPEndPoint server, ulong seed)
    {
        (_server, _rng) = (server, new Rng(seed));
        _listener = new TcpListener(listen);
        _listener.Start();
        Address = _listener.LocalEndpoint.ToString()!;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens: what the server advertises.</summary>
    public string Address { get; }

    public ProxyFaults Faults { get; set; } = new();

    public ProxyTally Tally { get; } = new();

    /// <summary>Resets every connection that stands.</summary>
    public void ResetAll()
    {
        Socket[] sockets;
        lock (_sockets)
        {
            sockets = [.. _sockets];
        }

        Array.ForEach(sockets, Reset);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        ResetAll();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        List<Task> links = [];
        try
        {
            while (true)
            {
                links.Add(LinkAsync(await _listener.AcceptSocketAsync(_stop.Token)));
                links.RemoveAll(link => link.IsCompleted);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(links);
        }
    }

    private async Task LinkAsync(Socket client)
    {
        using Socket near = Add(client);
        using Socket far = Add(new Socket(_server.AddressFamily, SocketType.Stream, ProtocolType.Tcp));
        try
        {
            await far.ConnectAsync(_server, _stop.Token);
            await Task.WhenAny(PumpAsync(near, far, isTowards: true), PumpAsync(far, near, isTowards: false));
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The server does not listen, or this proxy ends: the client sees its connection end.
        }
        finally
        {
            Reset(near);
            Reset(far);
            lock (_sockets)
            {
                _sockets.Remove(near);
                _sockets.Remove(far);
            }
        }
    }

    private async Task PumpAsync(Socket from, Socket to, bool isTowards)
    {
        var frames = Channel.CreateBounded<(byte[] Frame, long Due)>(QueuedFrames);
        Task writing = WriteAsync(frames.Reader, to, isTowards);
        try
        {
            byte[] head = new byte[FrameHeader.Size];
            while (await ReadAsync(from, head))
            {
                if (FrameHeader.TryRead(head, out FrameHeader header) != HeaderFault.None)
                {
                    break;
                }

                byte[] frame = new byte[FrameHeader.Size + header.BodyLength];
                head.CopyTo(frame, 0);
                if (!await ReadAsync(from, frame.AsMemory(FrameHeader.Size)))
                {
                    break;
                }

                int delayMs = Below(Faults.DelayMs + 1);
                Tally.Delayed += delayMs > 0 ? 1 : 0;
                await frames.Writer.WriteAsync((frame, Stopwatch.GetTimestamp() + (delayMs * Stopwatch.Frequency / 1000)), _stop.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException or ChannelClosedException)
        {
            // Either side has ended the connection.
        }
        finally
        {
            frames.Writer.TryComplete();
        }

        await writing;
    }

    private async Task WriteAsync(ChannelReader<(byte[] Frame, long Due)> frames, Socket to, bool isTowards)
    {
        try
        {
            await foreach ((byte[] frame, long due) in frames.ReadAllAsync(_stop.Token))
            {
                if (due > Stopwatch.GetTimestamp())
                {
                    await Task.Delay(Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due), _stop.Token);
                }

                if (!await PassAsync(frame, to, isTowards))
                {
                    return;
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Either side has ended the connection.
        }
        finally
        {
            Reset(to);
        }
    }

    /// <summary>Hands one frame on, or does to it what the faults say. False where the connection ends with it.</summary>
    private async Task<bool> PassAsync(byte[] frame, Socket to, bool isTowards)
    {
        ProxyFaults faults = Faults;
        Interlocked.Increment(ref Tally.Frames);
        if (isTowards ? faults.CutsTowards : faults.CutsFrom)
        {
            Interlocked.Increment(ref Tally.Cut);
            return true;
        }

        if (Below(10_000) < faults.ResetPerTenThousand)
        {
            Interlocked.Increment(ref Tally.Reset);
            return false;
        }

        if (Below(10_000) < faults.TruncatePerTenThousand)
        {
            Interlocked.Increment(ref Tally.Truncated);
            await SendAsync(to, frame.AsMemory(0, frame.Length / 2));
            return false;
        }

        if (Below(10_000) < faults.FlipPerTenThousand)
        {
            Interlocked.Increment(ref Tally.Flipped);
            int bit = Below(frame.Length * 8);
            frame[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        await SendAsync(to, frame);
        if (Below(1000) < faults.DuplicatePerMille)
        {
            Interlocked.Increment(ref Tally.Duplicated);
            await SendAsync(to, frame);
        }

        return true;
    }

    private async Task SendAsync(Socket to, ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            bytes = bytes[await to.SendAsync(bytes, _stop.Token)..];
        }
    }

    private async Task<bool> ReadAsync(Socket from, Memory<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int read = await from.ReceiveAsync(bytes, _stop.Token);
            if (read == 0)
            {
                return false;
            }

            bytes = bytes[read..];
        }

        return true;
    }

    private int Below(int bound)
    {
        lock (_rng)
        {
            return _rng.Below(bound);
        }
    }

    private Socket Add(Socket socket)
    {
        socket.NoDelay = true;
        lock (_sockets)
        {
            _sockets.Add(socket);
        }

        return socket;
    }

    /// <summary>Ends a connection so that its peer sees a reset and not an orderly end.</summary>
    private static void Reset(Socket socket)
    {
        try
        {
            socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // It has ended.
        }

        socket.Dispose();
    }
}
