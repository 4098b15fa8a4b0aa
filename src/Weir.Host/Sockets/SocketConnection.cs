using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Weir.Host.Loops;
using Weir.Keys;
using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>One open connection: the loop that reads it, its send queue, and how it ends. Thread-safe.</summary>
internal sealed class SocketConnection : ISocketLink, IDisposable
{
    // A peer that always has more to read gives the thread back to others after so many reads.
    private const int ReadsBeforeYield = 64;

    private readonly Socket _socket;
    private readonly IFrameSink _sink;
    private readonly SocketOptions _options;
    private readonly ILogger _log;
    private readonly FrameReader _reader;
    private readonly FrameWriter _writer;
    private readonly bool _accepted;
    private readonly long _openedMs = Environment.TickCount64;
    private readonly TaskCompletionSource _aborted = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private string? _reason;
    private int _closing;
    private int _closed;
    private volatile bool _inFrame;
    private long _frameBeganMs;

    /// <param name="socket">A connected socket, which the connection owns from now on.</param>
    /// <param name="link">Under which the sink hears of it.</param>
    /// <param name="peer">The other side's address, for people.</param>
    /// <param name="accepted">True where the peer connected to this side, and so must speak first.</param>
    /// <param name="shared">What the connections of one network have in common.</param>
    public SocketConnection(Socket socket, LinkId link, string peer, bool accepted, SocketShared shared)
    {
        _socket = socket;
        _sink = shared.Sink;
        _options = shared.Options;
        _log = shared.Log;
        _accepted = accepted;
        Link = link;
        Peer = peer;
        _reader = new FrameReader(shared.Sink, link, shared.Unfinished, shared.Tally);
        _writer = new FrameWriter(socket, shared.Options, shared.Tally, Abort, () => shared.Sink.LinkHasRoom(link));
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            socket.NoDelay = true;
            SocketFaults.KeepAlive(socket);
        }
    }

    public LinkId Link { get; }

    public string Peer { get; }

    /// <summary>Whether the peer has shown that it speaks Weir's protocol.</summary>
    public bool HeaderSeen => _reader.HeaderSeen;

    /// <summary>Whether it is open and its peer has not shown that yet.</summary>
    public bool IsSilent => !HeaderSeen && Volatile.Read(ref _closed) == 0;

    public long QueuedBytes => _writer.QueuedBytes;

    public void Send(FrameBuffer frame) => _writer.Send(frame);

    public bool HasRoom(long bytes) => _writer.HasRoom(bytes);

    /// <summary>Reads until the connection ends. Completes with the reason, in words for people; never fails.</summary>
    public async Task<string> RunAsync()
    {
        string reason;
        try
        {
            reason = await ReadAsync().ConfigureAwait(false);
        }
        catch (SocketException fault)
        {
            reason = SocketFaults.Describe(fault.SocketErrorCode);
        }
        catch (ObjectDisposedException)
        {
            reason = "closed on this side";
        }
        catch (Exception fault)
        {
            // Whatever it is, it ends this connection and no other.
            Log.ConnectionDefect(_log, fault, Peer);
            reason = "failed by a defect on this side";
        }

        Abort(reason);
        _reader.GiveUp();
        return _reason!;
    }

    /// <summary>Ends the connection once what is queued was sent, or after <see cref="SocketOptions.FlushTimeoutMs"/>. What still comes in is dropped.</summary>
    public async Task CloseAsync(string reason)
    {
        if (Interlocked.Exchange(ref _closing, 1) != 0)
        {
            await _aborted.Task.ConfigureAwait(false);
            return;
        }

        Interlocked.CompareExchange(ref _reason, reason, null);
        using var patience = new CancellationTokenSource(_options.FlushTimeoutMs);
        try
        {
            await _writer.DrainAsync().WaitAsync(patience.Token).ConfigureAwait(false);

            // The peer reads the end of the stream, and what was sent before it: closing a socket with unread input would reset the
            // connection and could destroy an error frame that is still under way. So the reader goes on until the peer closes, too.
            _socket.Shutdown(SocketShutdown.Send);
            await _aborted.Task.WaitAsync(patience.Token).ConfigureAwait(false);
        }
        catch (Exception end) when (end is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // Out of patience, or already gone: either way it ends now.
        }

        Abort(reason);
    }

    void ISocketLink.Close() => _ = CloseAsync("closed on this side");

    /// <summary>Ends the connection at once.</summary>
    public void Dispose() => Abort("closed on this side");

    /// <summary>Ends the connection at once. The first reason given is the one reported.</summary>
    public void Abort(string reason)
    {
        Interlocked.CompareExchange(ref _reason, reason, null);
        if (Interlocked.Exchange(ref _closed, 1) != 0)
        {
            return;
        }

        Volatile.Write(ref _closing, 1);
        _socket.Dispose();
        _writer.Dispose();
        _aborted.TrySetResult();
    }

    /// <summary>Ends the connection if its peer is silent where it must not be.</summary>
    public void EndIfStalled(long nowMs)
    {
        long writeBeganMs = _writer.WriteBeganMs;
        if (_accepted && !HeaderSeen && nowMs - _openedMs > _options.FirstHeaderTimeoutMs)
        {
            AbortStalled($"the peer sent no whole frame header in {_options.FirstHeaderTimeoutMs} ms");
        }
        else if (_inFrame && nowMs - Volatile.Read(ref _frameBeganMs) > _options.StallTimeoutMs)
        {
            // However often it sends a byte: what it has begun takes memory that others are short of.
            _inFrame = false;
            End(new PeerFault(Status.DeadlineExceeded, $"a frame was begun and not whole {_options.StallTimeoutMs} ms later"));
        }
        else if (writeBeganMs != 0 && nowMs - writeBeganMs > _options.StallTimeoutMs)
        {
            AbortStalled($"the peer did not read for {_options.StallTimeoutMs} ms");
        }
    }

    private void AbortStalled(string reason)
    {
        Log.PeerFault(_log, Peer, reason);
        Abort(reason);
    }

    private async Task<string> ReadAsync()
    {
        int reads = 0;
        while (true)
        {
            ValueTask room = _sink.RoomAsync();
            if (!room.IsCompletedSuccessfully)
            {
                // The peer waits for this side now, so that time does not count against it.
                _inFrame = false;
                await Task.WhenAny(room.AsTask(), _aborted.Task).ConfigureAwait(false);
                Volatile.Write(ref _frameBeganMs, Environment.TickCount64);
                _inFrame = _reader.InFrame;
            }

            ValueTask<int> receive = _socket.ReceiveAsync(_reader.Free, SocketFlags.None, CancellationToken.None);
            reads = receive.IsCompleted ? reads + 1 : 0;
            int count = await receive.ConfigureAwait(false);
            if (count == 0)
            {
                return _reader.InFrame ? "closed by the peer in the middle of a frame" : "closed by the peer";
            }

            // While closing, the reader only waits for the peer's end.
            if (Volatile.Read(ref _closing) == 0)
            {
                Take(count);
            }

            if (reads >= ReadsBeforeYield)
            {
                reads = 0;
                await Task.Yield();
            }
        }
    }

    private void Take(int count)
    {
        long before = _reader.Frames;
        PeerFault? fault = _reader.Advance(count);
        if (_reader.InFrame && (!_inFrame || _reader.Frames != before))
        {
            Volatile.Write(ref _frameBeganMs, Environment.TickCount64);
        }

        _inFrame = fault is null && _reader.InFrame;
        if (fault is not null)
        {
            End(fault);
        }
    }

    /// <summary>Tells the peer what it did wrong, and ends the connection once that was sent.</summary>
    private void End(PeerFault fault)
    {
        Log.PeerFault(_log, Peer, fault.Text);
        HostMeters.PeerFault();
        _writer.Send(fault.ToFrame());
        _ = CloseAsync(_accepted ? fault.Text : $"{Peer} does not speak Weir's protocol as it should: {fault.Text}");
    }
}
