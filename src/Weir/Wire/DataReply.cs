using System.Numerics;
using System.Runtime.InteropServices;
using Weir.Keys;

namespace Weir.Wire;

/// <summary>The outcome of one part: 32 bytes and a text padded to 8. It names the part by its stream and n, not by the request, because a
/// held part is answered a second time when its iteration closes.</summary>
internal struct PartReply
{
    public const int Size = 32;

    public uint Table;
    public uint Segment;
    public ulong N;

    /// <summary>The <see cref="Value"/> of a Failed that stands in no log: the server gives itself up, since a function of a user does not come back. The session is to be given up, and the part sent to nobody else.</summary>
    public const ulong GivenUp = ulong.MaxValue;

    /// <summary>Gap: the last n received. Failed: <see cref="GivenUp"/>, or nothing. Otherwise the iteration that the segment has closed.</summary>
    public ulong Value;
    public Status Status;

    /// <summary>The part's stream: deletes have one of their own.</summary>
    public bool DeleteStream;
    public string Text;

    public readonly int TotalBytes => Size + PartHeader.Pad8(TextLength);

    private readonly int TextLength => string.IsNullOrEmpty(Text) ? 0 : ByteWriter.TextBytes(Text);

    public readonly void Write(ref ByteWriter writer)
    {
        writer.UInt32(Table);
        writer.UInt32(Segment);
        writer.UInt64(N);
        writer.UInt64(Value);
        writer.Byte((byte)Status);
        writer.Byte(DeleteStream ? (byte)1 : (byte)0);
        writer.UInt16((ushort)Math.Min(TextLength, ushort.MaxValue));
        writer.UInt32(0);
        if (TextLength > 0)
        {
            writer.Text(Text);
            writer.PadTo8();
        }
    }

    public static PartReply Read(ref ByteReader reader)
    {
        PartReply reply = default;
        reply.Table = reader.UInt32();
        reply.Segment = reader.UInt32();
        reply.N = reader.UInt64();
        reply.Value = reader.UInt64();
        reply.Status = reader.Status8();
        reply.DeleteStream = reader.Byte() != 0;
        int textLength = reader.UInt16();
        reader.UInt32();
        reply.Text = "";
        if (textLength > 0)
        {
            reply.Text = reader.Text();
            reader.SkipPadTo8();
        }

        return reply;
    }
}

/// <summary>The body of PushReply: a count and the outcomes.</summary>
internal readonly struct PushReplyBody(IReadOnlyList<PartReply> parts) : IBody
{
    public const int CountSize = 8;

    public int Bytes
    {
        get
        {
            // By index: an enumerator of the interface would be an object, at every push.
            int bytes = CountSize;
            for (int i = 0; i < parts.Count; i++)
            {
                bytes += parts[i].TotalBytes;
            }

            return bytes;
        }
    }

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(parts.Count);
        writer.UInt32(0);
        for (int i = 0; i < parts.Count; i++)
        {
            parts[i].Write(ref writer);
        }
    }

    /// <summary>Reads foreign bytes into <paramref name="into"/>; false where they make no sense.</summary>
    public static bool TryRead(ReadOnlySpan<byte> body, List<PartReply> into)
    {
        into.Clear();
        var reader = new ByteReader(body);
        int count = reader.Count(PartReply.Size);
        reader.UInt32();
        for (int i = 0; i < count && !reader.Failed; i++)
        {
            into.Add(PartReply.Read(ref reader));
        }

        return reader.AtEnd;
    }
}

/// <summary>
/// The fixed head of one piece of a pull's answer: 64 bytes, then the found bits (one a row, padded to 8), the values of the found rows
/// (padded to 8) and a text (padded to 8). Absent rows carry no values: they read as the table's initial value.
/// </summary>
internal struct PullReplyItem
{
    public const int Size = 64;
    public const int CountSize = 8;

    /// <summary>The index of the item in its request.</summary>
    public int Item;

