using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// What happens to a pull (design R22, R27): it waits until the clocks meet its bound, in a window of its own that no push, Sent or Clock
/// queues behind, then reads the head's applied state.
/// </summary>
internal sealed class PullPath(NodeState node)
{
    // Ordered by arrival, so that a replay serves them in the same order.
    private readonly List<Waiting> _waiting = [];
    private readonly KeyReader _keys = new(node);
    private long _waitingBytes;
    private bool _clocksRose;

    private sealed record Waiting(LinkId Link, ulong RequestId, FrameBuffer Frame, int BodyOffset, Instant Deadline, Instant Since, uint Group, long Required);

    public int WaitingCount => _waiting.Count;

    /// <summary>A clock rose, an iteration closed or the map changed: waiting pulls are looked at again at the end of the turn.</summary>
    public void ClocksRose() => _clocksRose = true;

    /// <summary>Handles the items of a whole frame whose parts, if any, were handled before.</summary>
    public void Handle(LinkId link, in FrameHeader header, FrameBuffer frame, ref DataRequestReader reader, List<PushPath.Outcome> parts, Instant now)
    {
        node.Counters.PullRequests++;
        if (reader.Parts == 0)
        {
            node.Counters.PullBytes += frame.Length;
        }

        DataRequestReader ahead = reader;
        while (ahead.NextItem(out PullItem item, out _))
        {
            node.Counters.KeysPulled += item.Rows;
        }

        bool pushStands = parts.TrueForAll(p => p.Status <= Status.Failed);
        if (pushStands && Unmet(reader) is { } unmet)
        {
            Wait(link, header, frame, reader, unmet.Group, unmet.Required, now);
            return;
        }

        Answer(link, header, frame.Span[FrameHeader.Size..], ref reader, parts);
    }

    /// <summary>At the end of a turn: answers what no longer has to wait, and what has waited too long.</summary>
    public void Serve(Instant now)
    {
        bool expired = _waiting.Exists(w => w.Deadline <= now);
        if (!_clocksRose && !expired)
        {
            return;
        }

        _clocksRose = false;
        for (int i = 0; i < _waiting.Count;)
        {
            Waiting waiting = _waiting[i];
            bool waits = Waits(waiting.Group, waiting.Required);
            if (waits && waiting.Deadline > now)
            {
                i++;
                continue;
            }

            FrameHeader.TryRead(waiting.Frame.Span, out FrameHeader header);
            var reader = new DataRequestReader(waiting.Frame.Span[FrameHeader.Size..]);
            if (waits)
            {
                RemoveAt(i);
                Refuse(waiting.Link, header, ref reader, Status.DeadlineExceeded, node.Clocks.Waiting(waiting.Group, waiting.Required));
            }
            else
            {
                List<PushPath.Outcome> parts = SkipParts(ref reader);
                if (Unmet(reader) is { } unmet)
                {
                    // Another item of the frame has a stricter bound, or one of another group.
                    _waiting[i] = waiting with { Group = unmet.Group, Required = unmet.Required };
                    continue;
                }

                RemoveAt(i);
                Answer(waiting.Link, header, waiting.Frame.Span[FrameHeader.Size..], ref reader, parts);
            }

            waiting.Frame.Release();
        }

        node.Counters.PullsWaiting = _waiting.Count;
    }

    /// <summary>The first of the items whose bound the clocks do not meet. Moves no reader but its own.</summary>
    private (uint Group, long Required)? Unmet(DataRequestReader reader)
    {
        while (reader.NextItem(out PullItem item, out _))
        {
            // OSDI rule: start(t) needs every s < t - tau finished (PS-15).
            long required = item.Iteration - item.DelayBound - 1;
            if (item.Group != 0 && item.DelayBound != PullItem.NoBound && Waits(item.Group, required))
            {
                return (item.Group, required);
            }
        }

        return null;
    }

    // A group that has ended keeps nobody waiting: the answer says that it has.
    private bool Waits(uint group, long required) => node.Clocks.Minimum(group) is var minimum && minimum >= 0 && minimum < required;

    /// <summary>Answers every item with one status.</summary>
    public void Refuse(LinkId link, in FrameHeader header, ref DataRequestReader reader, Status status, string text)
    {
        SkipParts(ref reader);
        List<PullReplyItem> items = [];
        for (int index = 0; reader.NextItem(out PullItem item, out _); index++)
        {
            items.Add(Refusal(index, item, status, text));
        }

        SendRefusals(link, header, items);
    }

