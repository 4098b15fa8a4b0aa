using Microsoft.Extensions.Logging;
using Weir.Wire;
using Weir.World;

namespace Weir.Host.Loops;

/// <summary>
/// Runs a machine one call at a time without a thread of its own: whoever brings a frame and finds the loop idle runs it, so that a lone
/// request costs no switch of threads; others only queue. After a bounded number of turns the loop moves to the thread pool, so that no
/// caller is kept for long. An exception out of the machine stops this node and no other. Thread-safe.
/// </summary>
internal sealed class NodeLoop : IFrameSink, IThreadPoolWorkItem, IAsyncDisposable
{
    // A turn ends after so much work even if more waits: replies to the first frames are not kept back by the last.
    private const int TurnPosts = 64;
    private const int TurnBytes = 256 << 10;

    // After so many turns in a row a caller's thread gets its time back.
    private const int TurnsBeforeHandover = 8;

    private readonly IMachine _machine;
    private readonly ITimers _timers;
    private readonly ILogger _log;
    private readonly FramePool _pool;
    private readonly string _name;
    private readonly int _maxBytes;

    private readonly Lock _gate = new();
    private readonly Queue<Post> _mailbox = new();

    // What was taken out of the mailbox last: [_turnAt, _turnCount) is yet to be handled. These belong to whoever set _running.
    private readonly Post[] _turn = new Post[TurnPosts];
    private int _turnAt;
    private int _turnCount;

    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Timer _ticker;
    private TaskCompletionSource? _room;
    private long _queuedBytes;
    private long _droppedFrames;
    private bool _running;
    private bool _tickQueued;
    private bool _stopped;

    /// <param name="machine">Called by this loop only, from now on.</param>
    /// <param name="timers">Tells the machine the time.</param>
    /// <param name="options">The mailbox's bound.</param>
    /// <param name="log">Hears of a failure.</param>
    /// <param name="name">The node's name in logs and meters.</param>
    /// <param name="pool">Where <see cref="Place"/> rents; null is the shared one.</param>
    /// <param name="tickMs">Milliseconds between ticks; <see cref="Timeout.Infinite"/> is none.</param>
    public NodeLoop(
        IMachine machine,
        ITimers timers,
        HostOptions options,
        ILogger log,
        string name,
        FramePool? pool = null,
        int tickMs = IMachine.TickMs)
    {
        options.Validate();
        _machine = machine;
        _timers = timers;
        _log = log;
        _name = name;
        _pool = pool ?? FramePool.Shared;
        _maxBytes = options.MailboxBytes;
        // The ticker's state is the loop: no closure for each tick. It starts once all fields stand.
        _ticker = new Timer(static loop => ((NodeLoop)loop!).QueueTick(), this, Timeout.Infinite, Timeout.Infinite);
        HostMeters.Watch(this, "mailbox", () => QueuedBytes);
        _ticker.Change(tickMs, tickMs);
    }

    /// <summary>Ends when the loop was disposed; fails with the exception that came out of the machine.</summary>
    public Task Completion => _completion.Task;

    /// <summary>Bytes of buffers that wait in the mailbox now.</summary>
    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    /// <summary>Frames that came in while the mailbox was at twice its bound, or after the end.</summary>
    public long DroppedFrames => Volatile.Read(ref _droppedFrames);

    /// <inheritdoc/>
    public FrameBuffer Place(in FrameHeader header) => _pool.Rent(FrameHeader.Size + header.BodyLength);

    /// <inheritdoc/>
    public void Receive(LinkId link, FrameBuffer frame)
    {
        lock (_gate)
        {
            // Readers stop at the bound by RoomAsync; each may still hold one frame. Twice the bound is where memory comes first:
            // a frame may always be lost (design section 6), its sender asks again.
            if (!_stopped && _queuedBytes < 2L * _maxBytes)
            {
                _mailbox.Enqueue(new Post(link, frame, null));
                _queuedBytes += frame.Capacity;
                return;
            }

            _droppedFrames++;
        }

        HostMeters.Dropped("mailbox");
        frame.Release();
    }

