using System.IO.Hashing;
using Weir.Keys;

namespace Weir.Checkpoints;

/// <summary>
/// One slice of one segment in a file of a checkpoint: a head of 64 bytes with a checksum of its own, then the records, with theirs. Each names the
/// checkpoint, the file and its place there, so that what was cut, changed, left out or mixed with another checkpoint's is found and named. Layout in docs/checkpoints.md.
/// </summary>
internal readonly record struct Block(ulong Checkpoint, int File, int Index, uint Segment, uint Attempt, ulong Position, bool IsLast, int Bytes)
{
    public const int HeadSize = 64;

    private const uint Magic = 0x4B4C4257; // "WBLK" in the order of the bytes

    /// <summary>Writes the head of a block.</summary>
    public void WriteHead(Span<byte> head, ReadOnlySpan<byte> records)
    {
        var writer = new ByteWriter(head);
        writer.UInt32(Magic);
        writer.UInt32(IsLast ? 1u : 0);
        writer.UInt64(Checkpoint);
        writer.Int32(File);
        writer.Int32(Index);
        writer.UInt32(Segment);
        writer.UInt32(Attempt);
        writer.UInt64(Position);
        writer.Int32(records.Length);
        writer.Int32(0);
        writer.UInt64(XxHash3.HashToUInt64(records));
        writer.UInt64(XxHash3.HashToUInt64(head[..(HeadSize - sizeof(ulong))]));
    }

    /// <summary>Reads the block that begins at a place of a file's bytes.</summary>
    /// <param name="file">The bytes of a file.</param>
    /// <param name="at">Where the block begins; after it where it is sound.</param>
    /// <param name="block">The block.</param>
    /// <param name="records">Where its records stand in the file.</param>
    /// <returns>What is wrong with it, as people read it; null where it is sound.</returns>
    public static string? Read(ReadOnlySpan<byte> file, ref int at, out Block block, out Range records)
    {
        block = default;
        records = default;
        if (file.Length - at < HeadSize)
        {
            return $"is truncated: a block begins at byte {at}, and the file ends at {file.Length}";
        }

        ReadOnlySpan<byte> head = file.Slice(at, HeadSize);
        var reader = new ByteReader(head);
        uint magic = reader.UInt32(), flags = reader.UInt32();
        ulong checkpoint = reader.UInt64();
        int number = reader.Int32(), index = reader.Int32();
        uint segment = reader.UInt32(), attempt = reader.UInt32();
        ulong position = reader.UInt64();
        int bytes = reader.Int32();
        reader.UInt32();
        ulong checksum = reader.UInt64(), headChecksum = reader.UInt64();
        if (magic != Magic || headChecksum != XxHash3.HashToUInt64(head[..(HeadSize - sizeof(ulong))]))
        {
            return $"is damaged: the head of the block at byte {at} is not as it was written";
        }

        if (bytes < 0 || bytes > file.Length - at - HeadSize)
        {
            return $"is truncated: the block at byte {at} has {bytes} bytes of records, and the file ends at {file.Length}";
        }

        if (XxHash3.HashToUInt64(file.Slice(at + HeadSize, bytes)) != checksum)
        {
            return $"is damaged: the records of the block at byte {at} are not as they were written";
        }

        records = new Range(at + HeadSize, at + HeadSize + bytes);
        block = new Block(checkpoint, number, index, segment, attempt, position, (flags & 1) != 0, bytes);
        at += HeadSize + bytes;
        return null;
    }
}
