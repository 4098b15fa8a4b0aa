using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The frame in which entries are written one behind another: for one neighbour, to whom it goes at the end of the turn, or for nobody
/// yet, where entries are only kept. Logs hold references to its frames, whose bytes never change once they are written.
/// </summary>
internal sealed class EntryLane(NodeState node, LinkId link)
{
    private const int FirstBytes = 4096;

    /// <summary>The most bytes of an entry, head included, that fit one frame.</summary>
    public const int MaxBytes = (FramePool.MaxFrameBytes - FrameHeader.Size - ChainSender.Size) & ~7;

    private FrameBuffer? _frame;
    private int _at;
    private int _count;
    private int _likelyBytes = FirstBytes;
    private int _turnBytes;

    /// <summary>Room for bytes, a multiple of 8; a frame that is full goes out.</summary>
    public LogFragment Reserve(int bytes)
    {
        if (_frame is not null && _at + bytes > _frame.Capacity)
        {
            Send();
        }

        if (_frame is null)
        {
            int whole = FrameHeader.Size + ChainSender.Size + bytes;
            _frame = node.Outbox.Pool.Rent(Math.Min(FramePool.MaxFrameBytes, Math.Max(whole, _likelyBytes)));
            _at = FrameHeader.Size + ChainSender.Size;
        }

        var fragment = new LogFragment(_frame, _at, bytes);
        _at += bytes;
        _turnBytes += bytes;
        _count++;
        return fragment;
    }

    /// <summary>At the end of a turn: what was written goes out. Frames grow to what a turn writes.</summary>
    public void EndTurn()
    {
        if (link == LinkId.None)
        {
            // Kept for later, and written on in later turns: small entries do not hold a large frame each.
            _likelyBytes = FramePool.MaxFrameBytes / 4;
            return;
        }

        Send();
        _likelyBytes = Math.Clamp(_turnBytes + (_turnBytes / 4), FirstBytes, FramePool.MaxFrameBytes);
        _turnBytes = 0;
    }

    public void Dispose()
    {
        _frame?.Release();
        _frame = null;
    }

    private void Send()
    {
        if (_frame is not { } frame)
        {
            return;
        }

        _frame = null;
        if (link == LinkId.None)
        {
            frame.Release();
        }
        else
        {
            frame.Length = _at;
            var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
            new ChainSender(node.Options.Node, node.Incarnation, _count).Write(ref writer);
            node.Header(FrameKind.Entries).Seal(frame.Span);
            node.Counters.ReplicationBytes += frame.Length;
            node.Outbox.SendBulk(link, frame);
        }

        _count = 0;
    }
}
