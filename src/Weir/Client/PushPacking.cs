using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Cuts calls into pieces and parts and packs these into frames, node by node. A call's parts get their numbers at once, so that their order is
/// fixed; a frame's bytes are written only when the window lets it go, so that a large call needs no more memory than the window and its rows
/// are still in the caches when the socket takes them. Guarded by the client's gate.
/// </summary>
internal sealed class PushPacking(ClientState state)
{
    /// <summary>What frames are filled to: the largest there are. Smaller ones stay in a core's own cache, but each costs a wake-up at either end, which is more.</summary>
    public const int TargetBytes = FramePool.MaxFrameBytes;

    private const int Fixed = FrameHeader.Size + DataRequestReader.CountsSize;

    private readonly KeyWriter _keys = new(state);
    private readonly Stack<PushPart> _freeParts = new();
    private readonly Stack<PushFrame> _freeFrames = new();
    private readonly List<NodeLink> _packing = [];

    /// <summary>Rows of a piece: as many as fit a frame if they all fall into one segment (design R25).</summary>
    /// <param name="rowBytes">Bytes of a row's values.</param>
    /// <param name="headBytes">Bytes before the values; a redo has as many.</param>
    public static int PieceRows(int rowBytes, int headBytes = 0) =>
        (FrameHeader.MaxBodyBytes - DataRequestReader.CountsSize - PartHeader.Size - PullItem.Size - 16 - headBytes) / (sizeof(ulong) + rowBytes);

    /// <summary>
    /// Cuts a call: pieces by row count and width alone, parts by segment, frames by node.
    /// </summary>
    /// <returns>Bytes of the parts, or the segment that nobody holds: the parts before it are pending then, and no frame carries them.</returns>
    public (long Bytes, int? LostSegment) Cut(PushCall call)
    {
        ClusterMap map = state.Map!;
        KeySlices slices = call.Slices;
        int rowBytes = call.RowBytes;
        int pieceRows = PieceRows(rowBytes, call.HasValues ? call.Head.Length : 0);
        int itemBytes = call.Pull is { IsOver: false } ? PullItem.Size : 0;
        bool deletes = call.Operation == PartOperation.Delete;
        long bytes = 0;
        call.IsCut = true;
        for (int from = 0; from < slices.Rows;)
        {
            int piece = from / pieceRows;
            int to = Math.Min(slices.EndOfSegment(from, map.SegmentBits), (piece + 1) * pieceRows);
            int segment = Mix.Segment(slices.Keys[from], map.SegmentBits);
            if (state.Head(segment) is not { } head)
            {
                DropPacking();
                return (bytes, segment);
            }

            PushStream stream = call.Session.Stream(call.Table.Id, (uint)segment, deletes, call.Table.Aggregate);
            PushPart part = _freeParts.TryPop(out PushPart? free) ? free : new PushPart();
            part.Begin(stream, call, call.Seq with { Piece = (uint)piece }, from, to, PartBytes(to - from, Math.Max((to - from) * rowBytes, call.ValueBytes(to - from))));
            stream.Pending.Add(part);
            Pack(head, part, itemBytes, call);
            call.PartsLeft++;
            bytes += part.Bytes;
            from = to;
        }

        FinishPacking();
        return (bytes, null);
    }

    /// <summary>Packs parts that were written before into new frames for a node.</summary>
    public void Repeat(NodeLink node, List<PushPart> parts)
    {
        foreach (PushPart part in parts)
        {
            part.State = PartState.Queued;
            Pack(node, part, 0, null);
        }

        FinishPacking();
    }

    /// <summary>Parts that wait in a node's queue and whose segments have moved go into frames for their new heads.</summary>
    public void Move(Func<PushPart, bool> hasMoved)
    {
        foreach (NodeLink node in state.Links.ToArray())
        {
            for (int left = node.Waiting.Count; left > 0; left--)
            {
                PushFrame frame = node.Waiting.Dequeue();
                foreach (PushPart part in frame.Parts.ToArray())
                {
                    if (part.State == PartState.Queued && hasMoved(part) && state.Head((int)part.Stream.Segment) is { } head && head != node)
                    {
                        frame.Parts.Remove(part);
                        part.Listed--;
                        Pack(head, part, frame.Call?.Pull is null ? 0 : PullItem.Size, frame.Call);
                    }
                }

                // Frames of one call each; and the call still waits for its rows to be written.
                FinishPacking();
                if (frame.Parts.Count > 0)
                {
                    node.Waiting.Enqueue(frame);
                }
                else
                {
                    Free(frame);
                }
            }
        }
    }

