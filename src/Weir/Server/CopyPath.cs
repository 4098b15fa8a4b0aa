using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// How a newcomer gets a segment (design R17, R18): it copies from the tail of the chain while that serves, follows its log, and waits for
/// the map to append it. Whose copy stalls, or whose source dies or is no longer the tail, begins a new attempt.
/// </summary>
internal sealed class CopyPath(NodeState node, ChainPath chain)
{
    private const long StalledMs = 2000;
    private const long UnwantedMs = 5000;

    // By segment and newcomer: an attempt is served once. Who comes in again after it was counted gone is another newcomer.
    private readonly Dictionary<(int Segment, ulong Incarnation), ulong> _served = [];
    private readonly List<Segment> _targets = [];
    private readonly List<Segment> _sources = [];
    private ulong _attempts;

    /// <summary>Copies that are being made here.</summary>
    public IReadOnlyList<Segment> Targets => _targets;

    /// <summary>The manager wants this node to copy a segment: a hint, that it repeats.</summary>
    public void Want(uint index)
    {
        if (node.Map is not { } map || index >= map.Segments)
        {
            return;
        }

        Segment? held = node.Find(index);
        if (held is { Place: >= 0 } || node.Self < 0)
        {
            return;
        }

        if (held?.Target is { } target)
        {
            target.WantedAt = node.Now;
            return;
        }

        Begin(index, node.Now);
    }

    public void Adopt()
    {
        ClusterMap map = node.Map!;
        foreach (Segment segment in _targets.ToArray())
        {
            if (segment.Target is not { } target)
            {
                // The map has appended it.
                _targets.Remove(segment);
            }
            else if (Tail(map, segment.Index) is not { } tail || (tail.Node, tail.Incarnation) != (target.Source, target.SourceIncarnation))
            {
                Begin((uint)segment.Index, target.WantedAt);
            }
        }

        _sources.RemoveAll(s => s.Copy is null);
        foreach ((int Segment, ulong Incarnation) gone in _served.Keys.Where(k => !Array.Exists(map.Members, m => m.Incarnation == k.Incarnation)).ToArray())
        {
            _served.Remove(gone);
        }
    }

    /// <summary>A generation is over, and with it all copies of what it held.</summary>
    public void EndGeneration()
    {
        _targets.Clear();
        _sources.Clear();
    }

    public void Tick()
    {
        foreach (Segment segment in _targets.ToArray())
        {
            CopyTarget target = segment.Target!;
            if (node.Now.MsSince(target.WantedAt) > UnwantedMs)
            {
                _targets.Remove(segment);
                node.Drop(segment);
            }
            else if (target.HasFailed || (!target.IsWhole && node.Now.MsSince(target.MovedAt) > StalledMs))
            {
                Begin((uint)segment.Index, target.WantedAt);
            }
            else if (!target.IsWhole && target.Position == 0 && target.AskAt <= node.Now)
            {
                Ask(segment, target);
            }
        }

        foreach (Segment segment in _sources.ToArray())
        {
            if (segment.Copy is { } copy && node.Now.MsSince(copy.HeardAt) > UnwantedMs)
            {
                End(segment);
                segment.Newcomer = segment.Newcomer?.Incarnation == copy.NewcomerIncarnation ? null : segment.Newcomer;
            }
        }
    }

    public void EndTurn()
    {
        foreach (Segment segment in _sources.ToArray())
        {
            if (segment.Copy is not { } copy)
            {
                _sources.Remove(segment);
                continue;
            }

            bool wasSent = copy.IsSent;
            copy.Advance();
            if (copy.IsSent && !wasSent)
            {
                // Of this moment on, it may need every entry.
                segment.Newcomer = new Follower(copy.Newcomer, copy.NewcomerIncarnation, copy.Link)
                {
                    SentThrough = segment.Log.Last.Number,
                    Received = segment.Log.Last.Number,
                    MovedAt = node.Now,
                };
            }
        }
    }

    /// <summary>Handles a frame of a copy whose map version this node has. False where it makes no sense.</summary>
    public bool Handle(in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (header.Kind == FrameKind.CopySlice)
        {
            var reader = new ByteReader(body);
            var head = CopySliceHead.Read(ref reader);
            if (reader.Failed)
            {
                return false;
            }

            Slice(head, ref reader);
            return true;
        }

        if (!CopyBody.TryRead(body, out CopyBody message))
        {
            return false;
        }

        if (header.Kind == FrameKind.CopyBegin)
        {
            Serve(message);
        }
        else
        {
            Heard(message);
        }

        return true;
    }

