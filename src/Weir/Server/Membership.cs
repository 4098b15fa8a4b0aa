using Weir.Keys;
using Weir.Placement;
using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Decides the next map (design section 4): admits nodes and processes, opens tables and jobs, gives sessions, and has the workers of a
/// silent process hosted again. It runs on the node that holds the register. Requests are gathered and swapped in together; an answer goes
/// out only after its swap took place.
/// </summary>
internal sealed class Membership(NodeState node, IRegister register, Action<ClusterMap, Instant> adopt)
{
    /// <summary>Marks the tickets of operations that others asked for.</summary>
    private const ulong RemoteTicket = 1UL << 63;

    /// <summary>Ticks come every 10 ms: after a gap like this the node itself was stopped, and what others sent meanwhile is still unread.</summary>
    private const long AsleepMs = 500;

    /// <summary>A map crosses in one frame, also in the answer of the register, which has 16 bytes before it.</summary>
    private const int MaxMapBytes = FrameHeader.MaxBodyBytes - 16;

    private readonly List<Change> _queued = [];
    private readonly List<Change> _swapping = [];
    private readonly Dictionary<(MemberRole Role, ulong Id), Instant> _heard = [];
    private readonly Dictionary<ulong, ulong> _rows = [];
    private readonly HashSet<ulong> _away = [];
    private readonly Dictionary<ulong, ulong> _read = [];
    private readonly Dictionary<(uint Group, ulong Announced), Dictionary<ulong, long>> _begun = [];
    private readonly Dictionary<ulong, (LinkId Link, FrameHeader Request, RegisterCell Cell, bool Swap)> _remote = [];
    private ClusterMap? _proposed;
    private Instant _lastTick = Instant.Never;
    private ulong _registerVersion;
    private ulong _ticket;

    /// <summary>A change of the map, and whom to tell. It gives the new map, or a refusal.</summary>
    private sealed record Change(Func<ClusterMap, Decision> Decide, LinkId Link, FrameHeader Request)
    {
        public Decision Outcome { get; set; }
    }

    /// <summary>What a change came to: the map after it, or why not; and the numbers of the answer.</summary>
    internal readonly record struct Decision(ClusterMap? Map, Status Status, ulong First = 0, long Second = 0, string Text = "");

    /// <summary>Writes the first map: one member, all segments its own.</summary>
    public void Create(Instant now)
    {
        ServerOptions options = node.Options;
        int segments = 1 << options.SegmentBits;
        var map = new ClusterMap
        {
            Cluster = options.Cluster,
            SegmentBits = options.SegmentBits,
            Replicas = options.Replicas,
            Members = [new MapMember(options.Node, options.Incarnation, options.Address, options.WeightPercent, options.Zone)],
            Chains = [.. Enumerable.Repeat(new MapChain(1, [new ChainMember(0, 1, true)]), segments)],
        };
        _proposed = map;
        register.CompareAndSwap(RegisterCell.Map, 0, MapEncoding.Encode(map), ++_ticket);
        Advance(now);
    }

    /// <summary>A member or process was heard: what a silence is counted from; of a node also its rows and the map that it has read.</summary>
    public void Heard(MemberRole role, ulong id, ulong rows, ulong mapVersion, Instant now)
    {
        _heard[(role, id)] = now;
        if (role == MemberRole.Node)
        {
            _rows[id] = rows;
            _read[id] = mapVersion;
        }
    }

    /// <summary>A host answers an announced change of workers (design R8); an answer to another announcement, or of another session, is old.</summary>
    public void Begun(ulong session, in BegunBody answer)
    {
        if (node.Map!.Job(answer.Group) is { } job && job.Change.Announced == answer.Announced && answer.Announced != 0
            && answer.Worker < job.Workers.Length && job.Workers[answer.Worker].Session == session && session != 0)
        {
            (uint, ulong) change = (answer.Group, answer.Announced);
            if (!_begun.TryGetValue(change, out Dictionary<ulong, long>? begun))
            {
                begun = [];
                _begun.Add(change, begun);
            }

            begun[session] = Math.Max(begun.GetValueOrDefault(session), answer.Iteration);
        }
    }

    /// <summary>Asks for a change in the name of a request; the answer follows its swap.</summary>
    public void Request(LinkId link, in FrameHeader request, Func<ClusterMap, Decision> decide) => _queued.Add(new Change(decide, link, request));

