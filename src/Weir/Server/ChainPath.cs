using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// How entries pass down a chain and acknowledgements back up (design R9, R15, R16; chain replication after van Renesse and Schneider
/// 2004, as the papers use it). In a new epoch a member first hears from its predecessor that its last entry stands there; then entries
/// go down in order, are kept until the tail's acknowledgement has passed, and are sent again where they went missing.
/// </summary>
internal sealed class ChainPath
{
    /// <summary>How long entries are kept for a newcomer that takes none: as long as a copy that nobody wants lasts.</summary>
    private const long NewcomerMs = 5000;

    private readonly NodeState _node;
    private readonly EntryApplication _application;
    private readonly EntryLane _kept;
    private readonly Dictionary<LinkId, EntryLane> _lanes = [];
    private readonly HashSet<Segment> _unsent = [];
    private readonly HashSet<Segment> _unanswered = [];
    private readonly NeighbourWords _words;
    private readonly List<EntryAck> _readAcks = [];
    private readonly List<ConfirmEntry> _readQuestions = [];
    private Follower? _reservedFor;

    public ChainPath(NodeState node)
    {
        _node = node;
        _application = new EntryApplication(node);
        _kept = new EntryLane(node, LinkId.None);
        _words = new NeighbourWords(node);
    }

    /// <summary>
    /// Where the next entry of a segment is written: straight into the frame for the one who follows, if everything before has gone there;
    /// else it is kept, and sent when its turn comes.
    /// </summary>
    public EntryLane LaneOf(Segment segment)
    {
        Follower? follower = segment.Successor ?? segment.Newcomer;
        _reservedFor = follower is { IsReady: true } && follower.SentThrough == segment.Log.Last.Number && _node.Outbox.HasRoom(follower.Link) ? follower : null;
        return _reservedFor is null ? _kept : Lane(_reservedFor.Link);
    }

    /// <summary>The entry that was just written is the segment's newest.</summary>
    public void Append(Segment segment, LogPosition position, LogFragment[] fragments)
    {
        segment.Log.Append(position, fragments);
        if (segment is { IsHead: true, IsTail: true })
        {
            // It is kept for a newcomer, who is no member yet.
            segment.Acknowledged = position.Number;
        }

        foreach (Follower? follower in (ReadOnlySpan<Follower?>)[segment.Successor, segment.Newcomer])
        {
            if (follower is null)
            {
                continue;
            }

            if (follower.Received + 1 == position.Number)
            {
                // From now on it owes an answer.
                follower.MovedAt = _node.Now;
                follower.ResendAt = _node.Now.AfterMs(_node.Limits.ResendMs);
            }

            if (follower == _reservedFor)
            {
                follower.SentThrough = position.Number;
            }
            else
            {
                _unsent.Add(segment);
            }
        }

        _reservedFor = null;
    }

    /// <summary>Keeps an entry for those below, in as many fragments as it takes.</summary>
    public void Keep(Segment segment, EntryHead head, ReadOnlySpan<byte> payload)
    {
        const int MostBytes = EntryLane.MaxBytes - EntryHead.Size;
        var fragments = new LogFragment[Math.Max(1, (payload.Length + MostBytes - 1) / MostBytes)];
        EntryLane lane = LaneOf(segment);
        for (int i = 0; i < fragments.Length; i++)
        {
            ReadOnlySpan<byte> piece = payload[(i * MostBytes)..Math.Min(payload.Length, (i + 1) * MostBytes)];
            (head.Offset, head.Bytes, head.EntryBytes) = (i * MostBytes, piece.Length, payload.Length);
            fragments[i] = lane.Reserve(head.TotalBytes);
            Span<byte> span = fragments[i].Frame.Whole.Slice(fragments[i].Offset, fragments[i].Bytes);
            var writer = new ByteWriter(span);
            head.Write(ref writer);
            piece.CopyTo(span[EntryHead.Size..]);
            span[(EntryHead.Size + piece.Length)..].Clear();

            // The lane may send its frame before the log holds it.
            fragments[i].Frame.Retain();
        }

        Append(segment, head.Position, fragments);
        foreach (LogFragment fragment in fragments)
        {
            fragment.Frame.Release();
        }
    }

