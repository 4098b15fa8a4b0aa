using Weir.Keys;

namespace Weir.Wire;

/// <summary>Where a log stands: an entry's number and the epoch of the head that numbered it (design R15).</summary>
internal readonly record struct LogPosition(ulong Epoch, ulong Number)
{
    public const int Size = 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Epoch);
        writer.UInt64(Number);
    }

    public static LogPosition Read(ref ByteReader reader) => new(reader.UInt64(), reader.UInt64());
}

/// <summary>What a log entry does. Everything that changes rows is one of these, decided by the head (design R15).</summary>
internal enum EntryKind : byte
{
    /// <summary>A part of a push, applied, superseded or failed, as its outcome says.</summary>
    Part = 1,

    /// <summary>Rows taken out by name that no client asked for: they have expired.</summary>
    Expiry = 2,

    /// <summary>An iteration of an aggregating table closed (design R19).</summary>
    Iteration = 3,

    /// <summary>Workers whose jobs or clients have ended are forgotten (design R7).</summary>
    Forget = 4,

    /// <summary>Records of a checkpoint that is being loaded (design R24), as a CopySlice has them.</summary>
    Load = 5,
}

/// <summary>The fixed head of one log entry in a frame, or of one fragment of it: 48 bytes, then its bytes padded to 8.</summary>
internal struct EntryHead
{
    public const int Size = 48;

    public uint Segment;
    public EntryKind Kind;
    public LogPosition Position;

    /// <summary>The epoch of the entry before: the receiver takes this one only behind that.</summary>
    public ulong EpochBefore;

    /// <summary>Where this fragment begins in the entry.</summary>
    public int Offset;

    /// <summary>The bytes of this fragment.</summary>
    public int Bytes;

    /// <summary>The bytes of the whole entry, which is applied and acknowledged only when whole (design R25).</summary>
    public int EntryBytes;

    public readonly int TotalBytes => Size + PartHeader.Pad8(Bytes);

    public readonly void Write(ref ByteWriter writer)
    {
        writer.UInt32(Segment);
        writer.UInt32((uint)Kind);
        Position.Write(ref writer);
        writer.UInt64(EpochBefore);
        writer.Int32(Offset);
        writer.Int32(Bytes);
        writer.Int32(EntryBytes);
        writer.UInt32(0);
    }

    public static EntryHead Read(ref ByteReader reader)
    {
        EntryHead head = default;
        head.Segment = reader.UInt32();
        head.Kind = (EntryKind)(byte)reader.UInt32();
        head.Position = LogPosition.Read(ref reader);
        head.EpochBefore = reader.UInt64();
        head.Offset = reader.Int32();
        head.Bytes = reader.Int32();
        head.EntryBytes = reader.Int32();
        reader.UInt32();
        return head;
    }
}

/// <summary>Who speaks in a frame between nodes: the head of all their bodies, 24 bytes with the count of what follows.</summary>
internal readonly record struct ChainSender(ulong Node, ulong Incarnation, int Count)
{
    public const int Size = 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Node);
        writer.UInt64(Incarnation);
        writer.Int32(Count);
        writer.UInt32(0);
    }

    public static ChainSender Read(ref ByteReader reader, int smallestItemBytes)
    {
        ulong node = reader.UInt64(), incarnation = reader.UInt64();
        int count = reader.Count(smallestItemBytes);
        reader.UInt32();
        return new ChainSender(node, incarnation, count);
    }
}

/// <summary>Reads the entries of a frame one by one, without allocation; foreign bytes are checked against their frame.</summary>
internal ref struct EntriesReader
{
    /// <summary>The largest entry: an iteration of every row of a large segment; what is larger than this is no entry.</summary>
    public const int MaxEntryBytes = 1 << 30;

    private ByteReader _reader;
    private int _left;

    public EntriesReader(ReadOnlySpan<byte> body)
    {
        _reader = new ByteReader(body);
        Sender = ChainSender.Read(ref _reader, EntryHead.Size);
        _left = Sender.Count;
    }

    public ChainSender Sender { get; }

    public readonly bool AtEnd => _left == 0 && _reader.AtEnd;

    public bool Next(out EntryHead head, out ReadOnlySpan<byte> bytes)
    {
        head = default;
        bytes = default;
        if (_left == 0 || _reader.Failed)
        {
            return false;
        }

        _left--;
        head = EntryHead.Read(ref _reader);
        bool sound = head.Kind is >= EntryKind.Part and <= EntryKind.Load && head.Position.Number > 0 && head.Bytes >= 0 && head.Offset >= 0
            && head.EntryBytes is >= 0 and <= MaxEntryBytes && head.Offset + (long)head.Bytes <= head.EntryBytes;
        if (!sound)
        {
            _reader.Fail();
            return false;
        }

        bytes = _reader.Take(head.Bytes);
        _reader.SkipPadTo8();
        return !_reader.Failed;
    }
}

