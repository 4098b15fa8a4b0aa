using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Answers pulls that need not wait for clocks any more, as fast as their links take it and no faster: a small request may ask for more
/// than a link or this node's memory holds, so an answer stops while its link has no room, and goes on where it stopped. Rows are read when
/// they are sent; each piece says as of when (design R22).
/// </summary>
internal sealed class PullAnswers(NodeState node)
{
    private readonly UnflushedAnswers _unflushed = new(node);

    // By arrival: who asked first is answered first.
    private readonly List<Unfinished> _unfinished = [];
    private readonly KeyReader _keys = new(node);
    private readonly RowArithmeticPath _arithmetic = new(node);
    private long _unfinishedBytes;
    private bool _roomMade;

    /// <summary>An answer whose link has no room.</summary>
    private sealed class Unfinished(LinkId link, FrameBuffer request, ulong requestId, PushPath.Outcome[] parts, Instant deadline)
    {
        public LinkId Link { get; } = link;

        public FrameBuffer Request { get; } = request;

        public ulong RequestId { get; } = requestId;

        public PushPath.Outcome[] Parts { get; } = parts;

        /// <summary>After it the asker has given up.</summary>
        public Instant Deadline { get; } = deadline;

        public Place At;
    }

    /// <summary>The row of the item that an answer goes on with.</summary>
    private struct Place
    {
        public int Item;
        public int Row;
    }

    public int UnfinishedCount => _unfinished.Count + _unflushed.Count;

