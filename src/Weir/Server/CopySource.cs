using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// A copy of one segment that its tail makes for a newcomer (design R17): what a <see cref="SegmentWalk"/> writes, slice after slice on one stream,
/// while the segment serves; the log follows from there.
/// </summary>
internal sealed class CopySource(NodeState node, Segment segment, ulong newcomer, ulong newcomerIncarnation, ulong attempt, LinkId link)
    : SegmentWalk(segment, durableOnly: false), IDisposable
{
    /// <summary>Slices on their way.</summary>
    private const int Window = 4;

    private readonly Segment _segment = segment;
    private readonly Queue<(ulong Position, FrameBuffer Frame)> _sent = [];
    private FrameBuffer? _frame;
    private int _at;
    private ulong _position;
    private Instant _resendAt;

    public ulong Newcomer => newcomer;

    public ulong NewcomerIncarnation => newcomerIncarnation;

    public ulong Attempt => attempt;

    public LinkId Link => link;

    /// <summary>Everything was sent; the log's entries follow from here.</summary>
    public bool IsSent => IsOver;

    /// <summary>The newcomer has everything.</summary>
    public bool IsDone => IsSent && _sent.Count == 0;

    /// <summary>When the newcomer was last heard.</summary>
    public Instant HeardAt { get; private set; } = node.Now;

    protected override int Room => SliceBytes - (_frame is null ? 0 : _at);

    public void Heard(ulong position)
    {
        HeardAt = node.Now;
        while (_sent.TryPeek(out (ulong Position, FrameBuffer Frame) first) && first.Position < position)
        {
            _sent.Dequeue().Frame.Release();
            _resendAt = node.Now.AfterMs(node.Limits.ResendMs);
        }
    }

    /// <summary>Sends what the window and the link let go.</summary>
    public void Advance()
    {
        if (_sent.Count > 0 && _resendAt <= node.Now)
        {
            _resendAt = node.Now.AfterMs(node.Limits.ResendMs);
            foreach ((_, FrameBuffer frame) in _sent)
            {
                node.Outbox.SendBulk(link, frame.Retain());
            }
        }

        while (!IsSent && _sent.Count < Window && node.Outbox.HasRoom(link))
        {
            if (AreRowsDone)
            {
                WriteEnd(_segment.Log.Last);
                Send(isLast: true);
            }
            else
            {
                WriteSlice();
                Send(isLast: false);
            }
        }
    }

    public void Dispose()
    {
        foreach ((_, FrameBuffer frame) in _sent)
        {
            frame.Release();
        }

        _sent.Clear();
        _frame?.Release();
        _frame = null;
    }

    /// <summary>Room for a record, in a frame of its own where this one is full.</summary>
    protected override Span<byte> Record(in CopyRecord record)
    {
        int bytes = CopyRecord.Size + PartHeader.Pad8(record.Bytes);
        if (_frame is not null && _at + bytes > _frame.Capacity)
        {
            Send(isLast: false);
        }

        if (_frame is null)
        {
            _at = FrameHeader.Size + CopySliceHead.Size;
            _frame = node.Outbox.Pool.Rent(Math.Min(FramePool.MaxFrameBytes, Math.Max(_at + bytes, SliceBytes + 4096)));
        }

        Span<byte> span = _frame.Whole.Slice(_at, bytes);
        var writer = new ByteWriter(span);
        record.Write(ref writer);
        span[(CopyRecord.Size + record.Bytes)..].Clear();
        _at += bytes;
        return span.Slice(CopyRecord.Size, record.Bytes);
    }

    private void Send(bool isLast)
    {
        if (_frame is not { } frame)
        {
            return;
        }

        _frame = null;
        frame.Length = _at;
        var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
        new CopySliceHead(node.Options.Node, node.Incarnation, (uint)_segment.Index, isLast, attempt, newcomerIncarnation, _position).Write(ref writer);
        node.Header(FrameKind.CopySlice).Seal(frame.Span);
        _sent.Enqueue((_position++, frame));
        _resendAt = node.Now.AfterMs(node.Limits.ResendMs);
        node.Outbox.SendBulk(link, frame.Retain());
    }
}
