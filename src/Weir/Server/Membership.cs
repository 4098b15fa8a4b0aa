using Weir.Keys;
using Weir.Placement;
using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Decides the next map (design section 4) for one term of the manager: admits nodes and processes, opens tables and jobs, gives sessions, and has
/// the workers of a silent process hosted again. It begins by reading the map and writing its term into it, so that an older manager's swap fails
/// (R3); until then it answers nobody. Requests are gathered and swapped in together; an answer goes out only after its swap took place. Not
/// thread-safe.
/// </summary>
internal sealed class Membership(
    NodeState node, RegisterCalls register, HeardMembers heard, ulong term, IReadOnlyList<string> acceptors, Action<ClusterMap, Instant> adopt)
{
    private readonly List<Change> _queued = [];
    private readonly List<Change> _swapping = [];
    private readonly ChainPlan _plan = new(node, heard);
    private readonly Dictionary<(uint Group, ulong Announced), Dictionary<ulong, long>> _begun = [];
    private readonly HashSet<ulong> _silent = [];
    private readonly HashSet<ulong> _unheard = [];
    private HashSet<ulong> _awaited = [];
    private ClusterMap? _looked;
    private ClusterMap? _proposed;
    private ReadOnlyMemory<byte> _proposedBytes;
    private ulong _registerVersion;
    private bool _isAsking;
    private bool _mustRead = true;

    /// <summary>A change of the map, and whom to tell. It gives the new map, or a refusal.</summary>
    private sealed record Change(Func<ClusterMap, Decision> Decide, LinkId Link, FrameHeader Request)
    {
        public Decision Outcome { get; set; }
    }

    /// <summary>What a change came to: the map after it, or why not; and the numbers of the answer.</summary>
    internal readonly record struct Decision(ClusterMap? Map, Status Status, ulong First = 0, long Second = 0, string Text = "");

    /// <summary>Which nodes are kept apart.</summary>
    public StalledLinks Links => _plan.Links;

    /// <summary>The manager's term: no other manager ever decides under it.</summary>
    public ulong Term => term;

    /// <summary>Its term stands in the map: it may decide.</summary>
    public bool IsReady { get; private set; }

    /// <summary>A newer term stands in the map: it decides nothing any more.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Whether a map that another node told is of a newer term, which ends this one.</summary>
    public bool IsOverBy(ClusterMap map) => IsOver |= map.ManagerTerm > term;

    /// <summary>It ends, and says to those who wait where to ask instead.</summary>
    public void Refuse(string? address)
    {
        IsOver = true;
        foreach (Change change in _swapping.Concat(_queued).Where(c => c.Link != LinkId.None))
        {
            string text = address is null || address == node.Options.Address ? "" : address;
            node.Outbox.Send(change.Link, node.Reply(FrameKind.AdminReply, change.Request), new AdminReplyBody(Status.NotOwner, 0, 0, text));
        }

        _swapping.Clear();
        _queued.Clear();
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

    /// <summary>A node says what it holds of its segments.</summary>
    public void Reported(in ChainSender sender, ulong mapVersion, IReadOnlyList<Claim> claims) => _plan.Reported(sender, mapVersion, claims);

    /// <summary>Asks for a change in the name of a request; the answer follows its swap.</summary>
    public void Request(LinkId link, in FrameHeader request, Func<ClusterMap, Decision> decide) => _queued.Add(new Change(decide, link, request));

    /// <summary>At each tick: who has been silent too long leaves the map.</summary>
    public void Tick(Instant now)
    {
        if (!IsReady || IsOver || node.Map is not { } map)
        {
            return;
        }

        // Who is needed stays, and is looked at again when the map has changed or who is heard.
        bool hasChanged = Listen(map, now);
        foreach (MapMember member in map.Members)
        {
            if (_silent.Contains(member.Node))
            {
                if (hasChanged)
                {
                    Remove(member);
                }
            }
            else if (_awaited.Contains(member.Node))
            {
                Return(member.Node);
            }
        }

        foreach (MapProcess process in map.Processes)
        {
            if (heard.IsSilent(MemberRole.Process, process.Process, process.Incarnation, node.Limits.ProcessTimeoutMs, now))
            {
                Remove(process.Process);
            }
        }

        if (!_isAsking)
        {
            Plan(map, now);
        }
    }

    /// <summary>Takes note of who is silent and who is not heard, which is not the same: a new manager has not heard everybody who is not silent yet.</summary>
    /// <returns>Whether that, or the map, is another than at the last tick.</returns>
    private bool Listen(ClusterMap map, Instant now)
    {
        bool hasChanged = !ReferenceEquals(map, _looked);
        if (hasChanged)
        {
            _looked = map;
            _awaited = MapChanges.Awaited(map);
            ForgetStrangers(map);
            _unheard.Clear();
        }

        bool isOneBack = false;

        foreach (MapMember member in map.Members)
        {
            if (member.Node != node.Options.Node)
            {
                bool isSilent = heard.IsSilent(MemberRole.Node, member.Node, member.Incarnation, node.Limits.NodeTimeoutMs, now);
                isOneBack |= !isSilent && _silent.Contains(member.Node);
                hasChanged |= Note(_silent, member.Node, isSilent);
                hasChanged |= Note(_unheard, member.Node, !heard.IsHeard(member, node.Limits.NodeTimeoutMs / 2, now));
            }
        }

        if (isOneBack && _silent.Count > 0)
        {
            // It may be this node that was cut off: then the others are heard in the next moments too, and nobody is left alone with what they hold meanwhile (seed 447250).
            heard.Spare(node.Limits.NodeTimeoutMs * 3 / 4, now);
            _silent.Clear();
        }

        return hasChanged;
    }

    // As below: what the lambda holds would be made in every tick.
    private void ForgetStrangers(ClusterMap map) => _silent.RemoveWhere(id => map.IndexOf(id) < 0);

    private static bool Note(HashSet<ulong> nodes, ulong id, bool isSo) => isSo ? nodes.Add(id) : nodes.Remove(id);

    // Methods of their own: what a lambda holds is made where its method or loop begins, in every tick, whether anybody is silent or not.
    private void Remove(MapMember member)
    {
        HashSet<ulong> unheard = [.. _unheard];
        _queued.Add(new Change(m => MapChanges.RemoveNode(m, member.Node, heard.Rows(member), unheard: unheard), LinkId.None, default));
    }

    private void Return(ulong id) => _queued.Add(new Change(m => MapChanges.ReturnNode(m, id), LinkId.None, default));

    private void Remove(ulong process) => _queued.Add(new Change(m => MapChanges.RemoveProcess(m, process), LinkId.None, default));

    /// <summary>Takes the next steps of chains towards where they should be: changes of the map are asked for, nodes are given hints.</summary>
    private void Plan(ClusterMap map, Instant now)
    {
        if (_plan.IsNewMapWanted)
        {
            _queued.Add(new Change(m => new Decision(m with { }, Status.Acked), LinkId.None, default));
        }

        IReadOnlyList<PlannedStep> planned = _plan.Next(now, out ulong[][] wanted);
        if (planned.Count > 0)
        {
            Take(planned, map, wanted);
        }
    }

    private void Take(IReadOnlyList<PlannedStep> planned, ClusterMap map, ulong[][] wanted)
    {
        Dictionary<ulong, List<Step>> hints = [];
        List<(PlannedStep, ulong)> changes = [];
        foreach (PlannedStep step in planned)
        {
            if (step.Kind is PlannedKind.Copy or PlannedKind.Seal)
            {
                if (!hints.TryGetValue(step.Node, out List<Step>? hinted))
                {
                    hinted = [];
                    hints.Add(step.Node, hinted);
                }

                hinted.Add(new Step((uint)step.Segment, step.Kind == PlannedKind.Copy ? StepKind.Copy : StepKind.Seal));
            }
            else
            {
                changes.Add((step, map.Chains[step.Segment].Epoch));
            }
        }

        if (changes.Count > 0)
        {
            _queued.Add(new Change(m => ChainChanges.Take(m, changes, map.Version, wanted), LinkId.None, default));
        }

        foreach ((ulong id, List<Step> steps) in hints)
        {
            if (id == node.Options.Node)
            {
                steps.ForEach(node.OwnSteps.Enqueue);
            }
            else
            {
                node.Outbox.Send(node.Outbox.Open(map.Member(id)!.Value.Address), node.Header(FrameKind.Step), new StepBody(steps));
            }
        }
    }

    /// <summary>Swaps what is queued, one swap at a time. Called until the register has nothing more to say, at the end of each turn.</summary>
    /// <returns>Whether it asked the register for something.</returns>
    public bool Advance()
    {
        if (IsOver || _isAsking)
        {
            return false;
        }

        if (_mustRead)
        {
            _isAsking = true;
            register.Read(RegisterCell.Map, (result, now) => Ended(result, isSwap: false, now));
            return true;
        }

        if (!IsReady && node.Journal is { Replay: not null })
        {
            // It comes in with what its journal has, once it has read that.
            return false;
        }

        if (IsReady)
        {
            DecideChanges();
            if (_plan.TakeSeals())
            {
                Plan(node.Map!, node.Now);
            }
        }

        if (!IsReady || _queued.Count > 0)
        {
            Propose();
        }

        return _isAsking;
    }

    /// <summary>Another node reads or swaps a cell of the register that this node holds.</summary>
    public void Serve(LinkId link, in FrameHeader request, in RegisterBody body)
    {
        var cell = (RegisterCell)body.Cell;
        bool swap = request.Kind == FrameKind.RegisterSwap;
        if (swap)
        {
            // The lease is its holder's: nobody swaps it in the name of another.
            bool sound = MapEncoding.TryDecode(body.Value.Span, out ClusterMap map) && cell == RegisterCell.Map;
            if (!sound || map.ManagerTerm != term || !MapSoundness.Follows(map, node.Map!))
            {
                // A map that does not follow rests on an older one, or is of another term: its writer reads again.
                node.Outbox.Send(
                    link, node.Reply(FrameKind.RegisterReply, request), new RegisterReplyBody(sound ? Status.Conflict : Status.Malformed, 0, default));
                return;
            }
        }

        FrameHeader asked = request;
        void Answer(RegisterResult result, Instant now) => AnswerRemote(link, asked, cell, swap, result, now);
        if (swap)
        {
            register.CompareAndSwap(cell, body.ExpectedVersion, body.Value, Answer);
        }
        else
        {
            register.Read(cell, Answer);
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
        if (!Array.TrueForAll(node.Map!.Members, m => m.Node == node.Options.Node || heard.Read(m) >= announced))
        {
            return;
        }

        Dictionary<ulong, long> begun = _begun.GetValueOrDefault((group, announced)) ?? [];
        if (WorkerChanges.IsAnswered(job, begun))
        {
            _queued.Add(new Change(m => WorkerChanges.Decide(m, group, begun, node.Clocks.Group(group), Closed(group)), LinkId.None, default));
        }
    }

    /// <summary>The last iteration that has closed in any segment of a group's tables, as far as this node has them.</summary>
    private long Closed(uint group) =>
        node.Held.SelectMany(segment => segment.Tables).Where(table => table.Table.Group == group).Max(table => table.Aggregation?.Closed) ?? 0;

    private void AnswerRemote(LinkId link, in FrameHeader request, RegisterCell cell, bool swap, in RegisterResult result, Instant now)
    {
        Status status = result.Outcome switch { RegisterOutcome.Done => Status.Acked, RegisterOutcome.Mismatch => Status.Conflict, _ => Status.Busy };
        node.Outbox.Send(link, node.Reply(FrameKind.RegisterReply, request), new RegisterReplyBody(status, result.Version, result.Value));
        if (swap && cell == RegisterCell.Map && status == Status.Acked
            && MapEncoding.TryDecode(result.Value.Span, out ClusterMap map) && map.Version > node.Map!.Version)
        {
            _registerVersion = result.Version;
            adopt(map, now);
        }
    }

    /// <summary>A first node that came back where nobody else is left decides the map before it is a member.</summary>
    private ClusterMap ComeIn(ClusterMap map)
    {
        ServerOptions options = node.Options;
        return map.Member(options.Node)?.Incarnation == node.Incarnation
            ? map
            : MapChanges.AddNode(map, node.Joining()).Map ?? map;
    }

    private void Propose()
    {
        ClusterMap map = node.Map!;
        ClusterMap next = IsReady ? map : ComeIn(map);
        foreach (Change change in _queued)
        {
            change.Outcome = change.Decide(next);

            // What this node decides by itself makes no list longer, and who is gone must go: it has the room between this bound and a frame.
            bool isAsked = change.Link != LinkId.None;
            if (isAsked && change.Outcome.Map is { } changed && !ReferenceEquals(changed, next) && MapEncoding.Size(changed) is var bytes && bytes > MapEncoding.MaxBytes)
            {
                change.Outcome = new Decision(null, Status.Full, Text: $"the map would take {bytes} bytes; at most {MapEncoding.MaxBytes} fit the register and a frame. End sessions, jobs, tables or quotas of namespaces first");
            }

            next = change.Outcome.Map ?? next;
        }

        _swapping.AddRange(_queued);
        _queued.Clear();
        if (IsReady && ReferenceEquals(next, map))
        {
            Answer();
            return;
        }

        _proposed = next with { Version = map.Version + 1, ManagerTerm = term, ManagerNode = node.Options.Node };
        Swap();
    }
    /// <summary>Writes the first map: one member, all segments its own.</summary>
    private void Found()
    {
        ServerOptions options = node.Options;
        int segments = 1 << options.SegmentBits;
        _proposed = new ClusterMap
        {
            Cluster = options.Cluster,
            SegmentBits = options.SegmentBits,
            Replicas = options.Replicas,
            ManagerTerm = term,
            ManagerNode = options.Node,
            Acceptors = [.. acceptors],
            Members = [new MapMember(options.Node, node.Incarnation, options.Address, options.WeightPercent, options.Zone) { Journal = node.Journal?.Number ?? 0 }],
            Chains = [.. Enumerable.Repeat(new MapChain(1, [ChainMember.Complete(0)]), segments)],
        };
        Swap();
    }

    private void Swap()
    {
        _isAsking = true;
        _proposedBytes = MapEncoding.Encode(_proposed!);
        register.CompareAndSwap(RegisterCell.Map, _registerVersion, _proposedBytes, (result, now) => Ended(result, isSwap: true, now));
    }

    /// <summary>A read or a swap of the map has ended. A swap that ended as unknown is found out about by what stands in the cell (design R1).</summary>
    private void Ended(in RegisterResult result, bool isSwap, Instant now)
    {
        _isAsking = false;
        _mustRead = result.Outcome == RegisterOutcome.Unknown;
        if (IsOver || _mustRead)
        {
            return;
        }

        ClusterMap? proposed = _proposed;
        _proposed = null;
        _registerVersion = result.Version;
        bool isDone = isSwap && result.Outcome == RegisterOutcome.Done;
        if (proposed is not null && (isDone || result.Value.Span.SequenceEqual(_proposedBytes.Span)))
        {
            adopt(proposed, now);
            IsReady = true;
            ForgetDecided(proposed);
            Answer();
            return;
        }

        // Another map stands there: it is taken over, and what was asked for is decided again on it.
        _queued.InsertRange(0, _swapping);
        _swapping.Clear();
        if (result.Version == 0 && node.Journal is { HasPast: true })
        {
            node.Fault = "this server has a journal of its cluster, and the register has no map of it: nobody knows what the journal's rows belong to. Start it with the register that the cluster had, or with an empty journal folder for a new cluster";
            IsOver = true;
        }
        else if (result.Version == 0)
        {
            Found();
        }
        else
        {
            TakeOver(result.Value, now);
        }
    }

    private void TakeOver(ReadOnlyMemory<byte> value, Instant now)
    {
        if (!MapEncoding.TryDecode(value.Span, out ClusterMap stands))
        {
            node.Outbox.Note("the map in the register makes no sense to this version; this node decides nothing");
            IsOver = true;
            return;
        }

        if (stands.ManagerTerm > term)
        {
            IsOver = true;
        }

        if (stands.Version > (node.Map?.Version ?? 0))
        {
            adopt(stands, now);
        }

        if (node.IsDismissed)
        {
            // It took over before it had read that it may go: it does not come in again to decide anything (seed 413776).
            IsOver = true;
        }

        if (node.Map?.Version != stands.Version)
        {
            node.Outbox.Note($"the register holds map {stands.Version} of cluster {stands.Cluster:x}, which does not follow what this node knows: it decides nothing");
            IsOver = true;
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
}
