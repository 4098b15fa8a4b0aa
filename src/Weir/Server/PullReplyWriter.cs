using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Writes the answer to one pull into as many frames as it takes, each at most 1 MiB: rows go from the store straight into the frame.
/// </summary>
internal struct PullReplyWriter(NodeState node, LinkId link, FrameHeader request, UnflushedAnswers unflushed)
{
    private List<UnflushedAnswers.Read>? _reads;
    private FrameBuffer? _frame;
    private int _position;
    private int _items;

    /// <summary>
    /// Appends the rows of an item from <paramref name="first"/> on, cut over frames where they do not fit. False where the link has no room
    /// for another frame; first then says which row the rest begins with. The frame waits for the journal where <paramref name="read"/> names an
    /// entry that it has not flushed.
    /// </summary>
    public bool TryAdd(int index, in PullItem item, ReadOnlySpan<ulong> keys, TableSegment rows, UnflushedAnswers.Read? read, ref int first)
    {
        int width = rows.Table.Width;
        int rowBytes = width * sizeof(float);
        do
        {
            if (!HasRoom(read))
            {
                return false;
            }

            int left = keys.Length - first;
            bool isRounded = (Takes(item, rows) & ValueFilters.Lossy) != 0;
            int wanted = isRounded ? Math.Min(left, ValueEncodings.PieceRows(width)) : left;
            int fits = RowsThatFit(rowBytes, wanted);
            fits = isRounded && fits < wanted ? 0 : fits;
            if (fits == 0 && left > 0)
            {
                Finish();
                continue;
            }

            PullReplyItem piece = Piece(index, item, rows, first, fits);
            Write(ref piece, keys.Slice(first, fits), rows, width, item);
            Await(read);
            first += fits;
        }
        while (first < keys.Length);
        return true;
    }

    /// <summary>Whether anything may be appended now: into the frame begun, or a new one.</summary>
    public readonly bool HasRoom(UnflushedAnswers.Read? read) => _frame is not null || (node.Outbox.HasRoom(link) && (read is null || !unflushed.IsFull));

    /// <summary>Appends the number that an item's rows were reduced to: no row is found, and the number stands in place of values.</summary>
    public void Add(int index, in PullItem item, TableSegment rows, UnflushedAnswers.Read? read, double value)
    {
        PullReplyItem piece = Piece(index, item, rows, 0, item.Rows);
        piece.ValueBytes = sizeof(double);
        Reserve(piece.TotalBytes);
        Span<byte> at = _frame!.Whole[_position..];
        var writer = new ByteWriter(at);
        piece.WriteHead(ref writer);
        at.Slice(PullReplyItem.Size, piece.FoundBytes).Clear();
        BinaryPrimitives.WriteDoubleLittleEndian(at[(PullReplyItem.Size + piece.FoundBytes)..], value);
        _position += piece.TotalBytes;
        _items++;
        Await(read);
    }

    /// <summary>Appends an item's refusal.</summary>
    public void Refuse(PullReplyItem refusal)
    {
        Reserve(refusal.TotalBytes);
        var writer = new ByteWriter(_frame!.Whole[_position..]);
        refusal.WriteHead(ref writer);
        refusal.WriteText(ref writer);
        _position += writer.Position;
        _items++;
    }

    /// <summary>Sends the frame begun, if any.</summary>
    public void Finish()
    {
        if (_frame is null)
        {
            return;
        }

        FrameBuffer frame = _frame;
        frame.Length = _position;
        BinaryPrimitives.WriteInt32LittleEndian(frame.Whole[FrameHeader.Size..], _items);
        BinaryPrimitives.WriteInt32LittleEndian(frame.Whole[(FrameHeader.Size + 4)..], 0);
        FrameHeader header = node.Reply(FrameKind.PullReply, request);
        header.Seal(frame.Span);
        node.Counters.PullBytes += frame.Length;
        if (_reads is not null)
        {
            unflushed.Add(link, request.RequestId, frame, [.. _reads]);
            _reads = null;
        }
        else
        {
            node.Outbox.SendBulk(link, frame);
        }

        _frame = null;
        _items = 0;
    }

