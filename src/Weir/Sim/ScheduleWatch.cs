using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Wire;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// Counts the named schedules where they take place (design section 12), and runs what waits for a moment. It sees every frame just before its
/// receiver does, every turn, every new map of a node and every death. Not thread-safe.
/// </summary>
internal sealed class ScheduleWatch
{
    private readonly SimCluster _cluster;
    private readonly SwarmOptions _options;
    private readonly ClusterProbe _probe;
    private readonly RunTally _tally;
    private readonly Dictionary<SimPort, Dictionary<ulong, NewestSent>> _sents = [];
    private readonly List<(int Server, ulong Node, Instant At, ClusterMap Map)> _killed = [];
    private readonly Dictionary<int, (ServerNode Head, ulong Reported)> _seals = [];
    private readonly HashSet<(int Segment, ulong Head, ulong Reported)> _resumed = [];

    /// <summary>A session's Sent of its newest iteration, and whose it is.</summary>
    private sealed record NewestSent(uint Group, int Worker, long Iteration, HashSet<SimPort> Received);

    public ScheduleWatch(SimCluster cluster, SwarmOptions options, ClusterProbe probe, RunTally tally)
    {
        (_cluster, _options, _probe, _tally) = (cluster, options, probe, tally);
        cluster.Network.Arriving = Arriving;
    }

    private ClusterMap? _newest;

    /// <summary>When the newest map was first acted on by anybody.</summary>
    public Instant SwappedAt { get; private set; }

    /// <summary>A node acts on another map.</summary>
    public void Adopted(ServerNode node, ClusterMap? older, ClusterMap map)
    {
        if (ReferenceEquals(map, _probe.Newest))
        {
            SwappedAt = _cluster.Scheduler.Now;
            if (_newest?.Checkpoint is { IsRestore: false } open && IsChangedDuring(open, _newest, map))
            {
                _tally.Hit(NamedSchedule.ChangeDuringCheckpoint);
            }

            _newest = map;
        }

        if (older is null || ReferenceEquals(older.Chains, map.Chains))
        {
            return;
        }

        if (map.Version > older.Version + 1)
        {
            _tally.Hit(NamedSchedule.SkippedMapVersion);
        }

        ulong self = node.State.Options.Node;
        for (int segment = 0; segment < map.Segments; segment++)
        {
            if (map.Chains[segment].Epoch != older.Chains[segment].Epoch)
            {
                ChainChanged(node, self, older, map, segment);
            }
        }
    }

    /// <summary>After a server's turn.</summary>
    public void Turned(ServerNode node)
    {
        foreach (Segment segment in node.State.Held)
        {
            if (segment.IsHead && segment.IsSealed)
            {
                _seals[segment.Index] = (node, segment.SealReported);
            }
            else if (_seals.Count > 0 && _seals.TryGetValue(segment.Index, out (ServerNode Head, ulong Reported) seal) && ReferenceEquals(seal.Head, node))
            {
                _seals.Remove(segment.Index);
                if (segment.IsHead && seal.Reported > 0)
                {
                    _resumed.Add((segment.Index, node.State.Options.Node, seal.Reported));
                }
            }
        }
    }

    /// <summary>A server is about to die.</summary>
    public void Dies(int server, int manager)
    {
        ServerNode node = _cluster.Nodes[server];
        Instant now = _cluster.Scheduler.Now;
        if (node.Map is not { } map)
        {
            return;
        }

        ulong id = (ulong)server + 1;
        foreach (Segment segment in node.State.HeadedSegments)
        {
            if (segment.Waiting.Count > 0)
            {
                _tally.Hit(NamedSchedule.KillBeforeAcknowledge);
            }

            if (IsHeldAfterClock(segment))
            {
                _tally.Hit(NamedSchedule.HeadDeathAfterClock);
            }
        }

        ClusterMap newest = _probe.Newest!;
        foreach ((int other, ulong otherId, Instant at, _) in _killed)
        {
            if (other != server && now.MsSince(at) < _options.NodeTimeoutMs && Array.Exists(newest.Chains, c => IsIn(newest, c, id) && IsIn(newest, c, otherId)))
            {
                _tally.Hit(NamedSchedule.TwoMembersKilled);
            }
        }

        _killed.Add((server, id, now, map));
        if (server == manager && _cluster.Nodes.Where((n, i) => i != server && _cluster.Runs(i)).Any(n => n.Map is not null && n.State.HeadedSegments.Any(s => s.IsSealed)))
        {
            _tally.Hit(NamedSchedule.SealWithoutManager);
        }
    }

    /// <summary>A process is about to die.</summary>
    public void Dies(SimPort process)
    {
        SimPort[] running = [.. Enumerable.Range(0, _cluster.Nodes.Count).Where(s => _cluster.Runs(s) && _cluster.Nodes[s].Map is not null).Select(s => _cluster.Servers[s])];
        if (_sents.TryGetValue(process, out Dictionary<ulong, NewestSent>? sents)
            && sents.Values.Any(s => !IsClocked(s) && running.Count(s.Received.Contains) is > 0 and int received && received < running.Length))
        {
            _tally.Hit(NamedSchedule.DeathAmidSent);
        }
    }

    private bool IsClocked(NewestSent sent) =>
        _cluster.Nodes.Any(n => n.State.Clocks.Group(sent.Group) is { } clocks && sent.Worker < clocks.Workers && clocks[sent.Worker] >= sent.Iteration);

    /// <summary>The register is lost.</summary>
    public void RegisterLost()
    {
        if (_cluster.Scheduler.Now.MsSince(SwappedAt) <= 20)
        {
            _tally.Hit(NamedSchedule.RegisterLostAfterSwap);
        }
    }