    /// <summary>An answer waits until an entry of a segment is at the tail, or is flushed at every member where its table is durable.</summary>
    public static void Await(PendingReply reply, Segment segment, ulong number, bool isDurable)
    {
        reply.Waiting++;
        (isDurable ? segment.WaitingForFlush : segment.Waiting).Enqueue(reply, number);
    }

    /// <summary>More of a segment is flushed here, or below: what all members from here on have flushed may have grown (design R23).</summary>
    public void Flushed(Segment segment)
    {
        BecomeComplete(segment);
        if (segment.Place < 0 || !segment.IsConfirmed)
        {
            return;
        }

        ulong below = segment.IsTail ? ulong.MaxValue : segment.Successor?.Flushed ?? 0;
        ulong flushed = Math.Min(Math.Min(segment.FlushedHere, below), segment.Acknowledged);
        if (flushed <= segment.Flushed)
        {
            return;
        }

        segment.Flushed = flushed;
        if (segment.Place > 0)
        {
            _unanswered.Add(segment);
        }

        Release(segment.WaitingForFlush, flushed);
    }

    /// <summary>Takes the places of this node's segments from the map it acts on now.</summary>
    public void Adopt()
    {
        ClusterMap map = _node.Map!;
        int self = _node.Self;
        foreach (Segment segment in _node.Held)
        {
            bool wasHead = segment.IsHead;
            if (!segment.Adopt(map.Chains[segment.Index], self) || segment.Place < 0)
            {
                if (segment.Place < 0)
                {
                    Leave(segment);
                }

                continue;
            }

            if (wasHead != segment.IsHead)
            {
                segment.Waiting.Clear();
                segment.EndWalk();
                segment.WaitingForFlush.Clear();
                foreach (TableSegment table in segment.Tables)
                {
                    table.Aggregation?.Reset();
                }
            }

            // What this member and those behind it had flushed says nothing of a journal that may yet lead. Nobody acknowledges for that one, so no more counts until it is taken out.
            segment.Flushed = segment.HasRestarted ? 0 : segment.Flushed;
            segment.IsConfirmed = segment.IsHead;
            segment.IsChainConfirmed = segment is { IsHead: true, IsTail: true };
            segment.Unseal();
            segment.Told = null;
            segment.AskAt = _node.Now;
            Follow(segment, map);
            if (segment.IsConfirmed)
            {
                Confirmed(segment);
            }
            else if (!segment.IsDiverged)
            {
                // Pushes wait for it: at once, and not at the next tick.
                Ask(segment);
            }
        }
    }

    /// <summary>A generation is over, and its segments are gone: what was noted of them is nobody's business. To be called before they go.</summary>
    public void EndGeneration()
    {
        // What was written goes out under the map that it was written under, which no receiver acts on any more.
        EndTurn();
        _unsent.Clear();
        _unanswered.Clear();
    }

    /// <summary>Handles a frame of the chain whose map version this node has. False where it makes no sense.</summary>
    public bool Handle(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        switch (header.Kind)
        {
            case FrameKind.Entries:
                return Entries(header, body);
            case FrameKind.EntryAck:
                return Acks(header, body);
            default:
                return Questions(header, body);
        }
    }

