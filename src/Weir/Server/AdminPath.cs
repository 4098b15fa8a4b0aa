using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Everything that is not rows or clocks: greetings, the map, requests that change it, scans and status. Requests that change the map are
/// answered by the manager; another node names its address.
/// </summary>
internal sealed class AdminPath(NodeState node, MapFollower follower)
{
    private string? _manager;
    private const long JoinRetryMs = 200;

    private readonly HashSet<LinkId> _listeners = [];
    private readonly TaskRouter _tasks = new(node);
    private readonly HighestRows _highest = new(node);

    // Members that are to be forgotten, drained all of them, by incarnation, each with the map that it has to have read before.
    private readonly Dictionary<ulong, ulong> _toKnow = [];
    private Instant _nextJoin;
    private int _joins;

    /// <summary>This node's part in the role of the manager; null where it knows of no register.</summary>
    public ManagerRole? Role { get; set; }

    /// <summary>Why the cluster, or an acceptor of its register, last refused this node; null where none has.</summary>
    public string? JoinRefusal { get; set; }

    /// <summary>This node's planned leave.</summary>
    public LeavePath Leaving { get; } = new(node);

    private Membership? Membership => Role?.Membership;

    /// <summary>False where the body made no sense or the kind has no business here.</summary>
    public bool Handle(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        switch (header.Kind)
        {
            case FrameKind.Hello:
                return Hello(link, header, body);
            case FrameKind.HelloReply or FrameKind.SentReply or FrameKind.ClockReply:
                return true;
            case FrameKind.ReadMap:
                ReadMap(link, header);
                return true;
            case FrameKind.AdminReply:
                return AdminReply(body, now);
            case FrameKind.TaskReply when TaskReplyBody.TryRead(body, out TaskReplyBody reply):
                _tasks.Answer(header, reply);
                return true;
            case FrameKind.Status:
                Status(link, header);
                return true;
            case FrameKind.JoinNode or FrameKind.JoinProcess or FrameKind.OpenTable or FrameKind.SetDelayBound or FrameKind.SetNamespaceQuota or FrameKind.DropTable or FrameKind.OpenJob or FrameKind.EndJob
                or FrameKind.AddWorkers or FrameKind.RemoveWorker or FrameKind.Begun or FrameKind.OpenSession or FrameKind.EndSession or FrameKind.Leave or FrameKind.Drain or FrameKind.Forget
                or FrameKind.RegisterRead or FrameKind.RegisterSwap or FrameKind.ServeTasks or FrameKind.Task
                or FrameKind.OpenCheckpoint or FrameKind.EndCheckpoint or FrameKind.BeginRestore:
                return Change(link, header, body, now);
            default:
                return false;
        }
    }

    /// <summary>A node that is no member asks to join; the first asks nobody, unless it finds that the cluster has a manager.</summary>
    public void Tick(Instant now)
    {
        ServerOptions options = node.Options;
        bool joined = node.Self >= 0;
        if (node.Map is null && Role?.Address is { } manager && manager != _manager)
        {
            _manager = manager;

            // Where all that it knows were started again, as it was, the register alone knows where the manager is (seed 320483).
            follower.Preferred = manager;
        }

        Leaving.Tick(Role, follower);
        if (Membership is null && !joined && (!Leaving.HasBegun || Leaving.ComesBack) && node.Journal is null or { Replay: null } && now >= _nextJoin && follower.Source(_joins) is { } source)
        {
            _joins++;
            _nextJoin = now.AfterMs(JoinRetryMs);
            JoinNodeBody join = node.Joining();
            node.Outbox.Send(node.Outbox.Open(source), node.Header(FrameKind.JoinNode), join);
        }
    }

    /// <summary>Tells those who asked here for the map or for a change that there is a newer one: a hint, they read it themselves.</summary>
    public void Announce(ClusterMap map)
    {
        foreach (LinkId link in _listeners)
        {
            node.Outbox.Send(link, node.Header(FrameKind.HeartbeatReply), new HeartbeatReplyBody(Keys.Status.Acked, []));
        }
    }

    /// <summary>A link has ended: nobody listens there. A hint that is lost costs a place in a bounded list.</summary>
    public void Forget(LinkId link)
    {
        _listeners.Remove(link);
        _tasks.LinkDown(link);
    }

