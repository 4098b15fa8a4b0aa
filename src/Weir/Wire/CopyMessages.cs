using Weir.Keys;

namespace Weir.Wire;

/// <summary>
/// The body of CopyBegin, by which a newcomer asks the tail of a segment for a copy, and of CopyAck, by which it says what it has of one
/// (design R17): 48 bytes.
/// </summary>
/// <param name="Node">The newcomer.</param>
/// <param name="Incarnation">Its incarnation.</param>
/// <param name="Segment">The segment.</param>
/// <param name="Attempt">The newcomer's number of this copy, which it never uses again.</param>
/// <param name="SourceIncarnation">The incarnation that is to serve it.</param>
/// <param name="Position">The next slice that the newcomer waits for.</param>
internal readonly record struct CopyBody(ulong Node, ulong Incarnation, uint Segment, ulong Attempt, ulong SourceIncarnation, ulong Position) : IBody
{
    public const int Size = 48;

    public int Bytes => Size;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Node);
        writer.UInt64(Incarnation);
        writer.UInt64(Segment);
        writer.UInt64(Attempt);
        writer.UInt64(SourceIncarnation);
        writer.UInt64(Position);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out CopyBody message)
    {
        var reader = new ByteReader(body);
        message = new CopyBody(reader.UInt64(), reader.UInt64(), (uint)reader.UInt64(), reader.UInt64(), reader.UInt64(), reader.UInt64());
        return reader.AtEnd;
    }
}

/// <summary>The head of a CopySlice: who sends which slice of which copy; 48 bytes, then records.</summary>
internal readonly record struct CopySliceHead(ulong Node, ulong Incarnation, uint Segment, bool IsLast, ulong Attempt, ulong NewcomerIncarnation, ulong Position)
{
    public const int Size = 48;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Node);
        writer.UInt64(Incarnation);
        writer.UInt32(Segment);
        writer.UInt32(IsLast ? 1u : 0);
        writer.UInt64(Attempt);
        writer.UInt64(NewcomerIncarnation);
        writer.UInt64(Position);
    }

    public static CopySliceHead Read(ref ByteReader reader) =>
        new(reader.UInt64(), reader.UInt64(), reader.UInt32(), reader.UInt32() == 1, reader.UInt64(), reader.UInt64(), reader.UInt64());
}

/// <summary>What a record of a CopySlice holds.</summary>
internal enum CopyRecordKind : byte
{
    /// <summary>Keys, then the images of their rows.</summary>
    Rows = 1,

    /// <summary>Keys that have no row any more.</summary>
    Gone = 2,

    /// <summary>Entries of last[] of the updates of a table.</summary>
    Updates = 3,

    /// <summary>Entries of last[] of the deletes of a table.</summary>
    Deletes = 4,

    /// <summary>A piece of a table's admission state.</summary>
    Admission = 5,

    /// <summary>The last iteration that a table closed.</summary>
    Closed = 6,

    /// <summary>The last entry of the log that the copy holds.</summary>
    End = 7,
}

/// <summary>The head of a record: 16 bytes, then <paramref name="Bytes"/> bytes padded to 8.</summary>
internal readonly record struct CopyRecord(CopyRecordKind Kind, uint Table, int Count, int Bytes)
{
    public const int Size = 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint)Kind);
        writer.UInt32(Table);
        writer.Int32(Count);
        writer.Int32(Bytes);
    }

    public static CopyRecord Read(ref ByteReader reader) => new((CopyRecordKind)(byte)reader.UInt32(), reader.UInt32(), reader.Int32(), reader.Int32());
}

/// <summary>An entry of last[] in a record: what a (table, segment) remembers of a worker's stream (design R11).</summary>
internal readonly record struct LastPushRecord(WorkerId Worker, ulong Session, ulong N, Seq Seq, ulong Number)
{
    public const int Size = 56;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Worker.Value);
        writer.UInt64(Session);
        writer.UInt64(N);
        writer.Int64(Seq.Iteration);
        writer.UInt32(Seq.Push);
        writer.UInt32(Seq.Piece);
        writer.UInt64(Number);
        writer.UInt64(0);
    }

    public static LastPushRecord Read(ref ByteReader reader)
    {
        var push = new LastPushRecord(
            new WorkerId(reader.UInt64()), reader.UInt64(), reader.UInt64(), new Seq(reader.Int64(), reader.UInt32(), reader.UInt32()), reader.UInt64());
        reader.UInt64();
        return push;
    }
}