    /// <summary>
    /// Writes a frame: parts that were written before as they are, but for keys that a node asked for, the others from the caller's values; behind them the items of a PushPull.
    /// The parts hold the frame from now on.
    /// </summary>
    public (FrameBuffer Buffer, PullRequest? Request) Write(PushFrame frame)
    {
        PullCall? pull = frame.Call?.Pull is { IsOver: false } half ? half : null;
        int bytes = Fixed;
        foreach (PushPart part in frame.Parts)
        {
            bytes += part.Bytes + (pull is null ? 0 : PullItem.Size);
        }

        FrameBuffer buffer = state.Pool.Rent(bytes);
        int at = Fixed;
        foreach (PushPart part in frame.Parts)
        {
            int written = Write(frame.Node, part, buffer.Span.Slice(at, part.Bytes));
            part.WrittenTo(buffer, at, written);
            at += written;
        }

        var counts = new ByteWriter(buffer.Span[FrameHeader.Size..]);
        counts.Int32(frame.Parts.Count);
        counts.Int32(pull is null ? 0 : frame.Parts.Count);
        var items = new ByteWriter(buffer.Span[at..]);
        PullRequest? request = pull?.ItemsOfParts(ref items, frame.Parts, frame.Node);
        buffer.Length = at + items.Position;
        frame.Call?.FrameWritten();
        frame.Call = null;
        return (buffer, request);
    }

    /// <summary>Takes the parts out of a frame that are done.</summary>
    public void DropDone(PushFrame frame)
    {
        int kept = 0;
        for (int i = 0; i < frame.Parts.Count; i++)
        {
            PushPart part = frame.Parts[i];
            if (part.State == PartState.Done)
            {
                Unlist(part);
            }
            else
            {
                frame.Parts[kept++] = part;
            }
        }

        frame.Parts.RemoveRange(kept, frame.Parts.Count - kept);
    }

    /// <summary>A frame that was answered or given up.</summary>
    public void Free(PushFrame frame)
    {
        frame.Call?.FrameWritten();
        frame.Call = null;
        foreach (PushPart part in frame.Parts)
        {
            Unlist(part);
        }

        frame.Parts.Clear();
        _freeFrames.Push(frame);
    }

    /// <summary>A part that is done.</summary>
    public void Free(PushPart part)
    {
        if (part.Listed == 0)
        {
            _freeParts.Push(part);
        }
    }

    private static int PartBytes(int rows, int valueBytes) => PartHeader.Size + (rows * sizeof(ulong)) + PartHeader.Pad8(valueBytes);

    /// <summary>Writes a part into room for all of its bytes; gives how many it took.</summary>
    private int Write(NodeLink node, PushPart part, Span<byte> into)
    {
        if (part.Frame is { } before)
        {
            ReadOnlySpan<byte> written = before.Span.Slice(part.Offset, part.WrittenBytes);
            if (part.SendsKeys && part.Keys is { Encoding: KeyEncoding.Cached, List: { } list })
            {
                return WriteWithKeys(node, part, list.Keys, written, into);
            }

            written.CopyTo(into);
            return written.Length;
        }

        PushCall call = part.Call;
        int rows = part.To - part.From;
        part.Keys = _keys.Write(
            node, part.Stream.Table, state.FiltersOf(call.Table), part.Stream.Segment, call.Slices.Keys.AsSpan(part.From, rows), part.SendsKeys, into[PartHeader.Size..]);
        Span<byte> values = into.Slice(PartHeader.Size + PadKeys(part, into), call.ValueBytes(rows));
        var head = new PartHeader
        {
            Table = part.Stream.Table,
            Segment = part.Stream.Segment,
            N = part.N,
            Seq = part.Seq,
            Rows = rows,
            Operation = call.Operation,
            ValueBytes = values.Length,
        };
        call.Head.Span.CopyTo(values);
        Span<float> floats = MemoryMarshal.Cast<byte, float>(values[call.Head.Length..]);
        if (call.HasValues)
        {
            call.Slices.GatherRows(call.Values.Span, call.Table.Width, call.Table.Rule, part.From, part.To, floats);
        }

        if (call.HasValues && call.Head.IsEmpty)
        {
            // What is set is meant to the bit; an update is one of many, whose errors cancel out.
            ValueFilters filters = state.ValuesOf(call.Table) & (call.Operation == PartOperation.Update ? ValueFilters.All : ~ValueFilters.Lossy);
            PushSession session = call.Session;
            ulong seed = RoundingBits.OfPush(session.Group, session.Group == 0 ? session.Id : session.Worker, head.Table, head.Segment, part.Seq);
            head.ValueBytes = ValueEncodings.Shrink(floats, filters, seed, out head.ValueEncoding);
            state.Tally.CountValues(head.ValueEncoding, floats.Length, values[..head.ValueBytes]);
        }

        return WriteHead(part, head, into);
    }