    public bool Scan(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        bool isForHighest = header.Kind == FrameKind.ScanHighest;
        ScanHighestBody wanted = default;
        ScanBody scan = default;
        if (!(isForHighest ? ScanHighestBody.TryRead(body, out wanted) : ScanBody.TryRead(body, out scan)))
        {
            return false;
        }

        scan = isForHighest ? wanted.Scan : scan;
        if (node.Map!.IsRestoring)
        {
            RefuseScan(link, header, Keys.Status.Busy);
            return true;
        }

        if (node.Headed(scan.Segment) is not { } segment || node.Map!.Table(scan.Table) is not { } table)
        {
            RefuseScan(link, header, node.Headed(scan.Segment) is null ? Keys.Status.NotOwner : Keys.Status.UnknownTable);
            return true;
        }

        if (table.IsLost)
        {
            RefuseScan(link, header, Keys.Status.StateLost);
            return true;
        }

        if (isForHighest && table.Rule.Kind != UpdateRuleKind.Score)
        {
            RefuseScan(link, header, Keys.Status.Conflict);
            return true;
        }

        if (isForHighest)
        {
            _highest.Answer(link, header, wanted, node.TableSegment(segment, table));
            return true;
        }

        int rowBytes = sizeof(ulong) + (table.Width * sizeof(float));
        int most = (FrameHeader.MaxBodyBytes - ScanReplyHead.Size - 8) / rowBytes;
        TableSegment rows = node.TableSegment(segment, table);
        int capacity = (int)Math.Min(most, Math.Max(1, rows.Rows.Rows));
        FrameBuffer frame = node.Outbox.Pool.Rent(FrameHeader.Size + ScanReplyHead.Size + (capacity * rowBytes) + 8);
        Span<byte> at = frame.Whole.Slice(FrameHeader.Size + ScanReplyHead.Size, (capacity * rowBytes) + 8);
        float[] values = new float[capacity * table.Width];
        Span<ulong> keys = MemoryMarshal.Cast<byte, ulong>(at[..(capacity * sizeof(ulong))]);
        int count = rows.Rows.Scan(scan.FromMixed, keys, values, out ulong next, out bool done);
        ScanReplyHead head = new() { Rows = count, Done = done, NextMixed = next, ValueBytes = count * table.Width * sizeof(float) };
        MemoryMarshal.AsBytes(values.AsSpan(0, count * table.Width)).CopyTo(at[(count * sizeof(ulong))..]);
        at.Slice((count * sizeof(ulong)) + head.ValueBytes, PartHeader.Pad8(head.ValueBytes) - head.ValueBytes).Clear();
        frame.Length = FrameHeader.Size + ScanReplyHead.Size + (count * sizeof(ulong)) + PartHeader.Pad8(head.ValueBytes);
        var writer = new ByteWriter(frame.Whole[FrameHeader.Size..]);
        head.Write(ref writer);
        FrameHeader reply = node.Reply(FrameKind.ScanReply, header);
        reply.Seal(frame.Span);
        node.Outbox.SendBulk(link, frame);
        return true;
    }

    public void RefuseScan(LinkId link, in FrameHeader header, Status status) =>
        node.Outbox.Send(link, node.Reply(FrameKind.ScanReply, header), new ScanRefusal(status));

    private readonly record struct ScanRefusal(Status Status) : IBody
    {
        public int Bytes => ScanReplyHead.Size;

        public void Write(ref ByteWriter writer) => new ScanReplyHead { Status = Status, Done = true }.Write(ref writer);
    }

    private bool Hello(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (!HelloBody.TryRead(body, out HelloBody hello))
        {
            return false;
        }

        if (hello.OldestVersion > FrameHeader.Version || hello.NewestVersion < FrameHeader.Version)
        {
            node.Outbox.SendStatus(
                link, node.Reply(FrameKind.Error, header), Keys.Status.Conflict,
                $"this node speaks protocol {FrameHeader.Version}, the peer {hello.OldestVersion} to {hello.NewestVersion}");
            return true;
        }

        if ((hello.Encodings & ~KnownEncodings.All) != 0)
        {
            node.Outbox.SendStatus(
                link, node.Reply(FrameKind.Error, header), Keys.Status.Conflict,
                $"this node does not know the encodings {hello.Encodings & ~KnownEncodings.All} that the peer will use; it knows {KnownEncodings.All}");
            return true;
        }

        ServerOptions options = node.Options;
        var reply = new HelloBody(options.Node, options.Incarnation, FrameHeader.Version, FrameHeader.Version, KnownEncodings.All, options.Address);
        node.Outbox.Send(link, node.Reply(FrameKind.HelloReply, header), reply);
        return true;
    }

