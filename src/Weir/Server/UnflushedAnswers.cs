using System.Runtime.InteropServices;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Answers that read of a committed and durable table what this node's journal has not flushed yet (design R22): each goes out once it is, so that a stop of all servers takes nothing back
/// that somebody has read. Rows were read before: to read them after the flush would show what came meanwhile. Not thread-safe: it lives in its node's loop.
/// </summary>
internal sealed class UnflushedAnswers(NodeState node)
{
    // By arrival.
    private readonly List<Held> _held = [];
    private long _bytes;

    /// <summary>A frame, and the last entry of each segment that it read of.</summary>
    private sealed record Held(LinkId Link, ulong RequestId, FrameBuffer Frame, Read[] Reads);

    /// <summary>What was read of a segment: all up to an entry.</summary>
    public readonly record struct Read(Segment Segment, ulong Number);

    public int Count => _held.Count;

    /// <summary>As much is held as may be: who would add to it waits.</summary>
    public bool IsFull => _bytes > node.Limits.WaitingBytes || _held.Count >= node.Limits.WaitingPulls;

    /// <summary>Whether something of the answer to a request is held.</summary>
    public bool Has(LinkId link, ulong requestId)
    {
        foreach (Held held in _held)
        {
            if (held.Link == link && held.RequestId == requestId)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Takes over a sealed frame, which goes out later.</summary>
    public void Add(LinkId link, ulong requestId, FrameBuffer frame, Read[] reads)
    {
        _held.Add(new Held(link, requestId, frame, reads));
        _bytes += frame.Capacity;
    }

    /// <summary>
    /// Sends what is flushed by now. What was read of a segment whose tail this node is no longer is dropped: the asker asks the one that is. True where some were held and now are not.
    /// </summary>
    public bool Send()
    {
        int before = _held.Count;
        if (before == 0)
        {
            return false;
        }

        Take(held =>
        {
            if (!Array.TrueForAll(held.Reads, read => read.Segment.IsTail && node.Find((uint)read.Segment.Index) == read.Segment))
            {
                held.Frame.Release();
                return true;
            }

            if (!Array.TrueForAll(held.Reads, read => read.Segment.FlushedHere >= read.Number))
            {
                return false;
            }

            node.Outbox.SendBulk(held.Link, held.Frame);
            return true;
        });
        return _held.Count < before;
    }

    /// <summary>A link is gone: nobody reads what was to go over it.</summary>
    public void LinkDown(LinkId link) => Take(held =>
    {
        if (held.Link == link)
        {
            held.Frame.Release();
        }

        return held.Link == link;
    });

    public void Dispose() => Take(held =>
    {
        held.Frame.Release();
        return true;
    });

    // Takes out what is done with, in order.
    private void Take(Func<Held, bool> isDone)
    {
        int kept = 0;
        foreach (Held held in CollectionsMarshal.AsSpan(_held))
        {
            if (isDone(held))
            {
                _bytes -= held.Frame.Capacity;
            }
            else
            {
                _held[kept++] = held;
            }
        }

        _held.RemoveRange(kept, _held.Count - kept);
    }
}
