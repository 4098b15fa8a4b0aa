using System.Runtime.InteropServices;
using Weir.Keys;
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
    private readonly PullAnswers _answers = new(node);
    private readonly List<PushPath.Outcome> _parts = [];
    private long _waitingBytes;
    private bool _clocksRose;

    private sealed record Waiting(LinkId Link, ulong RequestId, FrameBuffer Frame, int BodyOffset, Instant Deadline, Instant Since, uint Group, long Required, uint Generation);

    public int WaitingCount => _waiting.Count;

    /// <summary>Answers that have begun and whose links have no room for the rest.</summary>
    public int UnfinishedCount => _answers.UnfinishedCount;

    /// <summary>A clock rose, an iteration closed or the map changed: waiting pulls are looked at again at the end of the turn.</summary>
    public void ClocksRose() => _clocksRose = true;

    /// <summary>A link may have room again.</summary>
    public void RoomMade() => _answers.RoomMade();

    /// <summary>A link is gone: nobody reads the answers to what came over it. They would find nobody who says when to stop.</summary>
    public void LinkDown(LinkId link)
    {
        _answers.LinkDown(link);
        for (int i = _waiting.Count - 1; i >= 0; i--)
        {
            if (_waiting[i].Link == link)
            {
                _waiting[i].Frame.Release();
                RemoveAt(i);
            }
        }

        node.Counters.PullsWaiting = _waiting.Count;
    }

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

        if (_answers.IsUnderWay(link, header.RequestId))
        {
            return;
        }

        bool pushStands = parts.TrueForAll(p => p.Status <= Status.Failed);
        if (pushStands && Unmet(reader) is { } unmet)
        {
            Wait(link, header, frame, reader, unmet.Group, unmet.Required, now);
            return;
        }

        _answers.Begin(link, header, frame, reader, CollectionsMarshal.AsSpan(parts), now);
    }

    /// <summary>At the end of a turn: answers what no longer has to wait, and what has waited too long.</summary>
    public void Serve(Instant now)
    {
        _answers.Resume(now);
        if (!_clocksRose && !AnyExpired(now))
        {
            return;
        }

        _clocksRose = false;
        for (int i = 0; i < _waiting.Count;)
        {
            Waiting waiting = _waiting[i];
            bool waits = Waits(waiting.Group, waiting.Required);
            if (waits && waiting.Deadline > now && waiting.Generation == node.Map!.Generation)
            {
                i++;
                continue;
            }

            FrameHeader.TryRead(waiting.Frame.Span, out FrameHeader header);
            var reader = new DataRequestReader(waiting.Frame.Span[FrameHeader.Size..]);
            if (waiting.Generation != node.Map!.Generation)
            {
                RemoveAt(i);
                Refuse(waiting.Link, header, ref reader, Status.Restored, "");
            }
            else if (waits)
            {
                RemoveAt(i);
                Refuse(waiting.Link, header, ref reader, Status.DeadlineExceeded, node.Clocks.Waiting(waiting.Group, waiting.Required));
            }
            else
            {
                SkipParts(ref reader);
                if (Unmet(reader) is { } unmet)
                {
                    // Another item of the frame has a stricter bound, or one of another group.
                    _waiting[i] = waiting with { Group = unmet.Group, Required = unmet.Required };
                    continue;
                }

                RemoveAt(i);
                _answers.Begin(waiting.Link, header, waiting.Frame, reader, CollectionsMarshal.AsSpan(_parts), now);
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
        PullReplyWriter reply = _answers.NewReply(link, header);
        for (int index = 0; reader.NextItem(out _, out _); index++)
        {
            reply.Refuse(PullAnswers.Refusal(index, status, text));
        }

        reply.Finish();
    }

    public void Dispose()
    {
        _answers.Dispose();
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
        _waiting.Add(new Waiting(link, requestId, frame.Retain(), reader.Position, deadline, since, group, required, header.Generation));
        _waitingBytes += frame.Capacity;
        node.Counters.PullsWaiting = _waiting.Count;
        node.Counters.PullsWaited++;
    }

    private void RemoveAt(int index)
    {
        _waitingBytes -= _waiting[index].Frame.Capacity;
        _waiting.RemoveAt(index);
    }

    private bool AnyExpired(Instant now)
    {
        foreach (Waiting waiting in _waiting)
        {
            if (waiting.Deadline <= now)
            {
                return true;
            }
        }

        return false;
    }

    // Leaves what became of the parts in _parts: a pull waits only behind a push that stands.
    private void SkipParts(ref DataRequestReader reader)
    {
        _parts.Clear();
        while (true)
        {
            int position = reader.Position;
            if (!reader.NextPart(out _, out _, out _))
            {
                return;
            }

            _parts.Add(new PushPath.Outcome(Status.Acked, position, ""));
        }
    }
}