    public void Dispose()
    {
        foreach (Waiting waiting in _waiting)
        {
            waiting.Frame.Release();
        }

        _waiting.Clear();
    }

    private void Wait(LinkId link, in FrameHeader header, FrameBuffer frame, DataRequestReader reader, uint group, long required, Instant now)
    {
        ulong requestId = header.RequestId;
        int same = _waiting.FindIndex(w => w.Link == link && w.RequestId == requestId);
        Instant since = now;
        if (same >= 0)
        {
            // A retry takes the place of what it repeats: asking again does not grow the queue.
            since = _waiting[same].Since;
            _waiting[same].Frame.Release();
            RemoveAt(same);
        }

        if (_waiting.Count >= node.Limits.WaitingPulls || _waitingBytes + frame.Capacity > node.Limits.WaitingBytes)
        {
            Refuse(link, header, ref reader, Status.Busy, "");
            return;
        }

        Instant deadline = header.DeadlineUs == 0 ? now.AfterMs(node.Limits.PullWaitMs) : now.AfterUs(header.DeadlineUs);
        _waiting.Add(new Waiting(link, requestId, frame.Retain(), reader.Position, deadline, since, group, required));
        _waitingBytes += frame.Capacity;
        node.Counters.PullsWaiting = _waiting.Count;
        node.Counters.PullsWaited++;
    }

    private void RemoveAt(int index)
    {
        _waitingBytes -= _waiting[index].Frame.Capacity;
        _waiting.RemoveAt(index);
    }

    private static List<PushPath.Outcome> SkipParts(ref DataRequestReader reader)
    {
        List<PushPath.Outcome> parts = [];
        while (true)
        {
            int position = reader.Position;
            if (!reader.NextPart(out _, out _, out _))
            {
                return parts;
            }

            parts.Add(new PushPath.Outcome(Status.Acked, position, ""));
        }
    }

    private void Answer(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body, ref DataRequestReader reader, List<PushPath.Outcome> parts)
    {
        var reply = new PullReplyWriter(node, link, header);
        for (int index = 0; reader.NextItem(out PullItem item, out ReadOnlySpan<byte> keyBytes); index++)
        {
            KeyListHead list = KeyListHead.Of(item);
            if (item.KeyEncoding == KeyEncoding.OfPart)
            {
                PushPath.Outcome part = parts[item.KeyBytes];
                if (part.Status > Status.Failed)
                {
                    // The push half has yet to be accepted: the asker pulls again after it was.
                    reply.Refuse(Refusal(index, item, part.Status, part.Text));
                    continue;
                }

                var at = new ByteReader(body[part.Position..]);
                var named = PartHeader.Read(ref at);
                list = KeyListHead.Of(named);
                keyBytes = at.Take(named.KeyBytes);
            }

            if (Find(item, list, keyBytes, out ReadOnlySpan<ulong> keys, out TableSegment? rows, out Status status, out string text))
            {
                reply.Add(index, item, keys, rows);
            }
            else
            {
                reply.Refuse(Refusal(index, item, status, text));
            }
        }

        reply.Finish();
    }

    private bool Find(
        in PullItem item, in KeyListHead list, ReadOnlySpan<byte> keyBytes, out ReadOnlySpan<ulong> keys, out TableSegment rows, out Status status, out string text)
    {
        keys = default;
        rows = null!;
        text = "";
        ClusterMap map = node.Map!;
        if (node.Segment(item.Segment) is not { } segment)
        {
            status = Status.NotOwner;
            return false;
        }

        if (map.Table(item.Table) is not { } table)
        {
            (status, text) = (Status.UnknownTable, $"there is no table {item.Table}");
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
        return true;
    }

    private static PullReplyItem Refusal(int index, in PullItem item, Status status, string text) =>
        new() { Item = index, Status = status, Text = text };

    private void SendRefusals(LinkId link, in FrameHeader header, List<PullReplyItem> items)
    {
        var reply = new PullReplyWriter(node, link, header);
        foreach (PullReplyItem item in items)
        {
            reply.Refuse(item);
        }

        reply.Finish();
    }
}
