using Weir.Keys;

namespace Weir.Wire;

/// <summary>What a record of a node's journal says (design R23).</summary>
internal enum JournalRecordKind : byte
{
    /// <summary>An entry of a segment's log that changes durable tables: its kind and its bytes, as they pass down the chain.</summary>
    Entry = 1,

    /// <summary>What came before of a segment counts for nothing: the node holds it no more, or copies it anew.</summary>
    Gone = 2,

    /// <summary>A snapshot of a segment begins; it replaces what came before once it is whole.</summary>
    Snapshot = 3,

    /// <summary>Records of a segment's snapshot, as in a CopySlice; the one that has an End makes it whole.</summary>
    Slice = 4,

    /// <summary>The map, by its generation and version beside, that is needed to understand what follows. What is of an older generation counts for nothing (design R24).</summary>
    Map = 5,
}

/// <summary>The head of a record in a journal: 32 bytes, then <paramref name="Bytes"/> bytes padded to 8.</summary>
/// <param name="Kind">What it says.</param>
/// <param name="Entry">For an entry: what it does.</param>
/// <param name="Segment">Of which segment.</param>
/// <param name="Position">For an entry: where it stands in the segment's log. For a map: its generation as the epoch, its version as the number.</param>
/// <param name="Bytes">The bytes that follow.</param>
internal readonly record struct JournalRecord(JournalRecordKind Kind, EntryKind Entry, uint Segment, LogPosition Position, int Bytes)
{
    public const int Size = 32;

    public int TotalBytes => Size + PartHeader.Pad8(Bytes);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt16((ushort)Kind);
        writer.UInt16((ushort)Entry);
        writer.UInt32(Segment);
        Position.Write(ref writer);
        writer.Int32(Bytes);
        writer.UInt32(0);
    }

    /// <summary>Reads one; makes the reader fail where it makes no sense.</summary>
    public static JournalRecord Read(ref ByteReader reader)
    {
        var record = new JournalRecord((JournalRecordKind)(byte)reader.UInt16(), (EntryKind)(byte)reader.UInt16(), reader.UInt32(), LogPosition.Read(ref reader), reader.Int32());
        reader.UInt32();
        bool sound = record.Kind is >= JournalRecordKind.Entry and <= JournalRecordKind.Map && record.Bytes >= 0
            && (record.Kind != JournalRecordKind.Entry || record.Entry is >= EntryKind.Part and <= EntryKind.Load);
        if (!sound)
        {
            reader.Fail();
        }

        return record;
    }
}