    /// <summary>Asks again what was not answered, and sends again what was not acknowledged.</summary>
    public void Tick()
    {
        foreach (Segment segment in _node.Held)
        {
            if (segment.Place > 0 && !segment.IsDiverged && !(segment.IsConfirmed && segment.IsComplete) && segment.AskAt <= _node.Now)
            {
                Ask(segment);
            }

            if (segment.Newcomer is { } newcomer && newcomer.Received < segment.Log.Last.Number && _node.Now.MsSince(newcomer.MovedAt) > NewcomerMs)
            {
                // It is no member, so nobody waits for it: whether it died or gave its copy up, it may begin another.
                segment.Newcomer = null;
                Trim(segment);
            }

            foreach (Follower? follower in (ReadOnlySpan<Follower?>)[segment.Successor, segment.Newcomer])
            {
                if (follower is not { IsReady: true } || follower.ResendAt > _node.Now)
                {
                    continue;
                }

                if (follower is { HasAnswered: false } && follower == segment.Successor && segment.IsConfirmed)
                {
                    // That its last entry stands here may have been lost on the way, or its answer to that.
                    follower.ResendAt = _node.Now.AfterMs(_node.Limits.ResendMs);
                    _words.Add(follower.Link, FrameKind.Confirmed, new ConfirmEntry((uint)segment.Index, segment.Log.Last, true, segment.IsComplete));
                }

                // Where it has everything and the tail's word is missing, the last entry again asks for it.
                ulong known = follower == segment.Successor && segment.Acknowledged < segment.Log.Last.Number
                    ? Math.Min(follower.Received, segment.Log.Last.Number - 1)
                    : follower.Received;
                if (follower == segment.Successor && _node.HasDurable && segment.Flushed < segment.FlushedHere)
                {
                    // What it has flushed may have been said and lost: it is asked.
                    follower.ResendAt = _node.Now.AfterMs(_node.Limits.ResendMs);
                    _words.Add(follower.Link, FrameKind.Confirmed, new ConfirmEntry((uint)segment.Index, segment.Log.Last, true, segment.IsComplete));
                }

                if (known < follower.SentThrough)
                {
                    follower.SentThrough = known;
                    follower.ResendAt = _node.Now.AfterMs(_node.Limits.ResendMs);
                    _unsent.Add(segment);
                }
            }
        }
    }

    /// <summary>At the end of a turn: one frame a neighbour with what it is to have, one with what was received from it.</summary>
    public void EndTurn()
    {
        if (_unsent.Count > 0)
        {
            // In the order of segments, so that a replay does the same.
            foreach (Segment segment in _unsent.OrderBy(s => s.Index).ToArray())
            {
                if (Pump(segment, segment.Successor) & Pump(segment, segment.Newcomer))
                {
                    _unsent.Remove(segment);
                }
            }
        }

        foreach (Segment segment in _unanswered)
        {
            Acknowledge(segment);
        }

        _unanswered.Clear();
        _words.Flush();
        foreach (EntryLane lane in _lanes.Values)
        {
            lane.EndTurn();
        }

        _kept.EndTurn();
    }

    public void Dispose()
    {
        foreach (EntryLane lane in _lanes.Values)
        {
            lane.Dispose();
        }

        _kept.Dispose();
    }

    /// <summary>A newcomer has copied a segment from here: it gets the entries since.</summary>
    public void Begin(Segment segment, Follower newcomer)
    {
        (newcomer.IsReady, newcomer.MovedAt, newcomer.ResendAt) = (true, _node.Now, _node.Now.AfterMs(_node.Limits.ResendMs));
        _unsent.Add(segment);
    }

    /// <summary>A copy is whole up to here: it tells its source so, again and again, until the map appends it.</summary>
    public void Received(Segment segment) => _unanswered.Add(segment);

    private EntryLane Lane(LinkId link)
    {
        if (!_lanes.TryGetValue(link, out EntryLane? lane))
        {
            lane = new EntryLane(_node, link);
            _lanes.Add(link, lane);
        }

        return lane;
    }

    /// <summary>This node is no member of the chain any more.</summary>
    private static void Leave(Segment segment)
    {
        segment.Successor = segment.Newcomer = null;
        segment.EndCopy();
        segment.IsConfirmed = segment.IsChainConfirmed = false;
        segment.Unseal();
        segment.Waiting.Clear();
        segment.WaitingForFlush.Clear();
    }

    private void Follow(Segment segment, ClusterMap map)
    {
        Follower? newcomer = segment.Newcomer;
        segment.Successor = null;
        if (segment.Place + 1 < segment.Chain.Members.Length)
        {
            MapMember next = map.Members[segment.Chain.Members[segment.Place + 1].Member];
            segment.Successor = new Follower(next.Node, next.Incarnation, _node.Outbox.Open(next.Address))
            {
                MovedAt = _node.Now,

                // Nothing that it may lack is given up before it has said what it has.
                Received = segment.Log.Base.Number,
            };

            // A tail alone feeds newcomers (R17).
            segment.Newcomer = null;
            segment.EndCopy();
        }
        else if (newcomer is not null && map.Member(newcomer.Node)?.Incarnation != newcomer.Incarnation)
        {
            segment.Newcomer = null;
        }
    }

