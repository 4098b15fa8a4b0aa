using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Ends iterations (design R20, R26): Sent to every node once all parts are held or acknowledged, Clock to every node once all are
/// acknowledged, each repeated until acknowledged; and the heartbeats of a process that holds sessions. Guarded by the client's gate.
/// </summary>
internal sealed class ClockSender(ClientState state, PushSender pushes)
{
    private readonly Dictionary<ulong, ClocksToNode> _nodes = [];
    private readonly Dictionary<(uint Group, uint Worker), ClockEntry> _clocks = [];
    private Instant _nextHeartbeat;

    private sealed class ClocksToNode
    {
        public Dictionary<(uint Group, uint Worker), ClockEntry> Pending { get; } = [];

        public ulong Request { get; set; }

        public Instant RetryAt { get; set; }

        public List<ClockEntry> InFlight { get; set; } = [];
    }

    /// <summary>Called where an iteration of the session may have moved on.</summary>
    public void Moved(PushSession session)
    {
        foreach (OpenIteration open in session.Open)
        {
            if (!open.Ended || open.WaitingCalls > 0)
            {
                break;
            }

            open.LastNs ??= [.. session.Streams.Where(s => s.Aggregates && !s.Deletes).Select(s => (s, s.LastN))];
            if (open.NotHeld == 0 && open.NotAcknowledged > 0 && open.Sents is null)
            {
                BeginSent(open);
            }
        }

        while (session.Open.Count > 0 && session.Open[0] is { Ended: true, WaitingCalls: 0, NotAcknowledged: 0, Failure: null } done)
        {
            session.Open.RemoveAt(0);
            session.Clock = done.Iteration;
            var entry = new ClockEntry(session.Group, session.Worker, done.Iteration, state.Header(FrameKind.Clock, 0).MapVersion);
            Tell(entry);
            done.Clocked.TrySetResult();
        }

        SendDue(session, state.Now);
    }

    /// <summary>A clock, one's own or taken over (R26): every node hears it.</summary>
    public void Tell(ClockEntry entry)
    {
        _clocks[(entry.Group, entry.Worker)] = entry;
        foreach (MapMember member in state.Map!.Members)
        {
            Node(member.Node).Pending[(entry.Group, entry.Worker)] = entry;
        }

        SendClocks(state.Now);
    }

    public void ClockAcknowledged(ulong request)
    {
        foreach (ClocksToNode node in _nodes.Values)
        {
            if (node.Request == request && node.InFlight.Count > 0)
            {
                foreach (ClockEntry sent in node.InFlight)
                {
                    if (node.Pending.TryGetValue((sent.Group, sent.Worker), out ClockEntry pending) && pending == sent)
                    {
                        node.Pending.Remove((sent.Group, sent.Worker));
                    }
                }

                node.InFlight = [];
                SendClocks(state.Now);
                return;
            }
        }
    }

    public void SentAcknowledged(ulong request)
    {
        foreach (PushSession session in pushes.Sessions)
        {
            foreach (OpenIteration open in session.Open)
            {
                foreach ((ulong node, (ulong inFlight, _)) in open.Sents ?? [])
                {
                    if (inFlight == request)
                    {
                        open.Sents![node] = (request, Instant.Never);
                        return;
                    }
                }
            }
        }
    }

    public void Tick(Instant now)
    {
        SendClocks(now);
        foreach (PushSession session in pushes.Sessions)
        {
            SendDue(session, now);
            foreach (OpenIteration late in session.Open.Where(o => o.Deadline <= now))
            {
                late.Clocked.TrySetException(Late(session, late));
            }
        }

        if (now >= _nextHeartbeat && state.Map is { } map && (pushes.Sessions.Count > 0 || Array.Exists(map.Processes, p => p.Process == state.Process)))
        {
            _nextHeartbeat = now.AfterMs(state.Options.HeartbeatMs);
            foreach (MapMember hearer in Succession.Hearers(map))
            {
                state.Send(
                    state.LinkTo(hearer.Address),
                    state.Header(FrameKind.Heartbeat, state.NextRequest()),
                    new HeartbeatBody(MemberRole.Process, state.Process, state.Incarnation, 0, 0, _clocks.Values));
            }
        }
    }

    /// <summary>Clocks are facts of one generation (design R26).</summary>
    public void EndGeneration()
    {
        _clocks.Clear();
        _nodes.Clear();
    }

    /// <summary>A job has ended: its clocks are nobody's business any more.</summary>
    public void MapChanged(ClusterMap? older)
    {
        if (older is not null && !ReferenceEquals(older.Chains, state.Map!.Chains))
        {
            TellNewHeads();
        }

        foreach ((uint Group, uint Worker) key in _clocks.Keys.Where(k => state.Map!.Job(k.Group) is null).ToArray())
        {
            _clocks.Remove(key);
            foreach (ClocksToNode node in _nodes.Values)
            {
                node.Pending.Remove(key);
            }
        }

        foreach (ulong gone in _nodes.Keys.Where(n => state.Map!.Member(n) is null).ToArray())
        {
            _nodes.Remove(gone);
        }
    }