    private void Write(ref PullReplyItem piece, ReadOnlySpan<ulong> keys, TableSegment rows, int width, in PullItem item)
    {
        Reserve(Bytes(keys.Length, width * sizeof(float)));
        Span<byte> at = _frame!.Whole[_position..];
        Span<byte> bits = at.Slice(PullReplyItem.Size, piece.FoundBytes);
        bits.Clear();
        Span<float> values = MemoryMarshal.Cast<byte, float>(at.Slice(PullReplyItem.Size + piece.FoundBytes, keys.Length * width * sizeof(float)));
        piece.Found = rows.Rows.ReadFound(keys, values, bits);
        int floats = piece.Found * width;
        ulong moment = item.Iteration > 0 ? (ulong)item.Iteration : piece.Stamp.Number;
        ulong seed = keys.IsEmpty ? 0 : RoundingBits.OfPull(item.Table, item.Segment, moment, keys[0]);
        piece.ValueBytes = ValueEncodings.Shrink(values[..floats], Takes(item, rows), seed, out piece.ValueEncoding);
        at.Slice(PullReplyItem.Size + piece.FoundBytes + piece.ValueBytes, PartHeader.Pad8(piece.ValueBytes) - piece.ValueBytes).Clear();
        var writer = new ByteWriter(at);
        piece.WriteHead(ref writer);
        node.Counters.ValuesPulled += floats;
        _position += piece.TotalBytes;
        _items++;
    }

    /// <summary>Bits are not rounded, whatever whoever asks would take.</summary>
    private static ValueFilters Takes(in PullItem item, TableSegment rows) => rows.Table.Rule.HoldsBits ? item.Takes & ~ValueFilters.Lossy : item.Takes;

    private readonly PullReplyItem Piece(int index, in PullItem item, TableSegment rows, int first, int count) => new()
    {
        Item = index,
        FirstRow = first,
        Rows = count,
        Stamp = new Stamp(node.Map!.Generation, node.Map.Chains[item.Segment].Epoch, node.Find(item.Segment)?.Acknowledged ?? 0),
        ClosedIteration = rows.Aggregation?.Closed ?? -1,
        MinimumClock = item.Group == 0 ? -1 : node.Clocks.Minimum(item.Group),
        Text = "",
    };

    private void Await(UnflushedAnswers.Read? read)
    {
        if (read is { } unflushedRead)
        {
            (_reads ??= []).Add(unflushedRead);
        }
    }

    private readonly int RowsThatFit(int rowBytes, int rows)
    {
        int room = FramePool.MaxFrameBytes - (_frame is null ? FrameHeader.Size + PullReplyItem.CountSize : _position) - PullReplyItem.Size - 16;
        if (room < rowBytes)
        {
            return 0;
        }

        // One found bit a row beside its values.
        return (int)Math.Min(rows, room * 8L / ((rowBytes * 8L) + 1));
    }

    private static int Bytes(int rows, int rowBytes) =>
        PullReplyItem.Size + PartHeader.Pad8((rows + 7) / 8) + PartHeader.Pad8(rows * rowBytes);

    private void Reserve(int bytes)
    {
        if (_frame is not null && _position + bytes > _frame.Capacity)
        {
            if (_position + bytes <= FramePool.MaxFrameBytes)
            {
                FrameBuffer larger = node.Outbox.Pool.Rent(FramePool.MaxFrameBytes);
                _frame.Whole[.._position].CopyTo(larger.Whole);
                _frame.Release();
                _frame = larger;
            }
            else
            {
                Finish();
            }
        }

        if (_frame is null)
        {
            _frame = node.Outbox.Pool.Rent(Math.Min(FramePool.MaxFrameBytes, FrameHeader.Size + PullReplyItem.CountSize + bytes));
            _position = FrameHeader.Size + PullReplyItem.CountSize;
        }
    }
}