    private void ReadMap(LinkId link, in FrameHeader header)
    {
        if (node.Map is not { } map)
        {
            return;
        }

        if (header.Cluster != 0 && header.Cluster != map.Cluster)
        {
            node.Outbox.SendStatus(
                link, node.Reply(FrameKind.Error, header), Keys.Status.Conflict, $"this is cluster {map.Cluster:x}, the frame names {header.Cluster:x}");
            return;
        }

        Listen(link);
        bool known = header.Cluster == map.Cluster && header.MapVersion == map.Version;
        if (!known && header.Cluster == map.Cluster && node.History.Since(header.MapVersion) is { } differences)
        {
            node.Outbox.Send(link, node.Reply(FrameKind.MapDifferences, header), new RawBody(differences));
            return;
        }

        node.Outbox.Send(link, node.Reply(FrameKind.ReadMapReply, header), new RawBody(known ? default : node.History.Whole));
    }

    private bool Change(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        if (Membership is not { } membership || node.Map is null)
        {
            string text = node.Map?.Manager.Address ?? follower.Preferred ?? "";
            text = text == node.Options.Address ? Role?.Address ?? "" : text;
            text = text == node.Options.Address ? "" : text;
            node.Outbox.Send(link, node.Reply(FrameKind.AdminReply, header), new AdminReplyBody(Keys.Status.NotOwner, 0, 0, text));
            return true;
        }

        if (header.Cluster != node.Map.Cluster && !(header.Cluster == 0 && header.Kind == FrameKind.JoinNode))
        {
            string text = $"this is cluster {node.Map.Cluster:x}, the frame names {header.Cluster:x}";
            node.Outbox.Send(link, node.Reply(FrameKind.AdminReply, header), new AdminReplyBody(Keys.Status.Conflict, 0, 0, text));
            return true;
        }

        Listen(link);
        switch (header.Kind)
        {
            case FrameKind.JoinNode when JoinNodeBody.TryRead(body, out JoinNodeBody join) && Namesake(join, now) is { } namesake:
                node.Outbox.Send(
                    link, node.Reply(FrameKind.AdminReply, header),
                    new AdminReplyBody(Keys.Status.Conflict, 0, 0, $"server {join.Node:x16} is a member at {namesake.Address} and alive: each server has an id of its own"));
                return true;
            case FrameKind.JoinNode when JoinNodeBody.TryRead(body, out JoinNodeBody join):
                Role!.Heard.Heard(MemberRole.Node, join.Node, join.Incarnation, now);
                membership.Request(link, header, map => MapChanges.AddNode(map, join));
                return true;
            case FrameKind.JoinProcess when JoinProcessBody.TryRead(body, out JoinProcessBody join):
                Role!.Heard.Heard(MemberRole.Process, join.Process, join.Incarnation, now);
                membership.Request(link, header, map => MapChanges.AddProcess(map, join));
                return true;
            case FrameKind.OpenTable when OpenTableBody.TryRead(body, out OpenTableBody open):
                membership.Request(link, header, map => MapChanges.OpenTable(map, open, node.Limits));
                return true;
            case FrameKind.SetDelayBound when SetDelayBoundBody.TryRead(body, out SetDelayBoundBody set):
                membership.Request(link, header, map => MapChanges.SetDelayBound(map, set));
                return true;
            case FrameKind.SetNamespaceQuota when SetNamespaceQuotaBody.TryRead(body, out SetNamespaceQuotaBody quota):
                membership.Request(link, header, map => MapChanges.SetNamespaceQuota(map, quota, node.Limits));
                return true;
            case FrameKind.DropTable when NumberBody.TryRead(body, out NumberBody drop):
                membership.Request(link, header, map => MapChanges.DropTable(map, drop.Number));
                return true;
            case FrameKind.OpenJob when OpenJobBody.TryRead(body, out OpenJobBody open):
                membership.Request(link, header, map => MapChanges.OpenJob(map, open, node.Limits));
                return true;
            case FrameKind.EndJob when NumberBody.TryRead(body, out NumberBody end):
                membership.Request(link, header, map => MapChanges.EndJob(map, end.Number));
                return true;
            case FrameKind.AddWorkers when AddWorkersBody.TryRead(body, out AddWorkersBody add):
                membership.Request(link, header, map => WorkerChanges.Add(map, add, node.Limits));
                return true;
            case FrameKind.RemoveWorker when RemoveWorkerBody.TryRead(body, out RemoveWorkerBody remove):
                membership.Request(link, header, map => WorkerChanges.Remove(map, remove));
                return true;
            case FrameKind.Begun when BegunBody.TryRead(body, out BegunBody begun):
                membership.Begun(header.Session, begun);
                node.Outbox.Send(link, node.Reply(FrameKind.AdminReply, header), new AdminReplyBody(Keys.Status.Acked, 0, 0, ""));
                return true;
            case FrameKind.OpenSession when OpenSessionBody.TryRead(body, out OpenSessionBody open):
                Role!.Heard.Heard(MemberRole.Process, open.Process, open.Incarnation, now);
                membership.Request(link, header, map => open.Group == 0 ? MapChanges.OpenSession(map, open) : TakeUp(map, open));
                return true;
            case FrameKind.EndSession when EndSessionBody.TryRead(body, out EndSessionBody end):
                membership.Request(link, header, map => MapChanges.EndSession(map, end));
                return true;
            case FrameKind.Leave when LeaveBody.TryRead(body, out LeaveBody leave):
                membership.Request(link, header, map => Leave(map, leave));
                return true;
            case FrameKind.Drain when DrainBody.TryRead(body, out DrainBody drain):
                membership.Request(link, header, map => MemberDepartures.Drain(map, drain.Node, drain.Incarnation, drain.IsTakenBack));
                return true;
            case FrameKind.Forget when ForgetBody.TryRead(body, out ForgetBody forget):
                MapMember forgotten = node.Map!.Member(forget.Node) ?? default;

                // One that was let in just now, and has said nothing since, lives as well (seed 1100).
                bool isHeard = forget.Node == node.Options.Node
                    || (forgotten.Node != 0 && !Role!.Heard.IsSilent(MemberRole.Node, forgotten.Node, forgotten.Incarnation, node.Limits.NodeTimeoutMs, now));
                ulong rows = Role!.Heard.Rows(forgotten);
                bool knows = !isHeard || KnowsThatItIsDrained(forgotten);
                membership.Request(link, header, map => knows ? MemberDepartures.Forget(map, forget.Node, isHeard, rows, forget.GivesUp) : MemberDepartures.NotYet(forgotten));
                return true;
            case FrameKind.ServeTasks when ServeTasksBody.TryRead(body, out ServeTasksBody serve):
                string? refusal = _tasks.Serve(link, serve, now);
                node.Outbox.Send(
                    link, node.Reply(FrameKind.AdminReply, header), new AdminReplyBody(refusal is null ? Keys.Status.Acked : Keys.Status.Conflict, 0, 0, refusal ?? ""));
                return true;
            case FrameKind.Task when TaskBody.TryRead(body, out TaskBody tasks):
                _tasks.Issue(link, header, tasks, now);
                return true;
            case FrameKind.OpenCheckpoint when OpenCheckpointBody.TryRead(body, out OpenCheckpointBody open):
                Role!.Heard.Heard(MemberRole.Process, open.Process, open.Incarnation, now);
                membership.Request(link, header, map => CheckpointChanges.Open(map, open));
                return true;
            case FrameKind.EndCheckpoint when EndCheckpointBody.TryRead(body, out EndCheckpointBody end):
                membership.Request(link, header, map => CheckpointChanges.Close(map, end));
                return true;
            case FrameKind.BeginRestore when BeginRestoreBody.TryRead(body, out BeginRestoreBody begin):
                Role!.Heard.Heard(MemberRole.Process, begin.Process, begin.Incarnation, now);
                uint generation = header.Generation;
                membership.Request(link, header, map => CheckpointChanges.Restore(map, begin, generation));
                return true;
            case FrameKind.RegisterRead or FrameKind.RegisterSwap when RegisterBody.TryRead(body, out RegisterBody cell):
                membership.Serve(link, header, cell);
                return true;
            default:
                return false;
        }
    }