    private (ulong Node, ulong Incarnation) Above(Segment segment)
    {
        if (segment.Target is { } copy)
        {
            return (copy.Source, copy.SourceIncarnation);
        }

        if (segment.Place <= 0)
        {
            return default;
        }

        MapMember member = _node.Map!.Members[segment.Chain.Members[segment.Place - 1].Member];
        return (member.Node, member.Incarnation);
    }

    private LinkId LinkAbove(Segment segment) => _node.Outbox.Open(_node.Map!.Member(Above(segment).Node)!.Value.Address);

    /// <summary>A chain frame stands if its sender is this node's neighbour there, by a map at least as new as the epoch (design R15).</summary>
    private bool IsFromAbove(Segment segment, in ChainSender sender, ulong version) =>
        (segment.Place > 0 || segment.Target is { IsWhole: true }) && version >= segment.Chain.Epoch && Above(segment) == (sender.Node, sender.Incarnation);

    private static Follower? FromBelow(Segment segment, in ChainSender sender, ulong version)
    {
        if (segment.Place < 0 || version < segment.Chain.Epoch)
        {
            return null;
        }

        return segment.Successor is { } successor && (successor.Node, successor.Incarnation) == (sender.Node, sender.Incarnation) ? successor
            : segment.Newcomer is { } newcomer && (newcomer.Node, newcomer.Incarnation) == (sender.Node, sender.Incarnation) ? newcomer
            : null;
    }

    private bool Entries(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        var reader = new EntriesReader(body);
        while (reader.Next(out EntryHead head, out ReadOnlySpan<byte> bytes))
        {
            if (_node.Find(head.Segment) is { } segment && !segment.IsDiverged && IsFromAbove(segment, reader.Sender, header.MapVersion))
            {
                Entry(segment, head, bytes);
            }
        }

        return reader.AtEnd;
    }

    private void Entry(Segment segment, in EntryHead head, ReadOnlySpan<byte> bytes)
    {
        LogPosition last = segment.Log.Last;
        _unanswered.Add(segment);
        if (head.Position.Number != last.Number + 1 || head.EpochBefore != last.Epoch || _node.Journal is { IsFull: true })
        {
            // Known already, or something before it is missing, or the journal takes no more: the answer says what is here.
            return;
        }

        if (head.Bytes < head.EntryBytes)
        {
            if (!Assemble(segment, head, bytes))
            {
                return;
            }

            bytes = segment.Partial.AsSpan(0, segment.PartialBytes);
        }

        if (!_application.Apply(segment, head.Kind, bytes, head.Position.Number))
        {
            _node.Outbox.Note($"segment {segment.Index}: entry {head.Position.Number} could not be applied here; this copy leaves the chain");
            segment.IsDiverged = true;
        }
        else
        {
            if (_application.IsDurable)
            {
                _node.Journal?.Entry(segment, head.Kind, head.Position, bytes);
            }

            if (segment.IsFollowed)
            {
                Keep(segment, head, bytes);
            }
            else
            {
                segment.Log.Skip(head.Position);
            }
        }

        (segment.Partial, segment.PartialBytes) = (null, 0);
        if (segment.IsDiverged)
        {
            return;
        }

        if (segment.IsTail && segment.IsConfirmed)
        {
            Acknowledged(segment, head.Position.Number);
        }

        BecomeComplete(segment);
    }

    /// <summary>Takes a fragment; true once the entry is whole (design R25). Nothing is allocated for bytes that have not come.</summary>
    private static bool Assemble(Segment segment, in EntryHead head, ReadOnlySpan<byte> bytes)
    {
        if (head.Offset == 0)
        {
            segment.PartialBytes = 0;
        }

        if (head.Offset != segment.PartialBytes)
        {
            return false;
        }

        byte[] partial = segment.Partial ?? [];
        if (partial.Length < head.Offset + bytes.Length)
        {
            Array.Resize(ref partial, (int)Math.Min(head.EntryBytes, 2L * (head.Offset + bytes.Length)));
            segment.Partial = partial;
        }

        bytes.CopyTo(partial.AsSpan(head.Offset));
        segment.PartialBytes = head.Offset + bytes.Length;
        return segment.PartialBytes == head.EntryBytes;
    }

