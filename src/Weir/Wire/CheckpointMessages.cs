using Weir.Keys;

namespace Weir.Wire;

/// <summary>OpenCheckpoint: a process asks to coordinate a checkpoint under a number of its own (design R24); the same number again is the same one.</summary>
internal readonly record struct OpenCheckpointBody(ulong Id, ulong Process, ulong Incarnation) : IBody
{
    public int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Id);
        writer.UInt64(Process);
        writer.UInt64(Incarnation);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out OpenCheckpointBody message)
    {
        var reader = new ByteReader(body);
        message = new OpenCheckpointBody(reader.UInt64(), reader.UInt64(), reader.UInt64());
        return reader.AtEnd && message is { Id: not 0, Process: not 0 };
    }
}

/// <summary>EndCheckpoint: the one that is being written ends, or everything of the one that is being loaded has been.</summary>
internal readonly record struct EndCheckpointBody(ulong Id, bool IsRestore) : IBody
{
    public int Bytes => 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Id);
        writer.UInt64(IsRestore ? 1u : 0);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out EndCheckpointBody message)
    {
        var reader = new ByteReader(body);
        ulong id = reader.UInt64(), isRestore = reader.UInt64();
        message = new EndCheckpointBody(id, isRestore == 1);
        return reader.AtEnd && isRestore <= 1;
    }
}

/// <summary>
/// BeginRestore: a process asks to load a checkpoint (design R24). The map is that of the checkpoint, of which tables, jobs and the next numbers count.
/// </summary>
internal readonly record struct BeginRestoreBody(ulong Id, ulong Process, ulong Incarnation, ReadOnlyMemory<byte> Map) : IBody
{
    public int Bytes => 24 + Map.Length;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Id);
        writer.UInt64(Process);
        writer.UInt64(Incarnation);
        writer.Raw(Map.Span);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out BeginRestoreBody message)
    {
        var reader = new ByteReader(body);
        ulong id = reader.UInt64(), process = reader.UInt64(), incarnation = reader.UInt64();
        message = new BeginRestoreBody(id, process, incarnation, reader.Take(reader.Left).ToArray());
        return !reader.Failed && message is { Id: not 0, Process: not 0 };
    }
}

/// <summary>
/// CheckpointRead: the coordinator asks the head of a segment for the next slice of its walk (design R24). An attempt is a walk of its own, which
/// begins at position 0; attempts of a segment rise.
/// </summary>
internal readonly record struct CheckpointReadBody(ulong Id, uint Segment, uint Attempt, ulong Position) : IBody
{
    public int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Id);
        writer.UInt32(Segment);
        writer.UInt32(Attempt);
        writer.UInt64(Position);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out CheckpointReadBody message)
    {
        var reader = new ByteReader(body);
        message = new CheckpointReadBody(reader.UInt64(), reader.UInt32(), reader.UInt32(), reader.UInt64());
        return reader.AtEnd;
    }
}

/// <summary>The head of a CheckpointSlice: how the read ended, and which slice this is; then the records of a CopySlice, or a sentence where it was refused.</summary>
internal readonly record struct CheckpointSliceHead(Status Status, bool IsLast, uint Segment, uint Attempt, ulong Position)
{
    public const int Size = 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint)Status);
        writer.UInt32(IsLast ? 1u : 0);
        writer.UInt32(Segment);
        writer.UInt32(Attempt);
        writer.UInt64(Position);
    }

    public static CheckpointSliceHead Read(ref ByteReader reader)
    {
        Status status = reader.Status32();
        return new CheckpointSliceHead(status, reader.UInt32() == 1, reader.UInt32(), reader.UInt32(), reader.UInt64());
    }
}

/// <summary>A CheckpointSlice that says why there is none.</summary>
internal readonly record struct CheckpointRefusal(CheckpointSliceHead Head, string Text) : IBody
{
    public int Bytes => CheckpointSliceHead.Size + ByteWriter.TextBytes(Text);

    public void Write(ref ByteWriter writer)
    {
        Head.Write(ref writer);
        writer.Text(Text);
    }
}

/// <summary>RestoreRows: records of a checkpoint for the head of a segment; the same again changes nothing. None: how far its log is acknowledged.</summary>
internal readonly record struct RestoreRowsBody(ulong Id, uint Segment, ReadOnlyMemory<byte> Records) : IBody
{
    public const int HeadSize = 16;

    public int Bytes => HeadSize + Records.Length;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Id);
        writer.UInt64(Segment);
        writer.Raw(Records.Span);
    }

    /// <summary>Reads the head and leaves the reader before the records.</summary>
    public static bool TryReadHead(ref ByteReader reader, out ulong id, out uint segment)
    {
        id = reader.UInt64();
        ulong index = reader.UInt64();
        segment = (uint)index;
        return !reader.Failed && index <= uint.MaxValue;
    }
}

/// <summary>RestoreReply: whether the records stand at the head, who that is, and its log's last and last acknowledged number.</summary>
internal readonly record struct RestoreReplyBody(Status Status, ulong Copy, ulong Last, ulong Acknowledged, string Text) : IBody
{
    public int Bytes => 32 + ByteWriter.TextBytes(Text);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64((ulong)Status);
        writer.UInt64(Copy);
        writer.UInt64(Last);
        writer.UInt64(Acknowledged);
        writer.Text(Text);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out RestoreReplyBody message)
    {
        var reader = new ByteReader(body);
        message = new RestoreReplyBody(reader.Status64(), reader.UInt64(), reader.UInt64(), reader.UInt64(), reader.Text());
        return reader.AtEnd;
    }
}