    public void Dispose()
    {
        foreach (Segment segment in _sources)
        {
            segment.Copy?.Dispose();
        }
    }

    private static MapMember? Tail(ClusterMap map, int segment)
    {
        MapChain chain = map.Chains[segment];
        return chain.Members.Length == 0 ? null : map.Members[chain.Members[^1].Member];
    }

    private void Begin(uint index, Instant wantedAt)
    {
        if (Tail(node.Map!, (int)index) is not { } tail)
        {
            return;
        }

        if (node.Find(index) is { } old)
        {
            _targets.Remove(old);
        }

        Segment segment = node.Begin(index);
        segment.Adopt(node.Map!.Chains[index], -1);
        segment.Target = new CopyTarget(tail.Node, tail.Incarnation, ++_attempts) { MovedAt = node.Now, WantedAt = wantedAt };
        _targets.Add(segment);
        Ask(segment, segment.Target);
    }

    private void Ask(Segment segment, CopyTarget target)
    {
        target.AskAt = node.Now.AfterMs(node.Limits.ResendMs);
        Send(FrameKind.CopyBegin, segment, target);
    }

    private void Send(FrameKind kind, Segment segment, CopyTarget target)
    {
        if (node.Map!.Member(target.Source) is { } source)
        {
            node.Outbox.Send(
                node.Outbox.Open(source.Address),
                node.Header(kind),
                new CopyBody(node.Options.Node, node.Incarnation, (uint)segment.Index, target.Attempt, target.SourceIncarnation, target.Position));
        }
    }

    /// <summary>A newcomer asks this node for a copy.</summary>
    private void Serve(in CopyBody ask)
    {
        // Only what is known to stand is copied on: the tail's, confirmed in this epoch and complete (R16, R17).
        if (node.Map!.Member(ask.Node) is not { } member || member.Incarnation != ask.Incarnation || ask.SourceIncarnation != node.Incarnation
            || node.Find(ask.Segment) is not { IsTail: true, IsConfirmed: true, IsDiverged: false } segment || !segment.IsComplete
            || segment.Chain.PlaceOf(node.Map.IndexOf(ask.Node)) >= 0)
        {
            return;
        }

        // One that was not served then, but could have been, is given up for a new one when nothing comes of it.
        (int, ulong) stream = (segment.Index, ask.Incarnation);
        if (_served.GetValueOrDefault(stream) >= ask.Attempt)
        {
            return;
        }

        if (segment.Copy is { } other && other.NewcomerIncarnation != ask.Incarnation)
        {
            // One at a time: the other asks again.
            return;
        }

        _served[stream] = ask.Attempt;
        End(segment);
        segment.Newcomer = null;
        segment.Copy = new CopySource(node, segment, ask.Node, ask.Incarnation, ask.Attempt, node.Outbox.Open(member.Address));
        _sources.Add(segment);
    }

    private void Heard(in CopyBody ack)
    {
        if (node.Find(ack.Segment) is not { Copy: { } copy } segment || copy.NewcomerIncarnation != ack.Incarnation || copy.Attempt != ack.Attempt)
        {
            return;
        }

        copy.Heard(ack.Position);
        if (copy.IsDone && segment.Newcomer is { } newcomer)
        {
            chain.Begin(segment, newcomer);
            End(segment);
        }
    }

    private void End(Segment segment)
    {
        segment.EndCopy();
        _sources.Remove(segment);
    }

    private void Slice(in CopySliceHead head, ref ByteReader reader)
    {
        if (node.Find(head.Segment) is not { Target: { } target } segment || head.NewcomerIncarnation != node.Incarnation
            || (head.Node, head.Incarnation, head.Attempt) != (target.Source, target.SourceIncarnation, target.Attempt))
        {
            return;
        }

        target.Slice(node, segment, head, ref reader);
        if (!target.HasFailed)
        {
            Send(FrameKind.CopyAck, segment, target);
        }

        if (target.IsWhole)
        {
            if (node.HasDurable)
            {
                node.Journal?.WriteBase(segment);
            }

            chain.Received(segment);
        }
    }
}
