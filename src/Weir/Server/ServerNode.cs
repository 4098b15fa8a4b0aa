using Weir.Keys;
using Weir.Placement;
using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// One server node as a pure machine (in the manner of etcd's raft): frames and ticks in, an outbox of effects out. It owns no socket, clock
/// or thread, so that the same type runs over TCP and in the simulation. One loop calls it, one call at a time.
/// </summary>
internal sealed class ServerNode : IMachine, IDisposable
{
    private readonly NodeState _state;
    private readonly PushPath _pushes;
    private readonly PullPath _pulls;
    private readonly IterationPath _iterations;
    private readonly ExpiryPath _expiry;
    private readonly MapFollower _follower;
    private readonly AdminPath _admin;
    private readonly List<ClockEntry> _clocks = [];
    private Instant _now;
    private Instant _nextHeartbeat;
    private bool _mapChanged;
    private long _keysInTurn;

    /// <exception cref="ArgumentException">The options contradict themselves; the message lists all faults.</exception>
    public ServerNode(ServerOptions options, INetwork network, IRegister? register = null, FramePool? pool = null)
    {
        IReadOnlyList<string> faults = options.Validate();
        if (faults.Count > 0)
        {
            throw new ArgumentException(string.Join("; ", faults), nameof(options));
        }

        Outbox = new Outbox(network) { Pool = pool ?? FramePool.Shared };
        _state = new NodeState(options, Outbox);
        _pushes = new PushPath(_state);
        _pulls = new PullPath(_state);
        _iterations = new IterationPath(_state);
        _expiry = new ExpiryPath(_state);
        _follower = new MapFollower(_state);
        if (options.Join is null)
        {
            Membership = new Membership(_state, register ?? new LoneCell(), Adopt);
        }

        _admin = new AdminPath(_state, Membership, _follower);
        Membership?.Create(default);
    }

    public Outbox Outbox { get; }

    /// <summary>Decides the next map, on the node that holds the register; null elsewhere.</summary>
    public Membership? Membership { get; }

    public ClusterMap? Map => _state.Map;

    public NodeCounters Counters => _state.Counters;

    /// <summary>Bytes of the key lists that this node keeps for its peers.</summary>
    public long KeyListBytes => _state.KeyLists.Bytes;

    /// <summary>References to a list that was kept here, and to lists that were not (any more).</summary>
    public (long Hits, long Misses) KeyListReferences => (_state.KeyListHits, _state.KeyListMisses);

    public long StoredRows => _state.Tables.Values.Sum(t => t.Rows);

    public long StoredBytes => _state.Budget.Used;

    /// <summary>Streams of pushes that last[] remembers, over all tables and segments: they end with their sessions and jobs.</summary>
    public int RememberedStreams => _state.Segments.SelectMany(s => s.Tables).Sum(t => t.Updates.Count + t.Deletes.Count);

    /// <summary>Pulls that are being answered and whose links have no room for the rest.</summary>
    public int UnfinishedAnswers => _pulls.UnfinishedCount;

    /// <summary>Why this node must stop: it is no member any more. Null while it is well.</summary>
    public string? StopReason { get; private set; }