    /// <summary>A part that named its keys, once more with the keys. The values are those that were written.</summary>
    private int WriteWithKeys(NodeLink node, PushPart part, ReadOnlySpan<ulong> keys, ReadOnlySpan<byte> written, Span<byte> into)
    {
        var reader = new ByteReader(written);
        var head = PartHeader.Read(ref reader);
        part.Keys = _keys.Write(node, head.Table, state.FiltersOf(part.Call.Table), head.Segment, keys, sendsKeys: true, into[PartHeader.Size..]);
        written.Slice(written.Length - PartHeader.Pad8(head.ValueBytes), head.ValueBytes).CopyTo(into[(PartHeader.Size + PadKeys(part, into))..]);
        return WriteHead(part, head, into);
    }

    /// <summary>Clears what pads the keys; gives their bytes with it.</summary>
    private static int PadKeys(PushPart part, Span<byte> into)
    {
        int padded = PartHeader.Pad8(part.Keys.Bytes);
        into[(PartHeader.Size + part.Keys.Bytes)..(PartHeader.Size + padded)].Clear();
        return padded;
    }

    private static int WriteHead(PushPart part, PartHeader head, Span<byte> into)
    {
        (head.KeyEncoding, head.KeyBytes, head.KeepKeys) = (part.Keys.Encoding, part.Keys.Bytes, part.Keys.Keep);
        var writer = new ByteWriter(into);
        head.Write(ref writer);
        int valuesEnd = PartHeader.Size + PartHeader.Pad8(head.KeyBytes) + head.ValueBytes;
        into[valuesEnd..head.TotalBytes].Clear();
        return head.TotalBytes;
    }

    private void Pack(NodeLink node, PushPart part, int itemBytes, PushCall? call)
    {
        if (node.Packing is { } full && full.Bytes + part.Bytes + itemBytes > TargetBytes)
        {
            Enqueue(node, full);
        }

        if (node.Packing is not { } frame)
        {
            frame = _freeFrames.TryPop(out PushFrame? free) ? free : new PushFrame();
            (frame.Node, frame.Call, frame.Bytes) = (node, call, Fixed);
            node.Packing = frame;
            _packing.Add(node);
        }

        frame.Parts.Add(part);
        frame.Bytes += part.Bytes + itemBytes;
        part.Listed++;
    }

    private void FinishPacking()
    {
        foreach (NodeLink node in _packing)
        {
            if (node.Packing is { } last)
            {
                Enqueue(node, last);
            }
        }

        _packing.Clear();
    }

    /// <summary>The frames begun are not to be sent: their call counts them only once they are queued.</summary>
    private void DropPacking()
    {
        foreach (NodeLink node in _packing)
        {
            if (node.Packing is { } begun)
            {
                (node.Packing, begun.Call) = (null, null);
                Free(begun);
            }
        }

        _packing.Clear();
    }

    private static void Enqueue(NodeLink node, PushFrame frame)
    {
        node.Packing = null;
        node.Waiting.Enqueue(frame);
        if (frame.Call is { } call)
        {
            call.Unwritten++;
        }
    }

    private void Unlist(PushPart part)
    {
        part.Listed--;
        if (part.State == PartState.Done)
        {
            Free(part);
        }
    }
}
