using System.Buffers;
using System.Net.Sockets;
using Weir.Host.Loops;
using Weir.Wire;
using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>
/// One connection's send queue and the writes that empty it. Whoever queues a frame and finds no write under way begins it; inside a
/// machine's turn that is put off to the turn's end, so that its small frames leave in one write. Urgent frames pass bulk ones, but never
/// a write that has begun. Thread-safe.
/// </summary>
internal sealed class FrameWriter : IThreadPoolWorkItem, IDisposable
{
    // Small frames are copied together: a write costs as much as copying some 30 KB (limits.md: gather sends were slower).
    private const int GatherBytes = 64 << 10;
    private const int CopyBytes = 16 << 10;

    // The kind is byte 5 of a frame (docs/protocol.md).
    private const int KindAt = 5;

    private readonly Socket _socket;
    private readonly int _maxQueuedBytes;
    private readonly int _roomBytes;
    private readonly TransportTally _tally;
    private readonly Action<string> _failed;
    private readonly Action _roomMade;

    // True: no execution context flows into completions, which carry none.
    private readonly SocketAsyncEventArgs _send = new(true);

    private readonly Lock _gate = new();
    private readonly Queue<FrameBuffer> _urgent = new();
    private readonly Queue<FrameBuffer> _bulk = new();
    private TaskCompletionSource? _drained;
    private long _queuedBytes;
    private bool _sending;
    private bool _deferred;
    private bool _roomWanted;
    private bool _ended;

    // These belong to whoever set _sending.
    private readonly List<FrameBuffer> _taken = [];
    private byte[]? _gather;
    private Memory<byte> _unsent;
    private long _chunkBytes;
    private long _writeBeganMs;

    /// <param name="socket">A connected stream socket; the writer does not close it.</param>
    /// <param name="options">The queue's bounds.</param>
    /// <param name="tally">Counts what was written.</param>
    /// <param name="failed">Called, from any thread, when the connection cannot go on.</param>
    /// <param name="roomMade">Called, from any thread, when the queue has drained after <see cref="HasRoom"/> said no.</param>
    public FrameWriter(Socket socket, SocketOptions options, TransportTally tally, Action<string> failed, Action roomMade)
    {
        _socket = socket;
        _maxQueuedBytes = options.MaxQueuedBytes;
        _roomBytes = options.RoomBytes;
        _tally = tally;
        _failed = failed;
        _roomMade = roomMade;
        _send.Completed += (_, _) => Completed();
    }

    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    /// <summary>The <see cref="Environment.TickCount64"/> at which the write under way began, or 0.</summary>
    public long WriteBeganMs => Volatile.Read(ref _writeBeganMs);

    /// <summary>Queues a frame and takes over one reference. A queue beyond its bound fails the connection: its peer does not keep up.</summary>
    public void Send(FrameBuffer frame)
    {
        bool queued;
        bool full;
        lock (_gate)
        {
            full = !_ended && _queuedBytes + frame.Capacity > _maxQueuedBytes;
            queued = !_ended && !full;
            if (queued)
            {
                (IsUrgent(frame) ? _urgent : _bulk).Enqueue(frame);
                _queuedBytes += frame.Capacity;
                if (!MayBegin())
                {
                    return;
                }

                _sending = true;
            }
        }

        if (queued)
        {
            Pump();
            return;
        }

        _tally.Dropped(full ? "send" : "down");
        frame.Release();
        if (full)
        {
            _failed($"the peer does not keep up: {_maxQueuedBytes} bytes wait to be sent to it");
        }
    }

    /// <summary>Whether the queue and so many bytes more stay below <see cref="SocketOptions.RoomBytes"/>; if not, and unless it has ended, it says when half of it is free.</summary>
    public bool HasRoom(long bytes)
    {
        lock (_gate)
        {
            bool hasRoom = !_ended && _queuedBytes + bytes < _roomBytes;
            _roomWanted |= !hasRoom;
            return hasRoom;
        }
    }

    /// <summary>Begins to write what a turn has queued.</summary>
    public void Flush()
    {
        lock (_gate)
        {
            _deferred = false;
            if (_sending || _urgent.Count + _bulk.Count == 0)
            {
                return;
            }

            _sending = true;
        }

        Pump();
    }

    /// <inheritdoc/>
    void IThreadPoolWorkItem.Execute() => Flush();

    /// <summary>Completes once everything queued was written or given up.</summary>
    public Task DrainAsync()
    {
        Flush();
        lock (_gate)
        {
            if (!_sending && _urgent.Count + _bulk.Count == 0)
            {
                return Task.CompletedTask;
            }

            _drained ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _drained.Task;
        }
    }

    /// <summary>Gives up what is queued; to be called after the socket was closed.</summary>
    public void Dispose()
    {
        bool idle;
        lock (_gate)
        {
            idle = !_ended && !_sending;
            _ended = true;
            _sending = true;
        }

        // A write under way ends with an error, and its completion gives the frames back.
        if (idle)
        {
            GiveUp();
        }
    }

    private static bool IsUrgent(FrameBuffer frame) =>
        frame.Length <= CopyBytes
        && (FrameKind)frame.Span[KindAt] is not (FrameKind.Push or FrameKind.PushPull or FrameKind.Pull
            or FrameKind.PullReply or FrameKind.Scan or FrameKind.ScanHighest or FrameKind.ScanReply);

