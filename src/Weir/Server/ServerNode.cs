using System.Runtime.InteropServices;
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
    /// <summary>Claims in one frame: a few hundred KB.</summary>
    private const int MostClaims = 16_384;

    private readonly NodeState _state;
    private readonly PushPath _pushes;
    private readonly PullPath _pulls;
    private readonly IterationPath _iterations;
    private readonly ExpiryPath _expiry;
    private readonly ChainPath _chain;
    private readonly CopyPath _copies;
    private readonly SealPath _seals;
    private readonly MapFollower _follower;
    private readonly AdminPath _admin;
    private readonly CheckpointPath _checkpoints;
    private readonly HeardMembers _heard = new();
    private PaxosPath? _paxos;
    private ManagerRole? _role;
    private readonly List<ClockEntry> _clocks = [];
    private Instant _now;
    private Instant _nextHeartbeat;
    private bool _mapChanged;
    private List<Claim> _claims = [];
    private List<Claim> _nextClaims = [];
    private Instant _nextReport;
    private readonly List<Claim> _readClaims = [];
    private readonly List<Step> _readSteps = [];
    private bool _wasMember;

    /// <param name="options">What the node is told.</param>
    /// <param name="network">Carries its frames.</param>
    /// <param name="register">Where the map and the manager's lease stand; null for Paxos among the acceptors that the options or the map name.</param>
    /// <param name="pool">Where its frames come from.</param>
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
        _chain = new ChainPath(_state);
        _state.Journal?.Flushed = _chain.Flushed;
        _copies = new CopyPath(_state, _chain);
        _seals = new SealPath(_state, _chain);
        _state.Entries = new EntryWriter(_chain, _state);
        _pushes = new PushPath(_state);
        _pulls = new PullPath(_state);
        _iterations = new IterationPath(_state);
        _expiry = new ExpiryPath(_state);
        _follower = new MapFollower(_state);
        _admin = new AdminPath(_state, _follower);
        _checkpoints = new CheckpointPath(_state);
        if (register is not null)
        {
            TakeUp(register, []);
        }
        else if (options.Acceptors.Count > 0)
        {
            TakeUpPaxos(options.Acceptors, options.Acceptor);
        }
        else if (options.Join is null)
        {
            // As durable as this node, whose loss then ends the cluster.
            TakeUpPaxos([options.Address], new AcceptorOptions(new ForgetfulDisk(), options.Node, AcceptorStart.First));
        }

        // A register of the node's own answers at once: it reads the lease, then takes it, and the first map stands.
        for (int step = 0; step < 2; step++)
        {
            _role?.Tick(default);
            AdvanceRegister();
        }
    }

    public Outbox Outbox { get; }

    /// <summary>What the node holds: for those who check it from outside, in a simulation.</summary>
    public NodeState State => _state;

    public ulong Incarnation => _state.Incarnation;

    /// <summary>The term under which this node decides the map; null where another node does.</summary>
    public ulong? ManagerTerm => _role?.Membership is { IsReady: true } membership ? membership.Term : null;

    /// <summary>Which nodes are kept apart, where this one decides the map; null elsewhere.</summary>
    public StalledLinks? Links => _role?.Membership?.Links;

    public ClusterMap? Map => _state.Map;

    public ulong Id => _state.Options.Node;

    public NodeCounters Counters => _state.Counters;

    /// <summary>Bytes of the key lists that this node keeps for its peers.</summary>
    public long KeyListBytes => _state.KeyLists.Bytes;

    /// <summary>References to a list that was kept here, and to lists that were not (any more).</summary>
    public (long Hits, long Misses) KeyListReferences => (_state.KeyListHits, _state.KeyListMisses);

    public long StoredRows => _state.Tables.Values.Sum(t => t.Rows);

    public long StoredBytes => _state.Budget.Used;

    /// <summary>Bytes of log entries that are kept for those below: followers, and newcomers that the map has yet to append.</summary>
    public long KeptLogBytes => _state.LogBytes.Total;

    /// <summary>Streams of pushes that last[] remembers, over all tables and segments: they end with their sessions and jobs.</summary>
    public int RememberedStreams => _state.Held.SelectMany(s => s.Tables).Sum(t => t.Updates.Count + t.Deletes.Count);

    /// <summary>Rows whose old values are kept for a checkpoint that is being written.</summary>
    public long SavedRows => _state.Map?.Checkpoint is { IsRestore: false } ? _state.Held.SelectMany(s => s.Tables).Sum(t => (long)(t.Snapshot?.SavedRows ?? 0)) : 0;

    /// <summary>Pulls that are being answered and whose links have no room for the rest.</summary>
    public int UnfinishedAnswers => _pulls.UnfinishedCount;

    /// <summary>Asks the cluster to take over what this node holds, and then to let it go; <see cref="HasLeft"/> says when it has.</summary>
    public void Leave() => _admin.Leaving.Begin();

    /// <summary>The cluster goes on without this node, by its own wish or an operator's, and misses nothing: it may end.</summary>
    public bool HasLeft => _admin.Leaving.IsOver || _state.IsDismissed;

    /// <summary>Why the cluster, or an acceptor of its register, last refused this node; null where none has.</summary>
    public string? JoinRefusal => _admin.JoinRefusal;

    /// <summary>Why the cluster does not let this node go, where it has asked to leave; null where it does.</summary>
    public string? LeaveRefusal => _admin.Leaving.Refusal;

    /// <summary>Chains that name this node yet, once it has asked to leave.</summary>
    public int SegmentsToLeave => _admin.Leaving.SegmentsLeft;

    /// <summary>Why this node must stop: it is no member any more. Null while it is well.</summary>
    public string? StopReason { get; private set; }

    /// <summary>The register's acceptor that it hosts knows what it promised, and answers.</summary>
    public bool HostsAcceptor => _paxos is { Answers: true };

    /// <summary>Why the acceptor that it hosts answers nobody and never will as it was started, and what to do; null where all is well.</summary>
    public string? AcceptorFault => _paxos?.Fault;

    /// <summary>It stops because its acceptor's disk failed.</summary>
    public bool HasDiskFailed => _paxos is { HasFailed: true };

    /// <summary>Where the node stands, in a line for people: its map, clocks, waiting pulls and open iterations.</summary>
    public string Describe()
    {
        ClusterMap? map = _state.Map;
        string jobs = string.Join(" ", (map?.Jobs ?? []).SelectMany(j => j.Workers.Select((w, i) => $"w{i}={w.Process % 1000}/{w.Session}/{w.From}-{w.Through}/{w.FinishedThrough}")));
        string clocks = string.Join(" ", _state.Clocks.Entries(0).Select(e => $"{e.Worker}:{e.Clock}"));
        string open = string.Join(" ", _state.Held.SelectMany(s => s.Tables).Where(t => t.Aggregation is { Open.Count: > 0 }).Select(t => t.Aggregation!.Describe()));
        string chains = string.Join(" ", _state.Held.Where(s => s.Acknowledged < s.Log.Last.Number || !s.IsConfirmed || s.Target is not null).Select(s => s.Describe()));
        return $"map {map?.Version} chains [{chains}] jobs [{jobs}] clocks [{clocks}] waiting {_pulls.WaitingCount} unfinished {_pulls.UnfinishedCount} open [{open}]";
    }

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        _now = _state.Now = now;
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
        _now = _state.Now = now;
        _admin.Forget(link);
        _follower.LinkDown(link);
        _pulls.LinkDown(link);
    }

    public void LinkHasRoom(LinkId link, Instant now)
    {
        _now = _state.Now = now;
        _pulls.RoomMade();
    }

    public void Tick(Instant now)
    {
        _now = _state.Now = now;
        _paxos?.Tick(now);
        _role?.Tick(now);
        if (_state.Map is null && (_state.Options.Join is null || _state.Journal is { HasPast: true }) && _role is { Membership: null, Address: { } manager })
        {
            // A first node that came back, or one with its journal, finds that its cluster goes on: it asks whoever decides there.
            _follower.Preferred = manager;
        }

        if (_state is { Map: not null, Journal: { Replay: not null } journal })
        {
            journal.ReadOn();
            _follower.Want(journal.Replay?.Needs ?? 0, now);
        }

        _pushes.Tick();
        _follower.Tick(now);
        _admin.Tick(now);
        _expiry.Tick();
        if (_state.Map is not null)
        {
            _seals.Tick();
            _chain.Tick();
            _copies.Tick();
            Report();
        }

        // That a link has room again is a hint, and hints may be missed.
        _pulls.RoomMade();
        // Who has never been a member has nothing to lose, and would be told that it is gone.
        if (now >= _nextHeartbeat && _wasMember && _state.Map is { } map)
        {
            _nextHeartbeat = now.AfterMs(_state.Limits.HeartbeatMs);
            SendHeartbeat(map);
        }
    }

    /// <summary>
    /// It has looked at as many keys as the largest frame has raw: frames that name their keys in a few bytes must not make a turn long. Or functions of users have taken the time that is theirs.
    /// </summary>
    public bool TurnIsFull => _state.KeysInTurn >= FrameHeader.MaxBodyBytes / sizeof(ulong) || _pushes.TurnIsFull;

    public void EndTurn()
    {
        _state.KeysInTurn = 0;
        AdvanceRegister();
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

            while (_state.OwnSteps.TryDequeue(out Step step))
            {
                Take(step);
            }

            _iterations.Close();
            _copies.EndTurn();
            _state.Journal?.EndTurn();
            _chain.EndTurn();
            if (_seals.HasNews)
            {
                Report();
                AdvanceRegister();
            }

            _pulls.Serve(_now);
            _state.GiveBackRows();
        }

        StopReason ??= _state.Fault ?? _state.Journal?.Fault;
        Outbox.Flush();
    }

    public void Dispose()
    {
        _pulls.Dispose();
        _copies.Dispose();
        _chain.Dispose();
        _follower.Dispose();
        _state.Dispose();
    }

    /// <summary>Tells the manager what it has to know of this node's segments, with each heartbeat or where it is another than before.</summary>
    private void Report()
    {
        ClusterMap map = _state.Map!;
        if (_state.Self < 0)
        {
            return;
        }

        List<Claim> claims = _nextClaims;
        claims.Clear();
        _seals.Claims(claims);
        if (CollectionsMarshal.AsSpan(claims).SequenceEqual(CollectionsMarshal.AsSpan(_claims)) && (_now < _nextReport || claims.Count == 0))
        {
            return;
        }

        (_claims, _nextClaims) = (claims, _claims);
        _nextReport = _now.AfterMs(_state.Limits.HeartbeatMs);
        var sender = new ChainSender(_state.Options.Node, _state.Incarnation, claims.Count);
        if (_role?.Membership is { } membership)
        {
            membership.Reported(sender, map.Version, claims);
            return;
        }

        // What does not fit is said once what was said first has been acted on.
        Claim[] said = [.. claims.Take(MostClaims)];
        Outbox.Send(Outbox.Open(map.Manager.Address), _state.Header(FrameKind.Report), new ChainBody<Claim>(sender.Node, sender.Incarnation, said));
    }

    private void Take(in Step step)
    {
        if (step.Kind == StepKind.Copy)
        {
            _copies.Want(step.Segment);
        }
        else
        {
            _seals.Seal(step.Segment);
        }
    }

    private void Dispatch(LinkId link, in FrameHeader header, FrameBuffer frame)
    {
        ReadOnlySpan<byte> body = frame.Span[FrameHeader.Size..];
        switch (header.Kind)
        {
            case FrameKind.Push or FrameKind.Pull or FrameKind.PushPull or FrameKind.Sent or FrameKind.Clock or FrameKind.Scan or FrameKind.ScanHighest
                or FrameKind.Entries or FrameKind.EntryAck or FrameKind.Confirm or FrameKind.Confirmed or FrameKind.CopyBegin or FrameKind.CopySlice or FrameKind.CopyAck
                or FrameKind.CheckpointRead or FrameKind.RestoreRows:
                if (Admit(link, header, frame))
                {
                    Data(link, header, frame);
                }

                break;
            case FrameKind.Report when header.Cluster == _state.Map?.Cluster && ChainBody<Claim>.TryRead(body, _readClaims, out ChainSender sender):
                if (_state.Map.Member(sender.Node)?.Incarnation == sender.Incarnation)
                {
                    _role?.Membership?.Reported(sender, header.MapVersion, _readClaims);
                }

                break;
            case FrameKind.Step when header.Cluster == _state.Map?.Cluster && StepBody.TryRead(body, _readSteps):
                _readSteps.ForEach(step => Take(step));
                break;
            case FrameKind.Heartbeat:
                Heartbeat(link, header, body);
                break;
            case FrameKind.HeartbeatReply:
                HeartbeatReply(link, header, body);
                break;
            case FrameKind.PaxosPrepare or FrameKind.PaxosAccept or FrameKind.PaxosReply:
                if (_paxos is not null && !_paxos.Receive(link, header, body, _now))
                {
                    Refuse(link, header, $"the body of a {header.Kind} frame makes no sense");
                }

                break;
            case FrameKind.ReadMapReply:
                if (body.Length > 0 && MapEncoding.TryDecode(body, out ClusterMap map) && MayTell(map))
                {
                    Adopt(map, _now);
                }

                break;
            case FrameKind.MapDifferences:
                if (_state.Map is { } older && header.MapVersion > older.Version)
                {
                    bool leadsOn = MapDifference.TryApply(older, body, out ClusterMap newer);
                    if (leadsOn && MayTell(newer))
                    {
                        Adopt(newer, _now, body);
                    }

                    _follower.ReadsWhole |= !leadsOn;
                }

                break;
            case FrameKind.Error:
                if (StatusBody.TryRead(body, out StatusBody error))
                {
                    Outbox.Note($"a peer answered: {error.Text}");
                    _admin.JoinRefusal = error.Status == Status.Conflict && _state.Map is null ? error.Text : _admin.JoinRefusal;
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
            if (_role?.Membership is not null || !_follower.Park(link, frame, Math.Max(version, map.Version + 1), _now))
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

                _state.KeysInTurn += keys;
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
                if (sound && _iterations.Sent(header, sent))
                {
                    // What was not whole comes again, by a newer map.
                    Outbox.Send(link, _state.Reply(FrameKind.SentReply, header), default(EmptyBody));
                }

                break;
            case FrameKind.Clock:
                sound = ClockBody.TryRead(body, _clocks);
                if (sound)
                {
                    RaiseClocks(header);
                    Outbox.Send(link, _state.Reply(FrameKind.ClockReply, header), default(EmptyBody));
                }

                break;
            case FrameKind.Entries or FrameKind.EntryAck or FrameKind.Confirm or FrameKind.Confirmed:
                sound = _chain.Handle(header, body);
                break;
            case FrameKind.CopyBegin or FrameKind.CopySlice or FrameKind.CopyAck:
                sound = _copies.Handle(header, body);
                break;
            case FrameKind.CheckpointRead or FrameKind.RestoreRows:
                sound = _checkpoints.Handle(link, header, body);
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
        else if (header.Kind is FrameKind.Scan or FrameKind.ScanHighest)
        {
            _admin.RefuseScan(link, header, status);
        }
        else if (header.Kind is FrameKind.CheckpointRead or FrameKind.RestoreRows)
        {
            _checkpoints.Refuse(link, header, frame.Span[FrameHeader.Size..], status);
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
        _follower.Want(header.MapVersion, _now, beat.Role == MemberRole.Node ? link : LinkId.None);
        if (member && Succession.IsHearer(map, _state.Options.Node))
        {
            _heard.Heard(beat.Role, beat.Id, beat.Incarnation, _now);
            if (beat.Role == MemberRole.Node)
            {
                // Of a node with a newer map not all clocks are taken over: it does not count as having told them (design R8).
                _heard.Told(beat.Id, beat.Incarnation, beat.StoredRows, header.MapVersion <= map.Version ? header.MapVersion : 0);
            }
        }

        RaiseClocks(header);
        (ulong term, ulong leaseVersion) = _role?.Lease ?? default;
        var reply = new HeartbeatReplyBody(member ? Status.Acked : Status.Ended, _state.Clocks.Entries(map.Version), term, leaseVersion);
        Outbox.Send(link, _state.Reply(FrameKind.HeartbeatReply, header), reply);
    }

    /// <summary>
    /// Whether others may tell this node a map. A manager decides it, and asks nobody, unless it is one of a newer term: it is the manager no longer then, and may be long in finding that out from the
    /// register, where its reads are refused for as long as the newer one writes faster (seed 395069).
    /// </summary>
    private bool MayTell(ClusterMap map) => _role?.Membership is not { } membership || (_state.Map is { } current && MapSoundness.Follows(map, current) && membership.IsOverBy(map));

    private void HeartbeatReply(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        // Only those that were asked may say that this node is gone, or how the lease stands.
        if (_state.Map is not { } map || header.Cluster != map.Cluster || !IsHearer(map, link) || !HeartbeatReplyBody.TryRead(body, _clocks, out HeartbeatReplyBody reply))
        {
            return;
        }

        _role?.Observe(reply.Term, reply.LeaseVersion, _now);
        _follower.Want(header.MapVersion, _now, link);
        RaiseClocks(header);
        if (_state.IsDismissed || map.Member(_state.Options.Node) is { IsDraining: true })
        {
            // It is about to go, or may: that the cluster has let it go is what it reads in the map.
            return;
        }

        if (reply.Status == Status.Ended && header.MapVersion >= map.Version && map.Replicas > 0)
        {
            // Others hold what this node held: it reads the map that it is no longer in, and asks to come in again.
            Outbox.Note("the cluster counted this node as gone (it was silent for too long); it comes in again");
        }
        else if (reply.Status == Status.Ended && header.MapVersion >= map.Version)
        {
            StopReason = "the cluster counts this node as gone (it was silent for too long); what it held is lost to it. Start it again to join anew";
        }
    }

    /// <summary>
    /// Takes over the clocks just read whose map this node has (design R4); a newer map's are dropped and come again. Those of another generation
    /// are no facts of this one (R24, R26).
    /// </summary>
    private void RaiseClocks(in FrameHeader header)
    {
        if (header.Generation != _state.Map!.Generation)
        {
            return;
        }

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

    private void Adopt(ClusterMap map, Instant now, ReadOnlySpan<byte> read = default)
    {
        if (_state.Map is { } current ? !MapSoundness.Follows(map, current) : map.Cluster != _state.Options.Cluster && _state.Options.Cluster != 0)
        {
            return;
        }

        ClusterMap? older = _state.Map;
        bool hasNewManager = _state.Map?.ManagerTerm != map.ManagerTerm;
        if (map.Generation > older?.Generation)
        {
            _chain.EndGeneration();
            _copies.EndGeneration();
        }

        _state.Adopt(map, read);
        _wasMember |= _state.Self >= 0;
        if (_state.IsDismissed && !_admin.Leaving.HasBegun)
        {
            StopReason ??= "the cluster has forgotten this server, which was drained: it holds nothing and nobody misses it";
        }

        _follower.ReadsWhole = false;
        _chain.Adopt();
        _copies.Adopt();
        _checkpoints.Adopt();

        // While a checkpoint is open nothing is forgotten that a redo after its restore needs (R7).
        bool mayForget = older is not null && (older.Checkpoint is not null || !older.Sessions.AsSpan().SequenceEqual(map.Sessions)
            || !older.Jobs.Select(j => j.Group).SequenceEqual(map.Jobs.Select(j => j.Group)) || !ReferenceEquals(older.Chains, map.Chains));
        if (mayForget && map.Checkpoint is null)
        {
            _state.ForgetEnded();
        }

        _mapChanged = true;
        if (!Succession.IsHearer(map, _state.Options.Node))
        {
            _heard.Clear();
        }

        if (_role is null && map.Acceptors.Length > 0)
        {
            TakeUpPaxos(map.Acceptors, null);
        }

        // A change of workers waits until every node has said that it has read of it (design R8); a new manager hears everybody at once; and the
        // manager's next map is not left to the next heartbeat: who leads now what somebody led that is gone, or was sealed, is waited for.
        _nextHeartbeat = hasNewManager || _role?.Membership is not null || Array.Exists(map.Jobs, j => j.Change.Announced != 0) ? now : _nextHeartbeat;
        _admin.Announce(map);
    }

    private void TakeUpPaxos(IReadOnlyList<string> acceptors, AcceptorOptions? hosted)
    {
        _paxos = new PaxosPath(_state, acceptors, hosted);
        TakeUp(_paxos.Register, acceptors);
    }

    private void TakeUp(IRegister register, IReadOnlyList<string> acceptors)
    {
        _role = new ManagerRole(_state, _state.Options.RegisterSeen?.Invoke(register) ?? register, acceptors, _heard, (map, now) => Adopt(map, now));
        _admin.Role = _role;
    }

    /// <summary>Until nobody waits for what is there already: acceptor, register and manager, each of which may set the others going.</summary>
    private void AdvanceRegister()
    {
        bool any = true;
        while (any)
        {
            any = _paxos?.Advance(_now) == true;
            any |= _role?.Advance(_now) == true;
        }

        if (_paxos is { HasFailed: true })
        {
            StopReason ??= "a record of the register's acceptor could not be flushed: nobody knows what is on its disk (promise G13). Replace the disk, then the acceptor";
        }
    }

    private bool IsHearer(ClusterMap map, LinkId link) =>
        Succession.Hearers(map).Any(m => m.Node != _state.Options.Node && Outbox.Open(m.Address) == link);

    /// <summary>
    /// To the manager and to its standbys, each of which may have to decide about this node (design R3). The manager's goes to whoever is not known
    /// to have read its map as well: a member whose hearers are all gone would hear of a takeover from nobody, and soon count as silent.
    /// </summary>
    private void SendHeartbeat(ClusterMap map)
    {
        ServerOptions options = _state.Options;
        var beat = new HeartbeatBody(MemberRole.Node, options.Node, _state.Incarnation, (ulong)StoredBytes, (ulong)StoredRows, _state.Clocks.Entries(map.Version));
        IEnumerable<MapMember> told = Succession.Hearers(map);
        if (_role?.Membership is not null)
        {
            told = told.Union(map.Members.Where(m => _heard.Read(m) < map.Version));
        }

        foreach (MapMember member in told)
        {
            if (member.Node != options.Node)
            {
                Outbox.Send(Outbox.Open(member.Address), _state.Header(FrameKind.Heartbeat), beat);
            }
        }
    }

    private void Refuse(LinkId link, in FrameHeader header, string text)
    {
        _state.Counters.FramesRefused++;
        Outbox.Note($"refused a {header.Kind} frame: {text}");
        Outbox.SendStatus(link, _state.Reply(FrameKind.Error, header), Status.Malformed, text);
    }
}