    /// <inheritdoc/>
    public void EndReceive()
    {
        lock (_gate)
        {
            if (_running || _mailbox.Count == 0)
            {
                return;
            }

            _running = true;
        }

        Start();
    }

    /// <inheritdoc/>
    public void LinkDown(LinkId link, string reason) => Queue(new Post(link, null, reason));

    /// <inheritdoc/>
    public void LinkHasRoom(LinkId link)
    {
        if (Enqueue(new Post(link, null, Post.Room)) is true)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
        }
    }

    /// <summary>Has a turn end soon, and not only with the next frame or tick: what the machine takes at its turn's end has come from elsewhere.</summary>
    public void Wake()
    {
        // On the pool: whoever wakes the loop has work of its own.
        if (Enqueue(new Post(LinkId.None, null, Post.Woken)) is true)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    /// <summary>Runs a function between two frames, for instance to read the machine's state. Fails with the loop.</summary>
    public Task<T> AskAsync<T>(Func<Instant, T> question)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Ask(Instant? now)
        {
            if (now is not { } known)
            {
                answer.TrySetException(new ObjectDisposedException(_name, $"{_name} has stopped"));
                return;
            }

            try
            {
                answer.TrySetResult(question(known));
            }
            catch (Exception fault)
            {
                // The asker's function failed, not the machine: the asker hears of it and the node goes on.
                answer.TrySetException(fault);
            }
        }

        if (!Queue(new Post(LinkId.None, null, (Action<Instant?>)Ask)))
        {
            Ask(null);
        }

        return answer.Task;
    }

    /// <inheritdoc/>
    public ValueTask RoomAsync()
    {
        if (QueuedBytes < _maxBytes)
        {
            return ValueTask.CompletedTask;
        }

        lock (_gate)
        {
            if (_stopped || _queuedBytes < _maxBytes)
            {
                return ValueTask.CompletedTask;
            }

            _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new ValueTask(_room.Task);
        }
    }

    /// <summary>Ends the loop after the turn that runs now; what waits in the mailbox is dropped. Not to be called by the machine itself.</summary>
    public async ValueTask DisposeAsync()
    {
        bool idle;
        lock (_gate)
        {
            _stopped = true;
            idle = !_running;
            _running = true;
        }

        if (idle)
        {
            End(null);
        }

        try
        {
            await Completion.ConfigureAwait(false);
        }
        catch (Exception) when (Completion.IsFaulted)
        {
            // Whoever watches Completion has the exception; ending a failed loop is no second failure.
        }
    }

    /// <summary>
    /// Gives up a machine that does not come back out of a turn: the loop has failed from now on, and what waits in the mailbox is dropped. The thread that is inside stays there, and what the machine holds is not to be freed under it. Should it
    /// come back, the machine must end the turn with an exception.
    /// </summary>
    public void GiveUp(Exception fault)
    {
        Log.NodeGivenUp(_log, _name, fault.Message);
        Post[] left;
        TaskCompletionSource? room;
        lock (_gate)
        {
            _stopped = true;
            left = [.. _mailbox];
            _mailbox.Clear();
            (room, _room) = (_room, null);
            _droppedFrames += left.Count(post => post.Frame is not null);
        }

        _ticker.Dispose();
        HostMeters.Forget(this);
        Drop(left);
        room?.TrySetResult();
        _completion.TrySetException(fault);
    }

    /// <summary>The thread pool's turn.</summary>
    void IThreadPoolWorkItem.Execute() => Run();

    // False where the loop has stopped.
    private bool Queue(Post post)
    {
        bool? begin = Enqueue(post);
        if (begin is true)
        {
            Start();
        }

        return begin is not null;
    }

    // True where the caller has to run the loop, false where somebody does already, null where it has stopped.
    private bool? Enqueue(Post post)
    {
        lock (_gate)
        {
            if (_stopped)
            {
                return null;
            }

            _mailbox.Enqueue(post);
            _queuedBytes += post.Bytes;
            bool begin = !_running;
            _running = true;
            return begin;
        }
    }

    private void QueueTick()
    {
        lock (_gate)
        {
            // One tick waits at most: a loop that falls behind is not given more to do.
            if (_tickQueued)
            {
                return;
            }

            _tickQueued = true;
        }

        Queue(default);
    }

    private void Start()
    {
        if (Turn.IsInside)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
        }
        else
        {
            Run();
        }
    }

    // Called by the one thread that set _running. It leaves with _running false and an empty mailbox, both under the gate, or hands over.
    private void Run()
    {
        Turn.Enter();
        try
        {
            for (int turns = 0; turns < TurnsBeforeHandover; turns++)
            {
                if (!RunTurn())
                {
                    return;
                }
            }
        }
        catch (Exception fault)
        {
            Log.NodeFailed(_log, fault, _name);
            End(fault);
            return;
        }
        finally
        {
            Turn.Exit();
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    // False where the loop went idle or ended.
    private bool RunTurn()
    {
        if (!TakeTurn())
        {
            End(null);
            return false;
        }

        Instant now = _timers.Now;
        long bytes = 0;
        while (_turnAt < _turnCount)
        {
            Post post = _turn[_turnAt];
            _turn[_turnAt++] = default;
            bytes += post.Bytes;
            Dispatch(post, now);
            if (_machine.TurnIsFull)
            {
                break;
            }
        }

        _machine.EndTurn();
        TaskCompletionSource? room = null;
        bool more;
        lock (_gate)
        {
            _queuedBytes -= bytes;
            if (_queuedBytes <= _maxBytes / 2)
            {
                (room, _room) = (_room, null);
            }

            more = _turnAt < _turnCount || _mailbox.Count > 0 || _stopped;
            _running = more;
        }

        room?.TrySetResult();
        return more;
    }

    // What the last turn left, or as much as one turn is given. False where the loop has stopped.
    private bool TakeTurn()
    {
        lock (_gate)
        {
            if (!_stopped && _turnAt == _turnCount)
            {
                (_turnAt, _turnCount) = (0, 0);
                long bytes = 0;
                while (_turnCount < TurnPosts && bytes < TurnBytes && _mailbox.TryDequeue(out Post post))
                {
                    _turn[_turnCount++] = post;
                    bytes += post.Bytes;
                }
            }

            return !_stopped;
        }
    }

    private void Dispatch(Post post, Instant now)
    {
        if (post.Frame is { } frame)
        {
            _machine.Receive(post.Link, frame, now);
        }
        else if (post.Note is string reason)
        {
            _machine.LinkDown(post.Link, reason, now);
        }
        else if (ReferenceEquals(post.Note, Post.Room))
        {
            _machine.LinkHasRoom(post.Link, now);
        }
        else if (post.Note is Action<Instant?> question)
        {
            question(now);
        }
        else if (!ReferenceEquals(post.Note, Post.Woken))
        {
            lock (_gate)
            {
                _tickQueued = false;
            }

            _machine.Tick(now);
        }
    }

    private static void Drop(Post[] left)
    {
        foreach (Post post in left)
        {
            post.Frame?.Release();
            (post.Note as Action<Instant?>)?.Invoke(null);
        }
    }

    // Called once, by whoever holds _running, which stays set: nothing runs the machine again.
    private void End(Exception? fault)
    {
        Post[] left;
        TaskCompletionSource? room;
        lock (_gate)
        {
            _stopped = true;
            left = [.. _turn, .. _mailbox];
            _mailbox.Clear();
            _queuedBytes = 0;
            (room, _room) = (_room, null);
            _droppedFrames += left.Count(post => post.Frame is not null);
        }

        Array.Clear(_turn);
        _ticker.Dispose();
        HostMeters.Forget(this);
        Drop(left);
        room?.TrySetResult();
        if (fault is null)
        {
            _completion.TrySetResult();
        }
        else
        {
            _completion.TrySetException(fault);
        }
    }
}
