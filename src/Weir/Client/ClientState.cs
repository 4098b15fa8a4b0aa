using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>A node as the client reaches it.</summary>
internal sealed class NodeLink(LinkId link, string address)
{
    public LinkId Link { get; } = link;

    public string Address { get; } = address;

    /// <summary>When it last said anything.</summary>
    public Instant Heard { get; set; }

    /// <summary>Since when it owes an answer; Never where it owes none.</summary>
    public Instant OwesSince { get; set; } = Instant.Never;

    /// <summary>Why the link is down, as people read it; null while it is up.</summary>
    public string? DownReason { get; set; }

    /// <summary>Push frames sent and not answered.</summary>
    public int FramesInFlight { get; set; }

    /// <summary>How often in a row push frames were not answered in time.</summary>
    public int Timeouts { get; set; }

    /// <summary>When it was last counted as late.</summary>
    public Instant LateAt { get; set; }

    /// <summary>Push frames that wait for the window, in order.</summary>
    public Queue<PushFrame> Waiting { get; } = new();

    /// <summary>The key lists that may be named to it.</summary>
    public AnsweredKeyLists KeyLists { get; } = new();

    /// <summary>The frame that is being filled with parts.</summary>
    public PushFrame? Packing { get; set; }

    /// <summary>The request that is being filled with items.</summary>
    public PullRequest? Asking { get; set; }
}

/// <summary>Gives the next frame to send, written just now; false where there is none. Called under the gate.</summary>
internal delegate bool TakeFrame(out LinkId link, out FrameBuffer frame);

/// <summary>
/// What the parts of a client share, all guarded by <see cref="Gate"/>: identity, map, links, and the frames to send once the gate is left.
/// Frames never leave under the gate: an in-process network may run the server, and with it the answer, on this very thread.
/// </summary>
internal sealed class ClientState(ClientOptions options, INetwork network, ITimers timers, FramePool pool, Rng rng, TaskCreationOptions completions)
{
    private readonly Queue<(LinkId Link, FrameBuffer Frame)> _outgoing = new();
    private readonly List<NodeLink> _links = [];
    private NodeLink?[] _heads = [];
    private TaskCompletionSource _mapChanged = new(completions);
    private bool _flushing;
    private ulong _restsOn;
    private ulong _lastRequest;

    public object Gate { get; } = new();

    /// <summary>
    /// How tasks complete: asynchronously in a process, where a caller's continuation must not run under the gate; in the simulation by its
    /// context, which the thread pool would leave.
    /// </summary>
    public TaskCreationOptions Completions { get; } = completions;

    public ClientOptions Options { get; } = options;

    /// <summary>The filters of requests for a table.</summary>
    public Filters FiltersOf(WeirTable table) => table.Filters ?? Options.Filters;

    /// <summary>What values of a table may be written as; bits are never rounded.</summary>
    public ValueFilters ValuesOf(WeirTable table) => FilterForms.Values(FiltersOf(table)) & (table.Rule.HoldsBits ? ~ValueFilters.Lossy : ValueFilters.All);

    /// <summary>What the filters made of it.</summary>
    public FilterTally Tally { get; } = new();

    public INetwork Network { get; } = network;

    public ITimers Timers { get; } = timers;

    public FramePool Pool { get; } = pool;

    /// <summary>This process in the map: a random number at each start, so that no two starts are one.</summary>
    public ulong Process { get; } = rng.Next() | 1;

    public ulong Incarnation { get; } = rng.Next();

    public ulong Nonce() => rng.Next();

    public ClusterMap? Map { get; private set; }

    public IReadOnlyList<NodeLink> Links => _links;

    /// <summary>Gives the next frame of those that are written as they are sent.</summary>
    public TakeFrame? WrittenAsSent { get; set; }

    /// <summary>Told of what came out of sending, on whichever thread: the machine stands in the middle of something then.</summary>
    public Action<Exception>? Defect { get; set; }

    public long PushBytes, PullBytes, UncompressedBytes, KeysSent, ValuesMoved, RequestCount, Superseded, MixedPulls;

    public Instant Now => Timers.Now;

    /// <summary>Completes at the next newer map, and fails where none comes any more.</summary>
    public Task MapChanged => _mapChanged.Task;

    /// <summary>What a frame's header says of a deadline: the time left, at most 71 minutes.</summary>
    public uint MicrosecondsUntil(Instant deadline) => (uint)Math.Clamp(deadline.Microseconds - Now.Microseconds, 1, uint.MaxValue);

    public ulong NextRequest() => ++_lastRequest;