    // Under the gate. Small amounts wait for the end of this thread's turn, if it is in one.
    private bool MayBegin()
    {
        if (_sending)
        {
            return false;
        }

        if (_queuedBytes >= GatherBytes || !Turn.IsInside)
        {
            return true;
        }

        _deferred = _deferred || Turn.TryDefer(this);
        return false;
    }

    private void Pump()
    {
        while (TakeChunk(out bool roomMade))
        {
            bool pending = false;
            try
            {
                _send.SetBuffer(_unsent);
                pending = _socket.SendAsync(_send);
            }
            catch (Exception closed) when (closed is ObjectDisposedException or SocketException)
            {
                _send.SocketError = SocketError.OperationAborted;
            }

            // Only now, so that the socket has work while the machine makes more. A pending write may have ended on another thread, to
            // which the fields belong then.
            if (roomMade)
            {
                _roomMade();
            }

            if (pending || !Written())
            {
                return;
            }
        }
    }

    private void Completed()
    {
        if (Written())
        {
            Pump();
        }
    }

    // False where the connection failed; then all frames have been given back.
    private bool Written()
    {
        if (_send.SocketError != SocketError.Success)
        {
            string reason = SocketFaults.Describe(_send.SocketError);
            GiveUp();
            _failed(reason);
            return false;
        }

        // A stream socket of .NET ends a write with all its bytes; the rest is kept in case one does not.
        _unsent = _unsent[_send.BytesTransferred..];
        return true;
    }

    // False where the queue is empty or given up.
    private bool TakeChunk(out bool roomMade)
    {
        roomMade = false;
        if (!_unsent.IsEmpty)
        {
            return true;
        }

        EndChunk();
        TaskCompletionSource? drained = null;
        bool ended;
        bool taken;
        lock (_gate)
        {
            ended = _ended;
            taken = !ended && TakeFrames();
            roomMade = taken && _roomWanted && _queuedBytes <= _roomBytes / 2;
            _roomWanted &= !roomMade;
            if (!ended && !taken)
            {
                // From here on another thread may write; nothing below touches the writer's own fields.
                _sending = false;
                (drained, _drained) = (_drained, null);
            }
        }

        if (ended)
        {
            GiveUp();
            return false;
        }

        if (!taken)
        {
            drained?.TrySetResult();
            return false;
        }

        Gather();
        Volatile.Write(ref _writeBeganMs, Environment.TickCount64);
        return true;
    }

    // Under the gate: one large frame, or as many small ones as fit the gather buffer; urgent ones first. Idle: the buffer goes back.
    private bool TakeFrames()
    {
        int bytes = 0;
        while (true)
        {
            Queue<FrameBuffer> queue = _urgent.Count > 0 ? _urgent : _bulk;
            if (!queue.TryPeek(out FrameBuffer? frame))
            {
                break;
            }

            bool fits = frame.Length <= CopyBytes && bytes + frame.Length <= GatherBytes;
            if (!fits && _taken.Count > 0)
            {
                break;
            }

            _taken.Add(queue.Dequeue());
            _queuedBytes -= frame.Capacity;
            bytes += frame.Length;
            if (!fits)
            {
                break;
            }
        }

        if (_taken.Count == 0 && _gather is { } gather)
        {
            _gather = null;
            ArrayPool<byte>.Shared.Return(gather);
        }

        return _taken.Count > 0;
    }

    private void Gather()
    {
        if (_taken.Count == 1)
        {
            _unsent = _taken[0].Memory;
            _chunkBytes = _unsent.Length;
            return;
        }

        _gather ??= ArrayPool<byte>.Shared.Rent(GatherBytes);
        int bytes = 0;
        foreach (FrameBuffer frame in _taken)
        {
            frame.Span.CopyTo(_gather.AsSpan(bytes));
            bytes += frame.Length;
        }

        _unsent = _gather.AsMemory(0, bytes);
        _chunkBytes = bytes;
    }

    private void EndChunk()
    {
        Volatile.Write(ref _writeBeganMs, 0);
        if (_taken.Count == 0)
        {
            return;
        }

        _tally.Sent(_taken.Count, _chunkBytes);
        foreach (FrameBuffer frame in _taken)
        {
            frame.Release();
        }

        _taken.Clear();
    }

    // By whoever holds _sending, which stays set: nothing is written any more.
    private void GiveUp()
    {
        List<FrameBuffer> left;
        TaskCompletionSource? drained;
        lock (_gate)
        {
            _ended = true;
            left = [.. _taken, .. _urgent, .. _bulk];
            _urgent.Clear();
            _bulk.Clear();
            _queuedBytes = 0;
            (drained, _drained) = (_drained, null);
        }

        _taken.Clear();
        _unsent = default;
        Volatile.Write(ref _writeBeganMs, 0);
        foreach (FrameBuffer frame in left)
        {
            _tally.Dropped("down");
            frame.Release();
        }

        if (_gather is { } gather)
        {
            _gather = null;
            ArrayPool<byte>.Shared.Return(gather);
        }

        _send.Dispose();
        drained?.TrySetResult();
    }
}