    /// <summary>Whether a request is being answered: the same again, a retry, then adds nothing.</summary>
    public bool IsUnderWay(LinkId link, ulong requestId)
    {
        if (_unflushed.Has(link, requestId))
        {
            return true;
        }

        foreach (Unfinished answer in _unfinished)
        {
            if (answer.Link == link && answer.RequestId == requestId)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Answers the items of a frame, now as far as the link has room.</summary>
    /// <param name="link">Who asks.</param>
    /// <param name="header">The frame's header.</param>
    /// <param name="frame">The frame.</param>
    /// <param name="reader">Stands behind the frame's parts.</param>
    /// <param name="parts">What became of these.</param>
    /// <param name="now">When.</param>
    public void Begin(LinkId link, in FrameHeader header, FrameBuffer frame, DataRequestReader reader, ReadOnlySpan<PushPath.Outcome> parts, Instant now)
    {
        Place at = default;
        if (Write(link, header, frame, reader, parts, ref at))
        {
            return;
        }

        if (_unfinished.Count >= node.Limits.WaitingPulls || _unfinishedBytes + frame.Capacity > node.Limits.WaitingBytes)
        {
            RefuseRest(link, header, reader, at);
            return;
        }

        Instant deadline = header.DeadlineUs == 0 ? now.AfterMs(node.Limits.PullWaitMs) : now.AfterUs(header.DeadlineUs);
        _unfinished.Add(new Unfinished(link, frame.Retain(), header.RequestId, parts.ToArray(), deadline) { At = at });
        _unfinishedBytes += frame.Capacity;
    }

    /// <summary>A link may have room again: answers are looked at at the end of the turn.</summary>
    public void RoomMade() => _roomMade = _unfinished.Count > 0;

    /// <summary>At the end of a turn: goes on with the answers whose links have room.</summary>
    public void Resume(Instant now)
    {
        _roomMade |= _unflushed.Send() && _unfinished.Count > 0;
        if (!_roomMade)
        {
            return;
        }

        _roomMade = false;
        int kept = 0;
        foreach (Unfinished answer in CollectionsMarshal.AsSpan(_unfinished))
        {
            if (answer.Deadline > now && !GoOn(answer))
            {
                _unfinished[kept++] = answer;
            }
            else
            {
                GiveUp(answer);
            }
        }

        _unfinished.RemoveRange(kept, _unfinished.Count - kept);
    }

    /// <summary>A link is gone: nobody reads the rest of what it asked for.</summary>
    public void LinkDown(LinkId link)
    {
        _unflushed.LinkDown(link);
        for (int i = _unfinished.Count - 1; i >= 0; i--)
        {
            if (_unfinished[i].Link == link)
            {
                GiveUp(_unfinished[i]);
                _unfinished.RemoveAt(i);
            }
        }
    }

    public void Dispose()
    {
        _unflushed.Dispose();
        _unfinished.ForEach(GiveUp);
        _unfinished.Clear();
    }

    /// <summary>Begins an answer.</summary>
    public PullReplyWriter NewReply(LinkId link, in FrameHeader request) => new(node, link, request, _unflushed);

    public static PullReplyItem Refusal(int index, Status status, string text) => new() { Item = index, Status = status, Text = text };

    private void GiveUp(Unfinished answer)
    {
        _unfinishedBytes -= answer.Request.Capacity;
        answer.Request.Release();
    }

    private bool GoOn(Unfinished answer)
    {
        FrameHeader.TryRead(answer.Request.Span, out FrameHeader header);
        if (header.Generation != node.Map!.Generation)
        {
            // The asker reads of the restore, or is told when it asks again.
            return true;
        }

        var reader = new DataRequestReader(answer.Request.Span[FrameHeader.Size..]);
        while (reader.NextPart(out _, out _, out _))
        {
        }

        return Write(answer.Link, header, answer.Request, reader, answer.Parts, ref answer.At);
    }

    private void RefuseRest(LinkId link, in FrameHeader header, DataRequestReader reader, Place at)
    {
        var reply = NewReply(link, header);
        for (int index = 0; reader.NextItem(out _, out _); index++)
        {
            if (index >= at.Item)
            {
                reply.Refuse(Refusal(index, Status.Busy, ""));
            }
        }

        reply.Finish();
    }

    // False where the link has no room for the rest, which begins at the place then.
    private bool Write(LinkId link, in FrameHeader header, FrameBuffer frame, DataRequestReader reader, ReadOnlySpan<PushPath.Outcome> parts, ref Place at)
    {
        ReadOnlySpan<byte> body = frame.Span[FrameHeader.Size..];
        var reply = NewReply(link, header);
        bool hasRoom = true;
        long reduced = 0;
        for (int index = 0; hasRoom && reader.NextItem(out PullItem item, out ReadOnlySpan<byte> keyBytes); index++)
        {
            if (index < at.Item)
            {
                continue;
            }

            if (item.KeyEncoding == KeyEncoding.OfPart && parts[item.KeyBytes] is { Status: > Status.Failed } refused)
            {
                // The push half has yet to be accepted: the asker pulls again after it was.
                reply.Refuse(Refusal(index, refused.Status, refused.Text));
            }
            else
            {
                KeyListHead list = KeyListHead.Of(item);
                if (item.KeyEncoding == KeyEncoding.OfPart)
                {
                    var part = new ByteReader(body[parts[item.KeyBytes].Position..]);
                    var named = PartHeader.Read(ref part);
                    list = KeyListHead.Of(named);
                    keyBytes = part.Take(named.KeyBytes);
                }

                if (Find(item, list, keyBytes, out ReadOnlySpan<ulong> keys, out TableSegment? rows, out UnflushedAnswers.Read? read, out Status status, out string text))
                {
                    hasRoom = item.Reduction.Kind == ReductionKind.None ? reply.TryAdd(index, item, keys, rows, read, ref at.Row) : TryReduce(ref reply, index, item, keys, rows, read, ref reduced);
                }
                else
                {
                    reply.Refuse(Refusal(index, status, text));
                }
            }

            if (hasRoom)
            {
                at = new Place { Item = index + 1 };
            }
        }

        reply.Finish();
        return hasRoom;
    }

    private bool TryReduce(ref PullReplyWriter reply, int index, in PullItem item, ReadOnlySpan<ulong> keys, TableSegment rows, UnflushedAnswers.Read? read, ref long reduced)
    {
        // The first always, then as far as one turn goes.
        if (!reply.HasRoom(read) || (reduced > 0 && reduced + ((long)keys.Length * rows.Table.Width) > RowArithmeticPath.MostFloats))
        {
            return false;
        }

        reduced += (long)keys.Length * rows.Table.Width;

        Status status = _arithmetic.Reduce(node.Find(item.Segment)!, rows, item.Reduction, keys, out double value, out string text);
        if (status == Status.Acked)
        {
            reply.Add(index, item, rows, read, value);
        }
        else
        {
            reply.Refuse(Refusal(index, status, text));
        }

        return true;
    }

    private bool Find(
        in PullItem item, in KeyListHead list, ReadOnlySpan<byte> keyBytes, out ReadOnlySpan<ulong> keys, out TableSegment rows, out UnflushedAnswers.Read? read, out Status status, out string text)
    {
        keys = default;
        rows = null!;
        read = null;
        text = "";
        ClusterMap map = node.Map!;
        if (map.IsRestoring)
        {
            (status, text) = (Status.Busy, "a checkpoint is being loaded");
            return false;
        }

        bool isCommitted = item.Committed || map.Table(item.Table) is { IsCommitted: true };
        if (node.Find(item.Segment) is not { } segment || !(isCommitted ? segment.IsTail : segment.IsHead))
        {
            status = Status.NotOwner;
            return false;
        }

        if (isCommitted && (!segment.IsConfirmed || !segment.IsComplete || segment.IsDiverged))
        {
            // Only what is known to stand in this epoch is the acknowledged state (R16, R22).
            status = Status.Moving;
            return false;
        }

        if (map.Table(item.Table) is not { } table)
        {
            (status, text) = (Status.UnknownTable, $"there is no table {item.Table}");
            return false;
        }

        if (table.IsLost)
        {
            (status, text) = (Status.StateLost, table.LossText);
            return false;
        }

        if (item.Group != 0 && map.Job(item.Group) is null)
        {
            (status, text) = (Status.Ended, $"job {item.Group} has ended");
            return false;
        }

        status = list.Segment == item.Segment ? _keys.Read(list, keyBytes, out keys) : Status.Malformed;
        if (status != Status.Acked)
        {
            text = status == Status.Malformed
                ? $"the keys of an item lie in its segment and rise in the order of their hash; those for segment {item.Segment} do not"
                : "";
            return false;
        }

        rows = node.TableSegment(segment, table);
        bool isDurable = table.Durable || (item.Reduction.Kind == ReductionKind.Dot && map.Table(item.Reduction.Other) is { Durable: true });
        if (isCommitted && isDurable && segment.HasRestarted)
        {
            status = Status.Moving;
            return false;
        }

        read = isCommitted && isDurable && segment.FlushedHere < segment.LastDurable.Number ? new UnflushedAnswers.Read(segment, segment.LastDurable.Number) : null;
        return true;
    }
}
