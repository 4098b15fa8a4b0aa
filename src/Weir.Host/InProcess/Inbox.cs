using Weir.Host.Loops;
using Weir.World;

namespace Weir.Host.InProcess;

/// <summary>
/// What waits for one machine of a hub. It is emptied by one thread at a time, in order, and never from within a machine's turn: so a
/// machine is never entered from its own send, and machines that answer each other do not nest. Thread-safe.
/// </summary>
internal sealed class Inbox(int maxQueuedBytes, TransportTally tally) : IThreadPoolWorkItem
{
    // So many at a time, then the sink has its turn.
    private const int BatchItems = 64;

    // A thread that drains for others goes on for so many batches and then leaves the rest to the pool.
    private const int BatchesBeforeHandover = 8;

    // Below this a frame is less work than waking another thread; above it the sender and the receiver work at the same time.
    private const int InlineBytes = 4 << 10;

    // As many bytes of frame buffers wait before nodes stop answering pulls; they go on at half of it. As over a socket.
    public const int RoomBytes = 4 << 20;

    private const int NoteBytes = 256;

    private readonly Lock _gate = new();
    private readonly Queue<Item> _items = new();
    private readonly Item[] _batch = new Item[BatchItems];
    private readonly HashSet<(Inbox Asker, LinkId Link)> _roomWanted = [];
    private IFrameSink? _sink;
    private long _queuedBytes;
    private bool _draining;
    private bool _ended;

    public long QueuedBytes => Volatile.Read(ref _queuedBytes);

    public void Attach(IFrameSink sink)
    {
        Invariant.That(_sink is null, "a network has one sink");
        _sink = sink;
    }

    /// <summary>Takes over one reference. False where the inbox is full or gone; then the frame was given back.</summary>
    public bool TryPut(LinkId link, FrameBuffer frame) => TryPut(new Item(link, frame, null));

    public void PutDown(LinkId link, string reason) => TryPut(new Item(link, null, reason));

    /// <summary>Whether what waits and so many bytes more stay below the bound; if not, the asker's sink hears of its link when half of it is free.</summary>
    public bool HasRoom(long bytes, Inbox asker, LinkId link)
    {
        lock (_gate)
        {
            bool hasRoom = !_ended && _queuedBytes + bytes < RoomBytes;
            if (!hasRoom)
            {
                _roomWanted.Add((asker, link));
            }

            return hasRoom;
        }
    }

    /// <summary>Gives up what waits and takes nothing more.</summary>
    public void End()
    {
        Item[] left;
        lock (_gate)
        {
            _ended = true;
            left = [.. _items];
            _items.Clear();
            _queuedBytes = 0;
        }

        foreach (Item item in left)
        {
            item.Frame?.Release();
        }
    }

    void IThreadPoolWorkItem.Execute() => Drain();

    private bool TryPut(Item item)
    {
        Invariant.That(_sink is not null, "a network has its sink before frames come");
        bool taken;
        bool begin = false;
        lock (_gate)
        {
            taken = !_ended && (item.Frame is null || _queuedBytes + item.Bytes <= maxQueuedBytes);
            if (taken)
            {
                _items.Enqueue(item);
                _queuedBytes += item.Bytes;
                begin = !_draining;
                _draining = true;
            }
        }

        if (!taken)
        {
            item.Frame?.Release();
        }
        else if (begin)
        {
            Begin(item);
        }

        return taken;
    }

    // A client may hold its lock while it sends, and the answer must not come to it then. It does not: the answer is sent from within a
    // turn, and so goes over the thread pool, as does the news that nobody is there.
    private void Begin(Item first)
    {
        if (!Turn.IsInside && first.Frame?.Length <= InlineBytes)
        {
            Drain();
        }
        else
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: true);
        }
    }

    // By whoever set _draining.
    private void Drain()
    {
        for (int batches = 0; batches < BatchesBeforeHandover; batches++)
        {
            ValueTask room = _sink!.RoomAsync();
            if (!room.IsCompleted)
            {
                room.AsTask().GetAwaiter().UnsafeOnCompleted(Drain);
                return;
            }

            if (!DrainBatch())
            {
                return;
            }
        }

        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    private bool DrainBatch()
    {
        int count = 0;
        (Inbox Asker, LinkId Link)[] haveRoom = [];
        lock (_gate)
        {
            while (count < BatchItems && _items.TryDequeue(out Item item))
            {
                _batch[count++] = item;
                _queuedBytes -= item.Bytes;
            }

            if (count == 0)
            {
                _draining = false;
                return false;
            }

            if (_roomWanted.Count > 0 && _queuedBytes <= RoomBytes / 2)
            {
                haveRoom = [.. _roomWanted];
                _roomWanted.Clear();
            }
        }

        foreach ((Inbox asker, LinkId link) in haveRoom)
        {
            asker._sink!.LinkHasRoom(link);
        }

        int frames = 0;
        long bytes = 0;
        for (int i = 0; i < count; i++)
        {
            Item item = _batch[i];
            _batch[i] = default;
            if (item.Frame is { } frame)
            {
                frames++;
                bytes += frame.Length;
                _sink!.Receive(item.Link, frame);
            }
            else
            {
                _sink!.LinkDown(item.Link, item.Reason!);
            }
        }

        tally.Received(frames, bytes);
        _sink!.EndReceive();
        return true;
    }

    // A frame, or the reason why the link is down.
    private readonly record struct Item(LinkId Link, FrameBuffer? Frame, string? Reason)
    {
        public int Bytes => Frame?.Capacity ?? NoteBytes;
    }
}