    /// <summary>A Sent is repeated to any new head until the iteration's Clock (design R20), and clocks to new members.</summary>
    private void TellNewHeads()
    {
        foreach (OpenIteration open in pushes.Sessions.SelectMany(s => s.Open).Where(o => o.Sents is not null))
        {
            open.Sents!.Clear();
            foreach (MapMember member in state.Map!.Members)
            {
                open.Sents.Add(member.Node, (0, default));
            }
        }

        foreach (MapMember member in state.Map!.Members.Where(m => !_nodes.ContainsKey(m.Node)))
        {
            ClocksToNode node = Node(member.Node);
            foreach ((var worker, ClockEntry clock) in _clocks)
            {
                node.Pending[worker] = clock;
            }
        }
    }

    private static WeirException Late(PushSession session, OpenIteration open)
    {
        int held = open.NotAcknowledged - open.NotHeld;
        string waits = open.WaitingCalls > 0 ? $"{open.WaitingCalls} pushes wait for room"
            : open.NotHeld > 0 ? $"{open.NotHeld} parts of its pushes are not acknowledged"
            : held > 0 ? $"{held} parts of its pushes are held until all workers have sent theirs"
            : $"iteration {session.Open[0].Iteration} has not ended";
        return new WeirException(Status.DeadlineExceeded, $"iteration {open.Iteration} of worker {session.Worker} did not end in time: {waits}; it may still end");
    }

    private ClocksToNode Node(ulong node)
    {
        if (!_nodes.TryGetValue(node, out ClocksToNode? clocks))
        {
            clocks = new ClocksToNode();
            _nodes.Add(node, clocks);
        }

        return clocks;
    }

    private void BeginSent(OpenIteration open)
    {
        open.Sents = [];
        foreach (MapMember member in state.Map!.Members)
        {
            open.Sents.Add(member.Node, (0, default));
        }
    }

    /// <summary>Sends the Sents whose time has come: a node that has not acknowledged hears it again until the iteration's Clock.</summary>
    private void SendDue(PushSession session, Instant now)
    {
        foreach (OpenIteration open in session.Open)
        {
            if (open.Sents is null)
            {
                continue;
            }

            foreach ((ulong node, (_, Instant retryAt)) in open.Sents.ToArray())
            {
                if (retryAt <= now && state.Map!.Member(node) is { } member)
                {
                    open.Sents[node] = (SendSent(session, open, member), now.AfterMs(state.Options.RetryMs));
                }
            }
        }
    }

    private ulong SendSent(PushSession session, OpenIteration open, MapMember member)
    {
        const int MostEntries = 60_000;
        ClusterMap map = state.Map!;
        List<SentEntry> entries = [.. open.LastNs!
            .Where(l => map.Head((int)l.Stream.Segment)?.Node == member.Node)
            .OrderBy(l => l.Stream.Segment)
            .Select(l => new SentEntry(l.Stream.Table, l.Stream.Segment, l.N))];
        NodeLink link = state.LinkTo(member.Address);
        FrameHeader header = state.Header(FrameKind.Sent, 0, session.Id);

        // The map by which it says what the node heads, and not the one that acknowledgements rest on: of a segment that the node heads since, it says nothing.
        header.MapVersion = map.Version;
        uint first = 0;
        ulong request;
        bool cut = false;
        do
        {
            // Cut between segments, so that a frame speaks for whole ones.
            int count = Math.Min(entries.Count, MostEntries);
            while (count < entries.Count && count > 0 && entries[count - 1].Segment == entries[count].Segment)
            {
                count--;
            }

            uint last = count == entries.Count ? (uint)map.Segments - 1 : entries[count - 1].Segment;
            header.RequestId = request = state.NextRequest();
            state.Send(
                link,
                header,
                new SentBody(session.Group, session.Worker, open.Iteration, first, last, entries[..count]));
            entries.RemoveRange(0, count);
            first = last + 1;
            cut |= entries.Count > 0;
        }
        while (entries.Count > 0);

        // Several frames are not acknowledged as one: they are simply repeated until the Clock.
        return cut ? 0 : request;
    }

    private void SendClocks(Instant now)
    {
        foreach ((ulong id, ClocksToNode node) in _nodes)
        {
            bool due = node.InFlight.Count == 0 || node.RetryAt <= now;
            if (node.Pending.Count > 0 && due && state.Map!.Member(id) is { } member)
            {
                node.InFlight = [.. node.Pending.Values];
                node.Request = state.NextRequest();
                node.RetryAt = now.AfterMs(state.Options.RetryMs);
                state.Send(state.LinkTo(member.Address), state.Header(FrameKind.Clock, node.Request), new ClockBody(node.InFlight));
            }
        }
    }
}