    /// <summary>The row of the item that this piece begins with; replies are cut to fit frames.</summary>
    public int FirstRow;
    public int Rows;
    public int Found;
    public int ValueBytes;
    public Status Status;
    public ValueEncoding ValueEncoding;
    public Stamp Stamp;

    /// <summary>The last iteration that the segment has closed, for aggregating tables; the asker counts a pull of it as mixed (R21).</summary>
    public long ClosedIteration;

    /// <summary>The group's smallest clock when the rows were read: how fresh they are.</summary>
    public long MinimumClock;
    public string Text;

    public readonly int FoundBytes => PartHeader.Pad8((Rows + 7) / 8);

    public readonly int TotalBytes => Size + FoundBytes + PartHeader.Pad8(ValueBytes) + PartHeader.Pad8(TextLength);

    private readonly int TextLength => string.IsNullOrEmpty(Text) ? 0 : ByteWriter.TextBytes(Text);

    /// <summary>Writes the head alone; found bits and values follow in place.</summary>
    public readonly void WriteHead(ref ByteWriter writer)
    {
        writer.Int32(Item);
        writer.Int32(FirstRow);
        writer.Int32(Rows);
        writer.Int32(Found);
        writer.Int32(ValueBytes);
        writer.Byte((byte)Status);
        writer.Byte((byte)ValueEncoding);
        writer.UInt16((ushort)Math.Min(TextLength, ushort.MaxValue));
        writer.UInt32(Stamp.Generation);
        writer.UInt32(0);
        writer.UInt64(Stamp.Epoch);
        writer.UInt64(Stamp.Number);
        writer.Int64(ClosedIteration);
        writer.Int64(MinimumClock);
    }

    public readonly void WriteText(ref ByteWriter writer)
    {
        if (TextLength > 0)
        {
            writer.Text(Text);
            writer.PadTo8();
        }
    }

    /// <summary>Whether as many bits are set as rows were found, and none behind the last row: whoever scatters the values goes by the bits.</summary>
    private readonly bool FoundAgrees(ReadOnlySpan<byte> bits)
    {
        int found = 0;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bits);
        foreach (ulong word in words)
        {
            found += BitOperations.PopCount(word);
        }

        int inLast = Rows % 64;
        return found == Found && (inLast == 0 || words[^1] >> inLast == 0);
    }

    public static bool TryRead(ref ByteReader reader, out PullReplyItem item, out ReadOnlySpan<byte> foundBits, out ReadOnlySpan<byte> values)
    {
        item = default;
        item.Item = reader.Int32();
        item.FirstRow = reader.Int32();
        item.Rows = reader.Int32();
        item.Found = reader.Int32();
        item.ValueBytes = reader.Int32();
        item.Status = reader.Status8();
        item.ValueEncoding = (ValueEncoding)reader.Byte();
        int textLength = reader.UInt16();
        uint generation = reader.UInt32();
        reader.UInt32();
        item.Stamp = new Stamp(generation, reader.UInt64(), reader.UInt64());
        item.ClosedIteration = reader.Int64();
        item.MinimumClock = reader.Int64();
        item.Text = "";
        foundBits = default;
        values = default;
        bool sound = item.Item >= 0 && item.FirstRow >= 0 && item.Rows >= 0 && item.Found >= 0 && item.Found <= item.Rows
            && item.Rows <= reader.Left * 8L && ValueEncodings.IsKnown(item.ValueEncoding);
        if (!sound)
        {
            reader.Fail();
            return false;
        }

        foundBits = reader.Take(item.FoundBytes);
        if (!reader.Failed && !item.FoundAgrees(foundBits))
        {
            reader.Fail();
            return false;
        }

        values = reader.Take(item.ValueBytes);
        reader.SkipPadTo8();
        if (textLength > 0)
        {
            item.Text = reader.Text();
            reader.SkipPadTo8();
        }

        return !reader.Failed;
    }
}
