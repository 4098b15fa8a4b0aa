using System.Buffers.Binary;
using System.IO.Hashing;
using System.Numerics;

namespace Weir.Wire;

/// <summary>What a frame is. The number is on the wire; docs/protocol.md lists the bodies.</summary>
internal enum FrameKind : byte
{
    Hello = 1,
    HelloReply = 2,
    Error = 3,
    Push = 4,
    PushReply = 5,
    Pull = 6,
    PullReply = 7,
    PushPull = 8,
    Sent = 9,
    SentReply = 10,
    Clock = 11,
    ClockReply = 12,
    Heartbeat = 13,
    HeartbeatReply = 14,
    ReadMap = 15,
    ReadMapReply = 16,
    RegisterRead = 17,
    RegisterSwap = 18,
    RegisterReply = 19,
    JoinNode = 20,
    JoinProcess = 21,
    OpenTable = 22,
    OpenJob = 23,
    OpenSession = 24,
    EndSession = 25,
    DropTable = 26,
    EndJob = 33,
    AddWorkers = 34,
    RemoveWorker = 35,
    Begun = 36,
    SetDelayBound = 37,
    ScanHighest = 38,
    SetNamespaceQuota = 39,
    Leave = 27,
    AdminReply = 28,
    Scan = 29,
    ScanReply = 30,
    Status = 31,
    StatusReply = 32,
    Entries = 40,
    EntryAck = 41,
    Confirm = 42,
    Confirmed = 43,
    CopyBegin = 44,
    CopySlice = 45,
    CopyAck = 46,
    Step = 47,
    Report = 48,
    MapDifferences = 49,
    Drain = 50,
    Forget = 51,
    ServeTasks = 52,
    Task = 53,
    TaskReply = 54,
    OpenCheckpoint = 60,
    EndCheckpoint = 61,
    CheckpointRead = 62,
    CheckpointSlice = 63,
    PaxosPrepare = 64,
    PaxosAccept = 65,
    PaxosReply = 66,
    BeginRestore = 67,
    RestoreRows = 68,
    RestoreReply = 69,
}

/// <summary>Why <see cref="FrameHeader.TryRead"/> refused bytes.</summary>
internal enum HeaderFault
{
    None,
    NotWeir,
    BadChecksum,
    UnknownVersion,
    BadLength,
}

/// <summary>
/// The fixed head of every frame: 64 bytes, little-endian, laid out in docs/protocol.md. A checksum of its own (CRC32C) lets a receiver
/// trust the length before it reads the body; the body has XxHash3.
/// </summary>
internal struct FrameHeader
{
    public const int Size = 64;
    public const uint Magic = 0x52494557; // "WEIR" in the order of the bytes
    public const byte Version = 1;
    public const int MaxBodyBytes = (1 << 20) - Size;

    public FrameKind Kind;
    public ushort Flags;

    /// <summary>Bytes after the header.</summary>
    public int BodyLength;

    /// <summary>What is left of the caller's deadline, in microseconds, relative because clocks differ; 0 is none.</summary>
    public uint DeadlineUs;

    /// <summary>The asker's number for a request; its replies repeat it.</summary>
    public ulong RequestId;

    /// <summary>Which cluster the sender believes in; 0 where it does not know yet (Hello and ReadMap only).</summary>
    public ulong Cluster;

    public uint Generation;

    /// <summary>See design R4: the receiver acts only once its own map is at least as new.</summary>
    public ulong MapVersion;

    /// <summary>The session that pushes; 0 for readers and nodes.</summary>
    public ulong Session;

    public ulong BodyChecksum;

    /// <summary>Writes header and both checksums over a frame whose body stands already behind the first 64 bytes.</summary>
    public void Seal(Span<byte> frame)
    {
        BodyLength = frame.Length - Size;
        BodyChecksum = XxHash3.HashToUInt64(frame[Size..]);
        BinaryPrimitives.WriteUInt32LittleEndian(frame, Magic);
        frame[4] = Version;
        frame[5] = (byte)Kind;
        BinaryPrimitives.WriteUInt16LittleEndian(frame[6..], Flags);
        BinaryPrimitives.WriteInt32LittleEndian(frame[8..], BodyLength);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[12..], DeadlineUs);
        BinaryPrimitives.WriteUInt64LittleEndian(frame[16..], RequestId);
        BinaryPrimitives.WriteUInt64LittleEndian(frame[24..], Cluster);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[32..], Generation);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[36..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(frame[40..], MapVersion);
        BinaryPrimitives.WriteUInt64LittleEndian(frame[48..], Session);
        BinaryPrimitives.WriteUInt64LittleEndian(frame[56..], BodyChecksum);
        BinaryPrimitives.WriteUInt32LittleEndian(frame[36..], HeaderChecksum(frame));
    }

    /// <summary>Reads 64 foreign bytes. On a fault the connection gets a typed error and is closed; nothing is thrown.</summary>
    public static HeaderFault TryRead(ReadOnlySpan<byte> bytes, out FrameHeader header)
    {
        header = default;
        if (bytes.Length < Size)
        {
            return HeaderFault.BadLength;
        }

        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            return HeaderFault.NotWeir;
        }

        // The checksum before the version: a version damaged on the way is no other version, and a sender told that it speaks another one gives up.
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[36..]) != HeaderChecksum(bytes))
        {
            return HeaderFault.BadChecksum;
        }

        if (bytes[4] != Version)
        {
            return HeaderFault.UnknownVersion;
        }

        header.Kind = (FrameKind)bytes[5];
        header.Flags = BinaryPrimitives.ReadUInt16LittleEndian(bytes[6..]);
        header.BodyLength = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        header.DeadlineUs = BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]);
        header.RequestId = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]);
        header.Cluster = BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..]);
        header.Generation = BinaryPrimitives.ReadUInt32LittleEndian(bytes[32..]);
        header.MapVersion = BinaryPrimitives.ReadUInt64LittleEndian(bytes[40..]);
        header.Session = BinaryPrimitives.ReadUInt64LittleEndian(bytes[48..]);
        header.BodyChecksum = BinaryPrimitives.ReadUInt64LittleEndian(bytes[56..]);
        return header.BodyLength is < 0 or > MaxBodyBytes ? HeaderFault.BadLength : HeaderFault.None;
    }

    /// <summary>Whether a body is the one that was sealed.</summary>
    public readonly bool BodyIsWhole(ReadOnlySpan<byte> body) =>
        body.Length == BodyLength && XxHash3.HashToUInt64(body) == BodyChecksum;

    // CRC32C (Castagnoli) over bytes 0..35 and 40..63: all of the header but the field itself.
    private static uint HeaderChecksum(ReadOnlySpan<byte> header)
    {
        uint crc = uint.MaxValue;
        for (int at = 0; at < Size; at += 4)
        {
            if (at != 36)
            {
                crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(header[at..]));
            }
        }

        return ~crc;
    }
}