    /// <summary>Whether a head holds a part of an iteration that another worker has ended with a Clock.</summary>
    public bool IsHeldAfterClock(Segment segment)
    {
        foreach (TableSegment table in segment.Tables)
        {
            if (table.Aggregation is not { Open.Count: > 0 } aggregation)
            {
                continue;
            }

            foreach ((long iteration, List<Contribution> held) in aggregation.Open)
            {
                foreach (ServerNode node in _cluster.Nodes)
                {
                    if (node.State.Clocks.Group(table.Table.Group) is { } clocks
                        && Enumerable.Range(0, clocks.Workers).Any(w => clocks[w] >= iteration && held.Exists(c => c.Worker.Index != w)))
                    {
                        return true;
                    }
                }
            }
        }

        return false;
    }

    /// <summary>Whether a change of the map hosts a worker anew, has a worker or a server leave by plan, or loads a checkpoint, while one is being written.</summary>
    private static bool IsChangedDuring(MapCheckpoint open, ClusterMap before, ClusterMap map)
    {
        if (map.Generation > before.Generation)
        {
            return true;
        }

        bool HasLeft(MapMember member) => member.IsDraining ? map.Member(member.Node) is null : map.Member(member.Node) is { IsDraining: true };
        bool HasChanged(MapWorker worker, MapWorker now) =>
            (worker.Session != 0 && worker.Session != now.Session && !now.IsFinished) || (worker.Through == MapWorker.NoEnd && now.Through != MapWorker.NoEnd);
        return map.Checkpoint?.Id == open.Id
            && (Array.Exists(before.Members, HasLeft)
                || Array.Exists(before.Jobs, job => map.Job(job.Group) is { } now && job.Workers.Zip(now.Workers, HasChanged).Any(hasChanged => hasChanged)));
    }

    private static bool IsIn(ClusterMap map, in MapChain chain, ulong node) => map.IndexOf(node) is >= 0 and int member && chain.PlaceOf(member) >= 0;

    private void ChainChanged(ServerNode node, ulong self, ClusterMap older, ClusterMap map, int segment)
    {
        MapChain chain = map.Chains[segment], before = older.Chains[segment];
        if (node.State.Find((uint)segment) is { IsHead: true } led && led.Tables.Any(t => t.Aggregation is { Open.Count: > 0 }))
        {
            _tally.Hit(NamedSchedule.MoveDuringIteration);
        }

        bool isNewcomer = chain.Members.Length > 1 && map.Members[chain.Members[^1].Member].Node == self && !IsIn(older, before, self);
        if (isNewcomer)
        {
            int tail = (int)map.Members[chain.Members[^2].Member].Node - 1;
            if (_cluster.Runs(tail) && _cluster.Nodes[tail].Map is { } known && known.Version < chain.Epoch && IsCutFromServers(tail))
            {
                _tally.Hit(NamedSchedule.AppendUnreadByCutOffTail);
            }
        }
    }

    /// <summary>Whether no other server reaches it or is reached by it, while every client may.</summary>
    private bool IsCutFromServers(int server)
    {
        SimPort port = _cluster.Servers[server];
        return _cluster.Servers.All(o => o == port || (_cluster.Network.IsCut(o, port) && _cluster.Network.IsCut(port, o)))
            && _cluster.Clients.Values.Any(c => !c.IsDead && !_cluster.Network.IsCut(c, port));
    }

    private void Arriving(SimPort from, SimPort to, FrameBuffer frame)
    {
        switch ((FrameKind)frame.Span[5])
        {
            case FrameKind.Sent when FrameHeader.TryRead(frame.Span, out FrameHeader header) == HeaderFault.None && SentBody.TryRead(frame.Span[FrameHeader.Size..], out SentBody sent):
                Sent(from, to, header.Session, sent);
                break;
            case FrameKind.CopySlice:
                Slice(to, frame.Span[FrameHeader.Size..]);
                break;
            case FrameKind.PaxosAccept when PaxosBody.TryRead(frame.Span[FrameHeader.Size..], hasValue: true, out PaxosBody accept) && accept.Cell == 1:
                Accept(accept.Value.Bytes.Span);
                break;
            default:
                break;
        }
    }

    private void Sent(SimPort from, SimPort to, ulong session, in SentBody sent)
    {
        if (!_sents.TryGetValue(from, out Dictionary<ulong, NewestSent>? sents))
        {
            sents = [];
            _sents.Add(from, sents);
        }

        if (!sents.TryGetValue(session, out NewestSent? newest) || newest.Iteration < sent.Iteration)
        {
            newest = new NewestSent(sent.Group, (int)sent.Worker, sent.Iteration, []);
            sents[session] = newest;
        }

        if (newest.Iteration == sent.Iteration)
        {
            newest.Received.Add(to);
        }
    }

    private void Slice(SimPort to, ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        var head = CopySliceHead.Read(ref reader);
        if (to.Machine is ServerNode node && node.Incarnation == head.NewcomerIncarnation && node.Map is not null
            && node.State.Find(head.Segment) is { Target: { } target } && target.Attempt > head.Attempt)
        {
            _tally.Hit(NamedSchedule.LateSlice);
        }
    }

    /// <summary>A map is about to be accepted that moves the lead from a head that was sealed for it and has resumed.</summary>
    private void Accept(ReadOnlySpan<byte> value)
    {
        if (_resumed.Count == 0 || !MapEncoding.TryDecode(value, out ClusterMap map))
        {
            return;
        }

        foreach ((int index, ulong head, ulong reported) in _resumed)
        {
            MapChain chain = map.Chains[index];
            if (map.Version == reported + 1 && chain.Members.Length > 1 && map.Members[chain.Head].Node != head && IsIn(map, chain, head))
            {
                _tally.Hit(NamedSchedule.SwapAfterResume);
            }
        }
    }
}