    /// <summary>Where the node stands, in a line for people: its map, clocks, waiting pulls and open iterations.</summary>
    public string Describe()
    {
        ClusterMap? map = _state.Map;
        string jobs = string.Join(" ", (map?.Jobs ?? []).SelectMany(j => j.Workers.Select((w, i) => $"w{i}={w.Process % 1000}/{w.Session}/{w.From}-{w.Through}/{w.FinishedThrough}")));
        string clocks = string.Join(" ", _state.Clocks.Entries(0).Select(e => $"{e.Worker}:{e.Clock}"));
        string open = string.Join(" ", _state.Segments.SelectMany(s => s.Tables).Where(t => t.Aggregation is { Open.Count: > 0 }).Select(t => t.Aggregation!.Describe()));
        return $"map {map?.Version} jobs [{jobs}] clocks [{clocks}] waiting {_pulls.WaitingCount} unfinished {_pulls.UnfinishedCount} open [{open}]";
    }

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        _now = now;
        try
        {
            if (FrameHeader.TryRead(frame.Span, out FrameHeader header) == HeaderFault.None)
            {
                Dispatch(link, header, frame);
            }
        }
        finally
        {
            frame.Release();
        }
    }

    public void LinkDown(LinkId link, string reason, Instant now)
    {
        _now = now;
        _admin.Forget(link);
        _follower.LinkDown(link);
        _pulls.LinkDown(link);
    }

    public void LinkHasRoom(LinkId link, Instant now)
    {
        _now = now;
        _pulls.RoomMade();
    }

    public void Tick(Instant now)
    {
        _now = now;
        Membership?.Tick(now);
        _follower.Tick(now);
        _admin.Tick(now);
        _expiry.Tick();

        // That a link has room again is a hint, and hints may be missed.
        _pulls.RoomMade();
        if (now >= _nextHeartbeat && _state.Map is { } map && Membership is null)
        {
            _nextHeartbeat = now.AfterMs(_state.Limits.HeartbeatMs);
            ServerOptions options = _state.Options;
            Outbox.Send(
                Outbox.Open(map.Register.Address),
                _state.Header(FrameKind.Heartbeat),
                new HeartbeatBody(MemberRole.Node, options.Node, options.Incarnation, (ulong)StoredBytes, (ulong)StoredRows, _state.Clocks.Entries(map.Version)));
        }
    }

    /// <summary>It has looked at as many keys as the largest frame has raw: frames that name their keys in a few bytes must not make a turn long.</summary>
    public bool TurnIsFull => _keysInTurn >= FrameHeader.MaxBodyBytes / sizeof(ulong);

    public void EndTurn()
    {
        _keysInTurn = 0;
        Membership?.Advance(_now);
        while (_follower.HasParked && _follower.Take(_now) is { Count: > 0 } taken)
        {
            foreach (MapFollower.Parked parked in taken)
            {
                Resume(parked);
            }
        }

        if (_state.Map is not null)
        {
            if (_mapChanged)
            {
                _mapChanged = false;
                _iterations.ClocksRose();
                _pulls.ClocksRose();
            }

            _iterations.Close();
            _pulls.Serve(_now);
        }

        Outbox.Flush();
    }

    public void Dispose()
    {
        _pulls.Dispose();
        _follower.Dispose();
        _state.Dispose();
    }

    private void Dispatch(LinkId link, in FrameHeader header, FrameBuffer frame)
    {
        ReadOnlySpan<byte> body = frame.Span[FrameHeader.Size..];
        switch (header.Kind)
        {
            case FrameKind.Push or FrameKind.Pull or FrameKind.PushPull or FrameKind.Sent or FrameKind.Clock or FrameKind.Scan:
                if (Admit(link, header, frame))
                {
                    Data(link, header, frame);
                }

                break;
            case FrameKind.Heartbeat:
                Heartbeat(link, header, body);
                break;
            case FrameKind.HeartbeatReply:
                HeartbeatReply(link, header, body);
                break;
            case FrameKind.ReadMapReply:
                // The node with the register asks nobody for the map: it decides it.
                if (Membership is null && body.Length > 0 && MapEncoding.TryDecode(body, out ClusterMap map))
                {
                    Adopt(map, _now);
                }

                break;
            case FrameKind.Error:
                if (StatusBody.TryRead(body, out StatusBody error))
                {
                    Outbox.Note($"a peer answered: {error.Text}");
                }

                break;
            default:
                if (!_admin.Handle(link, header, body, _now))
                {
                    Refuse(link, header, $"a {header.Kind} frame makes no sense here");
                }

                break;
        }
    }

    /// <summary>Whether this node may act on a frame of rows or clocks: its cluster, generation and map version (design R4, R24).</summary>
    private bool Admit(LinkId link, in FrameHeader header, FrameBuffer frame)
    {
        ulong version = header.MapVersion;
        if (header.Kind == FrameKind.Clock && ClockBody.TryRead(frame.Span[FrameHeader.Size..], _clocks))
        {
            foreach (ClockEntry entry in _clocks)
            {
                version = Math.Max(version, entry.MapVersion);
            }
        }

        if (_state.Map is not { } map)
        {
            if (!_follower.Park(link, frame, Math.Max(1, version), _now))
            {
                Answer(link, header, frame, Status.Behind);
            }

            return false;
        }

        if (header.Cluster != map.Cluster)
        {
            Refuse(link, header, $"this is cluster {map.Cluster:x}, the frame names {header.Cluster:x}");
            return false;
        }

        if (header.Generation < map.Generation)
        {
            Answer(link, header, frame, Status.Restored);
            return false;
        }

        if (version > map.Version || header.Generation > map.Generation)
        {
            if (Membership is not null || !_follower.Park(link, frame, Math.Max(version, map.Version + 1), _now))
            {
                Answer(link, header, frame, Status.Behind);
            }

            return false;
        }

        return true;
    }

    private void Data(LinkId link, in FrameHeader header, FrameBuffer frame)
    {
        ReadOnlySpan<byte> body = frame.Span[FrameHeader.Size..];
        bool sound;
        switch (header.Kind)
        {
            case FrameKind.Push or FrameKind.Pull or FrameKind.PushPull:
                var reader = new DataRequestReader(body);
                sound = reader.IsWhole(out long keys);
                if (!sound)
                {
                    break;
                }

                _keysInTurn += keys;

                _pushes.Outcomes.Clear();
                if (reader.Parts > 0)
                {
                    _pushes.Handle(link, header, ref reader);
                    if (_pushes.HadAggregated && _state.Map!.TryFindSession(header.Session, out WorkerId worker))
                    {
                        _iterations.Received(worker.Group);
                    }
                }

                if (reader.Items > 0)
                {
                    _pulls.Handle(link, header, frame, ref reader, _pushes.Outcomes, _now);
                }

                break;
            case FrameKind.Sent:
                sound = SentBody.TryRead(body, out SentBody sent);
                if (sound)
                {
                    _iterations.Sent(header, sent);
                    Outbox.Send(link, _state.Reply(FrameKind.SentReply, header), default(EmptyBody));
                }

                break;
            case FrameKind.Clock:
                sound = ClockBody.TryRead(body, _clocks);
                if (sound)
                {
                    RaiseClocks();
                    Outbox.Send(link, _state.Reply(FrameKind.ClockReply, header), default(EmptyBody));
                }

                break;
            default:
                sound = _admin.Scan(link, header, body);
                break;
        }

        if (!sound)
        {
            Refuse(link, header, $"the body of a {header.Kind} frame makes no sense");
        }
    }

    /// <summary>Answers every part and item of a frame with a status, unread.</summary>
    private void Answer(LinkId link, in FrameHeader header, FrameBuffer frame, Status status)
    {
        if (header.Kind is FrameKind.Push or FrameKind.Pull or FrameKind.PushPull)
        {
            var parts = new DataRequestReader(frame.Span[FrameHeader.Size..]);
            _pushes.Refuse(link, header, ref parts, status);
            var items = new DataRequestReader(frame.Span[FrameHeader.Size..]);
            _pulls.Refuse(link, header, ref items, status, "");
        }
        else if (header.Kind == FrameKind.Scan)
        {
            _admin.RefuseScan(link, header, status);
        }
    }

    private void Resume(in MapFollower.Parked parked)
    {
        FrameHeader.TryRead(parked.Frame.Span, out FrameHeader header);
        if (_state.Map is null || parked.Version > _state.Map.Version)
        {
            Answer(parked.Link, header, parked.Frame, Status.Behind);
        }
        else if (Admit(parked.Link, header, parked.Frame))
        {
            Data(parked.Link, header, parked.Frame);
        }

        parked.Frame.Release();
    }

    private void Heartbeat(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (_state.Map is not { } map || header.Cluster != map.Cluster || !HeartbeatBody.TryRead(body, _clocks, out HeartbeatBody beat))
        {
            return;
        }

        bool member = beat.Role == MemberRole.Node
            ? map.Member(beat.Id)?.Incarnation == beat.Incarnation
            : Array.Exists(map.Processes, p => p.Process == beat.Id && p.Incarnation == beat.Incarnation);
        if (member)
        {
            Membership?.Heard(beat.Role, beat.Id, beat.StoredRows, header.MapVersion, _now);
        }

        RaiseClocks();
        var reply = new HeartbeatReplyBody(member ? Status.Acked : Status.Ended, _state.Clocks.Entries(map.Version));
        Outbox.Send(link, _state.Reply(FrameKind.HeartbeatReply, header), reply);
    }

    private void HeartbeatReply(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        // Only the node that was asked may say that this one is gone, and the node with the register asks nobody.
        if (Membership is not null || _state.Map is not { } map || header.Cluster != map.Cluster || link != Outbox.Open(map.Register.Address) || !HeartbeatReplyBody.TryRead(body, _clocks, out HeartbeatReplyBody reply))
        {
            return;
        }

        _follower.Want(header.MapVersion, _now);
        RaiseClocks();
        if (reply.Status == Status.Ended && header.MapVersion >= map.Version)
        {
            StopReason = "the cluster counts this node as gone (it was silent for too long); what it held is lost to it. Start it again to join anew";
        }
    }

    /// <summary>Takes over the clocks just read whose map this node has (design R4); a newer map's are dropped and come again.</summary>
    private void RaiseClocks()
    {
        bool news = false;
        foreach (ClockEntry entry in _clocks)
        {
            news |= entry.MapVersion <= _state.Map!.Version && _state.Clocks.Raise(entry);
        }

        if (news)
        {
            _iterations.ClocksRose();
            _pulls.ClocksRose();
        }
    }

    private void Adopt(ClusterMap map, Instant now)
    {
        if (_state.Map is { } current ? !MapSoundness.Follows(map, current) : map.Cluster != _state.Options.Cluster && _state.Options.Cluster != 0)
        {
            return;
        }

        _state.Adopt(map);
        _mapChanged = true;

        // A change of workers waits until every node has said that it has read of it (design R8).
        _nextHeartbeat = Array.Exists(map.Jobs, j => j.Change.Announced != 0) ? now : _nextHeartbeat;
        _admin.Announce(map);
    }

    private void Refuse(LinkId link, in FrameHeader header, string text)
    {
        _state.Counters.FramesRefused++;
        Outbox.Note($"refused a {header.Kind} frame: {text}");
        Outbox.SendStatus(link, _state.Reply(FrameKind.Error, header), Status.Malformed, text);
    }
}