    private bool Acks(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (!ChainBody<EntryAck>.TryRead(body, _readAcks, out ChainSender sender))
        {
            return false;
        }

        foreach (EntryAck ack in _readAcks)
        {
            if (_node.Find(ack.Segment) is not { } segment || FromBelow(segment, sender, header.MapVersion) is not { IsReady: true } follower)
            {
                continue;
            }

            (follower.Room, follower.HasAnswered) = (ack.Room, true);
            if (ack.Received.Number >= follower.Received && segment.Log.Contains(ack.Received))
            {
                follower.MovedAt = ack.Received.Number > follower.Received || ack.Received.Number == segment.Log.Last.Number ? _node.Now : follower.MovedAt;
                follower.ResendAt = ack.Received.Number > follower.Received ? _node.Now.AfterMs(_node.Limits.ResendMs) : follower.ResendAt;
                follower.Received = ack.Received.Number;
                follower.SentThrough = Math.Max(follower.SentThrough, follower.Received);
            }

            if (follower == segment.Successor && ack.Flushed > follower.Flushed && segment.Log.Contains(ack.Received))
            {
                follower.Flushed = Math.Min(ack.Flushed, ack.Received.Number);
                Flushed(segment);
            }

            // It counts only if that entry is in the log here (R15).
            if (follower == segment.Successor && ack.Acknowledged.Number > segment.Acknowledged && segment.Log.Contains(ack.Acknowledged))
            {
                follower.ResendAt = _node.Now.AfterMs(_node.Limits.ResendMs);
                Acknowledged(segment, ack.Acknowledged.Number);
            }

            if (follower == segment.Successor && ack.IsChainConfirmed && !segment.IsChainConfirmed && segment.IsConfirmed)
            {
                segment.IsChainConfirmed = true;
                _unanswered.Add(segment);
            }

            Trim(segment);
        }

        return true;
    }

    private bool Questions(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (!ChainBody<ConfirmEntry>.TryRead(body, _readQuestions, out ChainSender sender))
        {
            return false;
        }

        foreach (ConfirmEntry entry in _readQuestions)
        {
            if (_node.Find(entry.Segment) is not { } segment)
            {
                continue;
            }

            if (header.Kind == FrameKind.Confirm && FromBelow(segment, sender, header.MapVersion) is { } follower && follower == segment.Successor)
            {
                follower.Asks = entry.Last;
                Answer(segment);
            }
            else if (header.Kind == FrameKind.Confirmed && segment.Place > 0 && IsFromAbove(segment, sender, header.MapVersion))
            {
                Answered(segment, entry);
            }
        }

        return true;
    }

    /// <summary>Says whether the successor's last entry stands here, once this node's own does at its predecessor's.</summary>
    private void Answer(Segment segment)
    {
        if (!segment.IsConfirmed || segment.Successor is not { Asks: { } last } successor)
        {
            return;
        }

        successor.Asks = null;
        bool isInLog = segment.Log.Contains(last);
        _words.Add(successor.Link, FrameKind.Confirmed, new ConfirmEntry((uint)segment.Index, segment.Log.Last, isInLog, segment.IsComplete));
        if (isInLog && !successor.IsReady)
        {
            (successor.IsReady, successor.SentThrough, successor.Received) = (true, last.Number, last.Number);
            (successor.MovedAt, successor.ResendAt) = (_node.Now, _node.Now.AfterMs(_node.Limits.ResendMs));
            _unsent.Add(segment);
        }
    }

    /// <summary>Where not all behind are known to be confirmed, the successor is asked once more.</summary>
    public void AskBelow(Segment segment)
    {
        if (!segment.IsChainConfirmed && segment.Successor is { IsReady: true } successor)
        {
            _words.Add(successor.Link, FrameKind.Confirmed, new ConfirmEntry((uint)segment.Index, segment.Log.Last, true, segment.IsComplete));
        }
    }