    /// <summary>
    /// Whether a member that lives has read a map in which it is drained: one that skips from a map before that to one that it is no longer in takes itself for
    /// counted gone by mistake, and comes in again.
    /// </summary>
    private bool KnowsThatItIsDrained(in MapMember member)
    {
        if (!member.IsDraining || member.Node == node.Options.Node)
        {
            _toKnow.Remove(member.Incarnation);
            return true;
        }

        if (!_toKnow.TryGetValue(member.Incarnation, out ulong version))
        {
            _toKnow.Add(member.Incarnation, version = node.Map!.Version);
        }

        return Role!.Heard.Read(member) >= version && _toKnow.Remove(member.Incarnation);
    }

    /// <summary>A living member of the same id elsewhere: who comes back under its id does so at its address, where no other can listen.</summary>
    private MapMember? Namesake(in JoinNodeBody join, Instant now) =>
        node.Map!.Member(join.Node) is { } member && member.Incarnation != join.Incarnation && member.Address != join.Address
            && (member.Node == node.Options.Node || Role!.Heard.IsHeard(member, node.Limits.NodeTimeoutMs, now)) ? member : null;

    /// <summary>The host that the map names takes up a worker's session: it hears the worker's clock as this node knows it (design R7, R26).</summary>
    private Membership.Decision TakeUp(ClusterMap map, in OpenSessionBody open)
    {
        bool current = map.Job(open.Group) is { } job && open.Worker < job.Workers.Length
            && job.Workers[open.Worker].Session == open.Session && job.Workers[open.Worker].Process == open.Process;
        return current
            ? new Membership.Decision(map, Keys.Status.Acked, open.Session, node.Clocks.Group(open.Group)?[(int)open.Worker] ?? 0)
            : new Membership.Decision(null, Keys.Status.Ended, Text: $"session {open.Session} has ended");
    }