/// <summary>One segment in an EntryAck: what the sender has, and what it knows the tail to have (design R15, R16).</summary>
/// <param name="Segment">The segment.</param>
/// <param name="Received">The sender's last entry.</param>
/// <param name="Acknowledged">The last entry that every member from the sender on has.</param>
/// <param name="Room">Bytes of memory that the sender and those behind it still have.</param>
/// <param name="IsChainConfirmed">Everybody from the sender on is confirmed in this epoch (R16).</param>
/// <param name="Flushed">The number of the last entry up to which all of durable tables are in the journal of every member from the sender on
/// (R23); not above the number of <paramref name="Received"/>, and of the same log.</param>
internal readonly record struct EntryAck(uint Segment, LogPosition Received, LogPosition Acknowledged, ulong Room, bool IsChainConfirmed, ulong Flushed = 0) : IChainWord<EntryAck>
{
    public static int Bytes => 56;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Segment);
        writer.UInt32(IsChainConfirmed ? 1u : 0);
        Received.Write(ref writer);
        Acknowledged.Write(ref writer);
        writer.UInt64(Room);
        writer.UInt64(Flushed);
    }

    public static EntryAck Read(ref ByteReader reader)
    {
        uint segment = reader.UInt32();
        bool isChainConfirmed = reader.UInt32() == 1;
        return new EntryAck(segment, LogPosition.Read(ref reader), LogPosition.Read(ref reader), reader.UInt64(), isChainConfirmed, reader.UInt64());
    }
}

/// <summary>
/// One segment in a Confirm, which asks the predecessor whether the sender's last entry is in its log, or in a Confirmed, its answer
/// (design R16), which also tells the predecessor's own last entry and whether it is complete (R9).
/// </summary>
/// <param name="Segment">The segment.</param>
/// <param name="Last">The sender's last entry.</param>
/// <param name="IsInLog">In an answer: the asker's last entry is in the log.</param>
/// <param name="IsComplete">In an answer: its sender holds every entry that was ever acknowledged.</param>
internal readonly record struct ConfirmEntry(uint Segment, LogPosition Last, bool IsInLog, bool IsComplete) : IChainWord<ConfirmEntry>
{
    public static int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Segment);
        writer.UInt32((IsInLog ? 1u : 0) | (IsComplete ? 2u : 0));
        Last.Write(ref writer);
    }

    public static ConfirmEntry Read(ref ByteReader reader)
    {
        uint segment = reader.UInt32(), flags = reader.UInt32();
        return new ConfirmEntry(segment, LogPosition.Read(ref reader), (flags & 1) != 0, (flags & 2) != 0);
    }
}

/// <summary>What a node says of one segment, in a frame that says the same kind of thing of many.</summary>
internal interface IChainWord<TSelf>
    where TSelf : struct, IChainWord<TSelf>
{
    /// <summary>Bytes of one.</summary>
    static abstract int Bytes { get; }

    void Write(ref ByteWriter writer);

    /// <summary>Reads one; makes the reader fail where it makes no sense.</summary>
    static abstract TSelf Read(ref ByteReader reader);
}

/// <summary>The body of EntryAck, Confirm, Confirmed and Report: who speaks, and a word for each segment.</summary>
internal readonly struct ChainBody<TWord>(ulong node, ulong incarnation, IReadOnlyList<TWord> words) : IBody
    where TWord : struct, IChainWord<TWord>
{
    public int Bytes => ChainSender.Size + (words.Count * TWord.Bytes);

    public void Write(ref ByteWriter writer)
    {
        new ChainSender(node, incarnation, words.Count).Write(ref writer);
        foreach (TWord word in words)
        {
            word.Write(ref writer);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, List<TWord> into, out ChainSender sender)
    {
        into.Clear();
        var reader = new ByteReader(body);
        sender = ChainSender.Read(ref reader, TWord.Bytes);
        for (int i = 0; i < sender.Count; i++)
        {
            into.Add(TWord.Read(ref reader));
        }

        return reader.AtEnd;
    }
}

/// <summary>What stands before the part in an entry of a push: 32 bytes.</summary>
/// <param name="Worker">Who pushed.</param>
/// <param name="Session">In which session.</param>
/// <param name="Clock">The clock that its rows get.</param>
/// <param name="Outcome">Acked: its rows are applied; Superseded or Failed: it has none.</param>
internal readonly record struct PartEntry(WorkerId Worker, ulong Session, long Clock, Status Outcome)
{
    public const int Size = 32;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Worker.Value);
        writer.UInt64(Session);
        writer.Int64(Clock);
        writer.UInt64((ulong)Outcome);
    }

    public static PartEntry Read(ref ByteReader reader) => new(new WorkerId(reader.UInt64()), reader.UInt64(), reader.Int64(), reader.Status64());
}

/// <summary>The head of an entry that closes an iteration: 24 bytes, then its contributors, keys and values.</summary>
internal readonly record struct IterationEntry(uint Table, int Contributors, long Iteration, int Rows)
{
    public const int Size = 24;

    /// <summary>Worker, seq, and the session and n of the newest push answered for it.</summary>
    public const int ContributorBytes = 40;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Table);
        writer.Int32(Contributors);
        writer.Int64(Iteration);
        writer.Int32(Rows);
        writer.UInt32(0);
    }

    public static IterationEntry Read(ref ByteReader reader)
    {
        var entry = new IterationEntry(reader.UInt32(), reader.Int32(), reader.Int64(), reader.Int32());
        reader.UInt32();
        return entry;
    }
}