    private void Answered(Segment segment, in ConfirmEntry answer)
    {
        if (!answer.IsInLog)
        {
            // It comes back as a newcomer once the map has taken it out.
            segment.IsDiverged |= !segment.IsConfirmed;
            return;
        }

        if (answer.IsComplete && !segment.IsComplete)
        {
            segment.Told = answer.Last;
        }

        if (!segment.IsConfirmed)
        {
            segment.IsConfirmed = true;
            Confirmed(segment);
        }
        else
        {
            // It is asked whether all behind it are confirmed.
            _unanswered.Add(segment);
            AskBelow(segment);
        }

        BecomeComplete(segment);
    }

    /// <summary>The last entry here stands in this epoch: what waited for that goes on (design R16).</summary>
    private void Confirmed(Segment segment)
    {
        if (segment.IsTail)
        {
            segment.IsChainConfirmed = true;
            Acknowledged(segment, segment.Log.Last.Number);
        }

        _unanswered.Add(segment);
        Answer(segment);
        BecomeComplete(segment);
    }

    private static void BecomeComplete(Segment segment)
    {
        if (segment.Told is { } told && segment.Place > 0 && segment.FlushedHere >= told.Number)
        {
            segment.CompleteUnder = segment.Chain.Members[segment.Place].Appended;
            segment.Told = null;
        }
    }

    private void Acknowledged(Segment segment, ulong number)
    {
        segment.Acknowledged = Math.Max(segment.Acknowledged, number);
        Trim(segment);
        if (segment.Place > 0)
        {
            _unanswered.Add(segment);
        }

        Release(segment.Waiting, segment.Acknowledged);
        Flushed(segment);
    }

    private void Release(PriorityQueue<PendingReply, ulong> waiting, ulong number)
    {
        while (waiting.TryPeek(out PendingReply? reply, out ulong waitsFor) && waitsFor <= number)
        {
            waiting.Dequeue();
            if (--reply.Waiting == 0)
            {
                reply.Send(_node);
            }
        }
    }

    private static void Trim(Segment segment)
    {
        ulong through = segment.Acknowledged;
        through = segment.Successor is { } successor ? Math.Min(through, successor.Received) : through;
        through = segment.Newcomer is { } newcomer ? Math.Min(through, newcomer.Received) : through;
        segment.Log.TrimThrough(through);
    }

    private void Ask(Segment segment)
    {
        segment.AskAt = _node.Now.AfterMs(_node.Limits.ResendMs);
        _words.Add(LinkAbove(segment), FrameKind.Confirm, new ConfirmEntry((uint)segment.Index, segment.Log.Last, false, false));
    }

    /// <summary>Sends what a follower has not been sent, as far as its link has room. True where nothing is left.</summary>
    private bool Pump(Segment segment, Follower? follower)
    {
        if (follower is not { IsReady: true })
        {
            return true;
        }

        while (follower.SentThrough < segment.Log.Last.Number)
        {
            if (!_node.Outbox.HasRoom(follower.Link))
            {
                return false;
            }

            EntryLane lane = Lane(follower.Link);
            foreach (LogFragment fragment in segment.Log[follower.SentThrough + 1].Fragments)
            {
                LogFragment copy = lane.Reserve(fragment.Bytes);
                fragment.Span.CopyTo(copy.Frame.Whole[copy.Offset..]);
            }

            follower.SentThrough++;
        }

        return true;
    }

    private void Acknowledge(Segment segment)
    {
        bool follows = segment.Target is { IsWhole: true };
        if (segment.IsDiverged || !(follows || (segment.Place > 0 && segment.IsConfirmed)) || _node.Map!.Member(Above(segment).Node) is null)
        {
            return;
        }

        LogPosition last = segment.Log.Last;
        LogPosition acknowledged = follows || segment.Acknowledged < segment.Log.Base.Number ? default : segment.Log.PositionOf(segment.Acknowledged);
        _words.Add(LinkAbove(segment), new EntryAck((uint)segment.Index, last, acknowledged, Math.Min((ulong)Math.Max(0, _node.Budget.Limit - _node.Budget.Used), segment.RoomBelow), segment.IsChainConfirmed, Math.Min(segment.Flushed, last.Number)));
    }
}
