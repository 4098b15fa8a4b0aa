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

    /// <summary>Frames of a thousand that are held back by themselves: those behind them on the connection pass them.</summary>
    public int HoldPerMille { get; init; }

    /// <summary>The longest that such a frame is held back, and twice the shortest.</summary>
    public int HoldMs { get; init; }

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

/// <summary>How often a proxy did what; of the frames held back, how many came when the map had changed meanwhile. Thread-safe to count in.</summary>
internal sealed class ProxyTally
{
    public long Frames, Delayed, Duplicated, Truncated, Flipped, Reset, Cut, Held, HeldPastMap;
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
    private ulong _newestMap;

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
        using var gate = new SemaphoreSlim(1);
        List<Task> held = [];
        Task writing = WriteAsync(frames.Reader, to, gate, isTowards);
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

                ProxyFaults faults = Faults;
                SawMap(header.MapVersion);
                if (Below(1000) < faults.HoldPerMille)
                {
                    Interlocked.Increment(ref Tally.Held);
                    held.Add(HoldAsync(frame, header.MapVersion, (faults.HoldMs / 2) + Below((faults.HoldMs / 2) + 1), to, gate));
                    continue;
                }

                int delayMs = Below(faults.DelayMs + 1);
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
        await Task.WhenAll(held);
    }

    /// <summary>Hands a frame on when its time has come, if the connection still stands.</summary>
    private async Task HoldAsync(byte[] frame, ulong mapVersion, int forMs, Socket to, SemaphoreSlim gate)
    {
        try
        {
            await Task.Delay(forMs, _stop.Token);
            await SendAsync(to, frame, gate);
            if (mapVersion < Volatile.Read(ref _newestMap))
            {
                Interlocked.Increment(ref Tally.HeldPastMap);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The connection has ended, and the frame is lost with it.
        }
    }

    private void SawMap(ulong version)
    {
        lock (_rng)
        {
            _newestMap = Math.Max(_newestMap, version);
        }
    }

    private async Task WriteAsync(ChannelReader<(byte[] Frame, long Due)> frames, Socket to, SemaphoreSlim gate, bool isTowards)
    {
        try
        {
            await foreach ((byte[] frame, long due) in frames.ReadAllAsync(_stop.Token))
            {
                if (due > Stopwatch.GetTimestamp())
                {
                    await Task.Delay(Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due), _stop.Token);
                }

                if (!await PassAsync(frame, to, gate, isTowards))
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
    private async Task<bool> PassAsync(byte[] frame, Socket to, SemaphoreSlim gate, bool isTowards)
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
            await SendAsync(to, frame.AsMemory(0, frame.Length / 2), gate);
            return false;
        }

        if (Below(10_000) < faults.FlipPerTenThousand)
        {
            Interlocked.Increment(ref Tally.Flipped);
            int bit = Below(frame.Length * 8);
            frame[bit / 8] ^= (byte)(1 << (bit % 8));
        }

        await SendAsync(to, frame, gate);
        if (Below(1000) < faults.DuplicatePerMille)
        {
            Interlocked.Increment(ref Tally.Duplicated);
            await SendAsync(to, frame, gate);
        }

        return true;
    }

    /// <summary>Sends a frame, or the first part of one, in one piece.</summary>
    private async Task SendAsync(Socket to, ReadOnlyMemory<byte> bytes, SemaphoreSlim gate)
    {
        await gate.WaitAsync(_stop.Token);
        try
        {
            while (bytes.Length > 0)
            {
                bytes = bytes[await to.SendAsync(bytes, _stop.Token)..];
            }
        }
        finally
        {
            gate.Release();
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
