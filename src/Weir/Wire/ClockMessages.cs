using Weir.Keys;

namespace Weir.Wire;

/// <summary>One worker's clock with the map version it counts under (design R4, R26): a fact that anyone may repeat.</summary>
internal readonly record struct ClockEntry(uint Group, uint Worker, long Clock, ulong MapVersion)
{
    public const int Size = 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Group);
        writer.UInt32(Worker);
        writer.Int64(Clock);
        writer.UInt64(MapVersion);
    }

    public static ClockEntry Read(ref ByteReader reader) => new(reader.UInt32(), reader.UInt32(), reader.Int64(), reader.UInt64());
}

/// <summary>The body of Clock and ClockReply: clocks, in any order, kept as maxima by whoever reads them.</summary>
internal readonly struct ClockBody(IReadOnlyCollection<ClockEntry> entries) : IBody
{
    public int Bytes => 8 + (entries.Count * ClockEntry.Size);

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(entries.Count);
        writer.UInt32(0);
        foreach (ClockEntry entry in entries)
        {
            entry.Write(ref writer);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, List<ClockEntry> into)
    {
        var reader = new ByteReader(body);
        return TryRead(ref reader, into) && reader.AtEnd;
    }

    public static bool TryRead(ref ByteReader reader, List<ClockEntry> into)
    {
        into.Clear();
        int count = reader.Count(ClockEntry.Size);
        reader.UInt32();
        for (int i = 0; i < count; i++)
        {
            into.Add(ClockEntry.Read(ref reader));
        }

        return !reader.Failed;
    }
}

/// <summary>The last n of a worker's stream at one (table, segment).</summary>
internal readonly record struct SentEntry(uint Table, uint Segment, ulong N)
{
    public const int Size = 16;
}

/// <summary>
/// "I have sent everything of iteration t": for each stream at the receiver its last n (design R20). It speaks for the segments
/// [FirstSegment, LastSegment] only, so that a long list can be cut; a stream in them that it does not list has last n 0.
/// </summary>
internal readonly struct SentBody(uint group, uint worker, long iteration, uint firstSegment, uint lastSegment, IReadOnlyList<SentEntry> entries) : IBody
{
    public uint Group => group;

    public uint Worker => worker;

    public long Iteration => iteration;

    public uint FirstSegment => firstSegment;

    public uint LastSegment => lastSegment;

    public IReadOnlyList<SentEntry> Entries => entries;

    public int Bytes => 32 + (entries.Count * SentEntry.Size);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(group);
        writer.UInt32(worker);
        writer.Int64(iteration);
        writer.UInt32(firstSegment);
        writer.UInt32(lastSegment);
        writer.Int32(entries.Count);
        writer.UInt32(0);
        foreach (SentEntry entry in entries)
        {
            writer.UInt32(entry.Table);
            writer.UInt32(entry.Segment);
            writer.UInt64(entry.N);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out SentBody message)
    {
        var reader = new ByteReader(body);
        uint group = reader.UInt32(), worker = reader.UInt32();
        long iteration = reader.Int64();
        uint first = reader.UInt32(), last = reader.UInt32();
        int count = reader.Count(SentEntry.Size);
        reader.UInt32();
        var entries = new SentEntry[count];
        for (int i = 0; i < count; i++)
        {
            entries[i] = new SentEntry(reader.UInt32(), reader.UInt32(), reader.UInt64());
        }

        message = new SentBody(group, worker, iteration, first, last, entries);
        return reader.AtEnd && first <= last && iteration > 0;
    }
}

/// <summary>Who beats: a server node or a process that hosts workers or sessions.</summary>
internal enum MemberRole : byte
{
    Node = 0,
    Process = 1,
}

/// <summary>The body of Heartbeat: who, which start of it, its load, and the clocks it knows (design R5).</summary>
internal readonly struct HeartbeatBody(MemberRole role, ulong id, ulong incarnation, ulong storedBytes, ulong storedRows, IReadOnlyCollection<ClockEntry> clocks) : IBody
{
    public MemberRole Role => role;

    public ulong Id => id;

    public ulong Incarnation => incarnation;

    public ulong StoredBytes => storedBytes;

    public ulong StoredRows => storedRows;

    public int Bytes => 40 + new ClockBody(clocks).Bytes;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64((ulong)role);
        writer.UInt64(id);
        writer.UInt64(incarnation);
        writer.UInt64(storedBytes);
        writer.UInt64(storedRows);
        new ClockBody(clocks).Write(ref writer);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, List<ClockEntry> clocks, out HeartbeatBody message)
    {
        var reader = new ByteReader(body);
        ulong role = reader.UInt64();
        message = new HeartbeatBody((MemberRole)role, reader.UInt64(), reader.UInt64(), reader.UInt64(), reader.UInt64(), clocks);
        return role <= 1 && ClockBody.TryRead(ref reader, clocks) && reader.AtEnd;
    }
}

/// <summary>
/// The body of HeartbeatReply: whether the sender is still a member, the manager's lease as the answerer last saw it (both 0: it saw none; design
/// R3), and the clocks the answerer knows.
/// </summary>
internal readonly struct HeartbeatReplyBody(Status status, IReadOnlyCollection<ClockEntry> clocks, ulong term = 0, ulong leaseVersion = 0) : IBody
{
    public Status Status => status;

    /// <summary>The term of the lease's holder.</summary>
    public ulong Term => term;

    /// <summary>The version of the lease cell: it rises with each renewal.</summary>
    public ulong LeaseVersion => leaseVersion;

    public int Bytes => 24 + new ClockBody(clocks).Bytes;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64((ulong)status);
        writer.UInt64(term);
        writer.UInt64(leaseVersion);
        new ClockBody(clocks).Write(ref writer);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, List<ClockEntry> clocks, out HeartbeatReplyBody message)
    {
        var reader = new ByteReader(body);
        message = new HeartbeatReplyBody(reader.Status64(), clocks, reader.UInt64(), reader.UInt64());
        return ClockBody.TryRead(ref reader, clocks) && reader.AtEnd;
    }
}