    public NodeLink LinkTo(string address)
    {
        NodeLink? node = _links.Find(known => known.Address == address);
        if (node is null)
        {
            node = new NodeLink(Network.Open(address), address) { Heard = Now };
            _links.Add(node);
        }

        return node;
    }

    public NodeLink? Find(LinkId link)
    {
        foreach (NodeLink node in _links)
        {
            if (node.Link == link)
            {
                return node;
            }
        }

        return null;
    }

    /// <summary>The head of a segment, or null where its only copy is gone.</summary>
    public NodeLink? Head(int segment)
    {
        if (_heads[segment] is { } known)
        {
            return known;
        }

        return Map!.Head(segment) is { } member ? _heads[segment] = LinkTo(member.Address) : null;
    }

    /// <summary>Who answers pulls of a table in a segment, or null where its only copy is gone: the head, or for a committed table the tail (design R22).</summary>
    public NodeLink? Reader(WeirTable table, int segment) =>
        !table.IsCommitted ? Head(segment) : Map!.Tail(segment) is { } member ? LinkTo(member.Address) : null;

    /// <summary>Acts on what stands under a map version: later frames name at least that (design R4).</summary>
    public void RestsOn(ulong version) => _restsOn = Math.Max(_restsOn, version);

    public FrameHeader Header(FrameKind kind, ulong request, ulong session = 0) => new()
    {
        Kind = kind,
        RequestId = request,
        Session = session,
        Cluster = Map?.Cluster ?? 0,
        Generation = Map?.Generation ?? 0,
        MapVersion = Math.Max(Map?.Version ?? 0, _restsOn),
    };

    public void Send<TBody>(NodeLink node, in FrameHeader header, in TBody body)
        where TBody : IBody => Send(node, Frames.Build(Pool, header, body));

    /// <summary>Queues a frame, whose reference it takes over; it goes out when the gate is left.</summary>
    public void Send(NodeLink node, FrameBuffer frame)
    {
        Sending(node);
        _outgoing.Enqueue((node.Link, frame));
    }

    /// <summary>A request is on its way: the node owes an answer.</summary>
    public void Sending(NodeLink node)
    {
        RequestCount++;
        if (node.OwesSince == Instant.Never)
        {
            node.OwesSince = Now;
        }
    }

    /// <summary>
    /// Sends what was queued, outside the gate and in order, then the frames that are written as they are sent: one at a time, so that the gate
    /// is held for one frame's copying at most. A second caller leaves it to the first.
    /// </summary>
    public void Flush()
    {
        try
        {
            while (TryBeginSend(out LinkId link, out FrameBuffer frame))
            {
                Network.Send(link, frame);
                lock (Gate)
                {
                    _flushing = false;
                }
            }
        }
        catch (Exception fault)
        {
            Defect?.Invoke(fault);
            throw;
        }
    }

    private bool TryBeginSend(out LinkId link, out FrameBuffer frame)
    {
        lock (Gate)
        {
            bool begins = false;
            (link, frame) = (LinkId.None, null!);
            if (!_flushing)
            {
                begins = _outgoing.TryDequeue(out (LinkId Link, FrameBuffer Frame) next);
                (link, frame) = next;
                begins = begins || (WrittenAsSent is { } take && take(out link, out frame));
                _flushing = begins;
            }

            return begins;
        }
    }

    /// <summary>Takes over a newer map. True where it was news.</summary>
    public bool Adopt(ClusterMap map)
    {
        if (Map is { } current && (map.Version <= current.Version || map.Cluster != current.Cluster))
        {
            return false;
        }

        Map = map;
        _heads = new NodeLink?[map.Segments];
        TaskCompletionSource changed = _mapChanged;
        _mapChanged = new TaskCompletionSource(Completions);
        changed.TrySetResult();
        return true;
    }

    /// <summary>What a call to a segment without a holder fails with.</summary>
    public WeirException Lost(int segment)
    {
        MapLoss? loss = Map!.Losses.LastOrDefault();
        return new WeirException(
            Status.StateLost,
            loss is null ? $"nobody holds segment {segment} any more: its only copy is gone" : $"{loss}; what they held is lost, the run cannot go on",
            loss?.Address,
            segment);
    }

    /// <summary>Nothing is sent any more, and no newer map comes.</summary>
    public void End(Exception reason)
    {
        WrittenAsSent = null;
        _mapChanged.TrySetException(reason);
        while (_outgoing.TryDequeue(out (LinkId Link, FrameBuffer Frame) next))
        {
            next.Frame.Release();
        }
    }
}