    private static Membership.Decision Leave(ClusterMap map, in LeaveBody leave)
    {
        LeaveBody body = leave;
        bool current = body.Role == MemberRole.Node
            ? map.Member(body.Id)?.Incarnation == body.Incarnation
            : Array.Exists(map.Processes, p => p.Process == body.Id && p.Incarnation == body.Incarnation);
        return !current ? new Membership.Decision(map, Keys.Status.Acked)
            : body.Role == MemberRole.Node ? MemberDepartures.Leave(map, body.Id) : MapChanges.RemoveProcess(map, body.Id);
    }

    private bool AdminReply(ReadOnlySpan<byte> body, Instant now)
    {
        if (!AdminReplyBody.TryRead(body, out AdminReplyBody reply))
        {
            return false;
        }

        if (Membership is not null || node.Self >= 0)
        {
            // A member asks for nothing, but to leave.
            Leaving.Answered(reply);
            return true;
        }

        if (reply.Status == Keys.Status.NotOwner)
        {
            // Empty where the cluster has no manager at the moment.
            bool isNamed = reply.Text.Length is > 0 and <= JoinNodeBody.MaxTextLength;
            follower.Preferred = isNamed ? reply.Text : follower.Preferred;
            _joins = isNamed ? 0 : _joins;
        }
        else if (reply.Status != Keys.Status.Acked)
        {
            JoinRefusal = reply.Text;
            node.Outbox.Note($"the cluster refused this node: {reply.Text}");
        }

        follower.Want((node.Map?.Version ?? 0) + 1, now);
        return true;
    }

    private void Status(LinkId link, in FrameHeader header)
    {
        TableLoad[] tables = [.. node.Tables.Select(t => new TableLoad(t.Key, t.Value.Rows, t.Value.Bytes, t.Value.CountedRows, t.Value.CountedRows * t.Value.CountedBytesOfRow))];
        List<ClockEntry> clocks = node.Clocks.Entries(node.Map?.Version ?? 0);
        var reply = new StatusReplyBody(
            node.Options.Node, node.Options.ProcessId, node.Budget.Used, node.Budget.Limit, node.Counters, tables, clocks);
        node.Outbox.Send(link, node.Reply(FrameKind.StatusReply, header), reply);
    }

    // Bounded: a hint is a convenience, whoever misses it learns of the map from the next heartbeat.
    private void Listen(LinkId link)
    {
        if (_listeners.Count < 100_000)
        {
            _listeners.Add(link);
        }
    }
}