    /// <summary>At each tick: who has been silent too long leaves the map.</summary>
    public void Tick(Instant now)
    {
        ClusterMap map = node.Map!;
        ForgetStrangers(map);
        ForgiveOwnSilence(now);
        foreach (MapMember member in map.Members)
        {
            ulong id = member.Node;
            if (id == node.Options.Node)
            {
                continue;
            }

            if (Silent(MemberRole.Node, id, node.Limits.NodeTimeoutMs, now))
            {
                _away.Add(id);
                _queued.Add(new Change(m => MapChanges.RemoveNode(m, id, _rows.GetValueOrDefault(id)), LinkId.None, default));
            }
            else if (_away.Remove(id))
            {
                _queued.Add(new Change(m => MapChanges.ReturnNode(m, id), LinkId.None, default));
            }
        }

        foreach (MapProcess process in map.Processes)
        {
            if (Silent(MemberRole.Process, process.Process, node.Limits.ProcessTimeoutMs, now))
            {
                ulong id = process.Process;
                _queued.Add(new Change(m => MapChanges.RemoveProcess(m, id), LinkId.None, default));
            }
        }
    }

    /// <summary>Swaps what is queued, and takes over what was swapped. Called at the end of each turn.</summary>
    public void Advance(Instant now)
    {
        while (true)
        {
            if (_proposed is null)
            {
                DecideChanges();
            }

            if (_proposed is null && _queued.Count > 0)
            {
                Propose();
            }

            if (!register.TryTakeResult(out RegisterResult result))
            {
                return;
            }

            if (_remote.Remove(result.Ticket, out (LinkId Link, FrameHeader Request, RegisterCell Cell, bool Swap) asker))
            {
                AnswerRemote(asker.Link, asker.Request, asker.Cell, asker.Swap, result, now);
            }
            else if (result.Ticket == _ticket)
            {
                Swapped(result, now);
            }
        }
    }

    /// <summary>Another node reads or swaps a cell of the register that this node holds.</summary>
    public void Serve(LinkId link, in FrameHeader request, in RegisterBody body)
    {
        var cell = (RegisterCell)body.Cell;
        bool swap = request.Kind == FrameKind.RegisterSwap;
        if (swap && cell == RegisterCell.Map)
        {
            bool sound = MapEncoding.TryDecode(body.Value.Span, out ClusterMap map);
            if (!sound || !MapSoundness.Follows(map, node.Map!))
            {
                // A map that does not follow rests on an older one: its writer reads again.
                node.Outbox.Send(
                    link, node.Reply(FrameKind.RegisterReply, request), new RegisterReplyBody(sound ? Status.Conflict : Status.Malformed, 0, default));
                return;
            }
        }

        ulong ticket = ++_ticket | RemoteTicket;
        _remote.Add(ticket, (link, request, cell, swap));
        if (swap)
        {
            register.CompareAndSwap(cell, body.ExpectedVersion, body.Value, ticket);
        }
        else
        {
            register.Read(cell, ticket);
        }
    }

    /// <summary>
    /// Decides the changes of workers whose hosts have answered. The nodes have read the announcement as well, and told their clocks since: so
    /// no session that ended before it can go on anywhere, and none has gone further than is known.
    /// </summary>
    private void DecideChanges()
    {
        foreach (MapJob job in node.Map?.Jobs ?? [])
        {
            if (job.Change.Announced != 0)
            {
                Decide(job, job.Change.Announced);
            }
        }
    }

    private void Decide(MapJob job, ulong announced)
    {
        uint group = job.Group;
        if (!Array.TrueForAll(node.Map!.Members, m => m.Node == node.Options.Node || _read.GetValueOrDefault(m.Node) >= announced))
        {
            return;
        }

        Dictionary<ulong, long> begun = _begun.GetValueOrDefault((group, announced)) ?? [];
        if (WorkerChanges.IsAnswered(job, begun))
        {
            _queued.Add(new Change(m => WorkerChanges.Decide(m, group, begun, node.Clocks.Maximum(group)), LinkId.None, default));
        }
    }

    private void AnswerRemote(LinkId link, in FrameHeader request, RegisterCell cell, bool swap, in RegisterResult result, Instant now)
    {
        Status status = result.Outcome == RegisterOutcome.Done ? Status.Acked : Status.Conflict;
        node.Outbox.Send(link, node.Reply(FrameKind.RegisterReply, request), new RegisterReplyBody(status, result.Version, result.Value));
        if (swap && cell == RegisterCell.Map && status == Status.Acked
            && MapEncoding.TryDecode(result.Value.Span, out ClusterMap map) && map.Version > node.Map!.Version)
        {
            _registerVersion = result.Version;
            adopt(map, now);
        }
    }

    private void Propose()
    {
        ClusterMap map = node.Map!;
        ClusterMap next = map;
        foreach (Change change in _queued)
        {
            change.Outcome = change.Decide(next);
            if (change.Outcome.Map is { } changed && !ReferenceEquals(changed, next) && MapEncoding.Size(changed) is var bytes && bytes > MaxMapBytes)
            {
                change.Outcome = new Decision(null, Status.Full, Text: $"the map would take {bytes} bytes; at most {MaxMapBytes} fit a frame. End sessions, jobs or tables first");
            }

            next = change.Outcome.Map ?? next;
        }

        _swapping.AddRange(_queued);
        _queued.Clear();
        if (ReferenceEquals(next, map))
        {
            Answer();
            return;
        }

        _proposed = next with { Version = map.Version + 1 };
        register.CompareAndSwap(RegisterCell.Map, _registerVersion, MapEncoding.Encode(_proposed), ++_ticket);
    }

    private void Swapped(in RegisterResult result, Instant now)
    {
        ClusterMap? proposed = _proposed;
        _proposed = null;
        _registerVersion = result.Version;
        if (result.Outcome == RegisterOutcome.Done && proposed is not null)
        {
            adopt(proposed, now);
            ForgetDecided(proposed);
            Answer();
            return;
        }

        // Somebody else's map stands there: take it over and decide again.
        _queued.InsertRange(0, _swapping);
        _swapping.Clear();
        if (MapEncoding.TryDecode(result.Value.Span, out ClusterMap other) && other.Version > node.Map!.Version)
        {
            adopt(other, now);
        }
    }

    private void Answer()
    {
        foreach (Change change in _swapping)
        {
            if (change.Link != LinkId.None)
            {
                Decision outcome = change.Outcome;
                node.Outbox.Send(
                    change.Link,
                    node.Reply(FrameKind.AdminReply, change.Request),
                    new AdminReplyBody(outcome.Status, outcome.First, outcome.Second, outcome.Text));
            }
        }

        _swapping.Clear();
    }

    private void ForgetDecided(ClusterMap map)
    {
        foreach ((uint Group, ulong Announced) change in _begun.Keys.Where(c => map.Job(c.Group)?.Change.Announced != c.Announced).ToArray())
        {
            _begun.Remove(change);
        }
    }

    /// <summary>Whoever asked to come in and did not is forgotten: anybody may ask, under any number.</summary>
    private void ForgetStrangers(ClusterMap map)
    {
        if (_heard.Count <= map.Members.Length + map.Processes.Length)
        {
            return;
        }

        HashSet<(MemberRole, ulong)> known = [.. map.Members.Select(m => (MemberRole.Node, m.Node)), .. map.Processes.Select(p => (MemberRole.Process, p.Process))];
        foreach ((MemberRole Role, ulong Id) stranger in _heard.Keys.Where(k => !known.Contains(k)).ToArray())
        {
            _heard.Remove(stranger);
            if (stranger.Role == MemberRole.Node)
            {
                _rows.Remove(stranger.Id);
                _read.Remove(stranger.Id);
            }
        }
    }

    /// <summary>While this node was asleep it could hear nobody: that time is not the others' silence.</summary>
    private void ForgiveOwnSilence(Instant now)
    {
        long gapMs = _lastTick == Instant.Never ? 0 : now.MsSince(_lastTick);
        _lastTick = now;
        if (gapMs > AsleepMs)
        {
            foreach ((MemberRole, ulong) key in _heard.Keys.ToArray())
            {
                _heard[key] = Instant.Earlier(now, _heard[key].AfterMs(gapMs));
            }
        }
    }

    private bool Silent(MemberRole role, ulong id, long timeoutMs, Instant now)
    {
        if (!_heard.TryGetValue((role, id), out Instant heard))
        {
            _heard[(role, id)] = now;
            return false;
        }

        return now.MsSince(heard) > timeoutMs;
    }
}
