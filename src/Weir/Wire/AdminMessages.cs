using Weir.Keys;

namespace Weir.Wire;

/// <summary>
/// Hello and HelloReply: the first frame each way. Who is speaking and what it understands; a node adds its address.
/// </summary>
internal readonly record struct HelloBody(ulong Id, ulong Incarnation, byte OldestVersion, byte NewestVersion, KnownEncodings Encodings, string Address) : IBody
{
    public int Bytes => 24 + ByteWriter.TextBytes(Address);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Id);
        writer.UInt64(Incarnation);
        writer.Byte(OldestVersion);
        writer.Byte(NewestVersion);
        writer.UInt16(0);
        writer.UInt32((uint)Encodings);
        writer.Text(Address);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out HelloBody message)
    {
        var reader = new ByteReader(body);
        ulong id = reader.UInt64(), incarnation = reader.UInt64();
        byte oldest = reader.Byte(), newest = reader.Byte();
        reader.UInt16();
        message = new HelloBody(id, incarnation, oldest, newest, (KnownEncodings)reader.UInt32(), reader.Text());
        return reader.AtEnd;
    }
}

/// <summary>RegisterRead and RegisterSwap: a cell, and for a swap the version expected and the new bytes (design R1).</summary>
internal readonly record struct RegisterBody(byte Cell, ulong ExpectedVersion, ReadOnlyMemory<byte> Value) : IBody
{
    public int Bytes => 16 + Value.Length;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Cell);
        writer.UInt64(ExpectedVersion);
        writer.Raw(Value.Span);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out RegisterBody message)
    {
        var reader = new ByteReader(body);
        ulong cell = reader.UInt64(), expected = reader.UInt64();
        message = new RegisterBody((byte)cell, expected, reader.Take(reader.Left).ToArray());
        return !reader.Failed && cell <= 1;
    }
}

/// <summary>RegisterReply: whether it was done, the cell's version and bytes.</summary>
internal readonly record struct RegisterReplyBody(Status Status, ulong Version, ReadOnlyMemory<byte> Value) : IBody
{
    public int Bytes => 16 + Value.Length;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64((ulong)Status);
        writer.UInt64(Version);
        writer.Raw(Value.Span);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out RegisterReplyBody message)
    {
        var reader = new ByteReader(body);
        message = new RegisterReplyBody(reader.Status64(), reader.UInt64(), reader.Take(reader.Left).ToArray());
        return !reader.Failed;
    }
}

/// <summary>Bytes as they are: the encoded map of ReadMapReply, or the differences of MapDifferences.</summary>
internal readonly record struct RawBody(ReadOnlyMemory<byte> Value) : IBody
{
    public int Bytes => Value.Length;

    public void Write(ref ByteWriter writer) => writer.Raw(Value.Span);
}

/// <summary>JoinNode: a node asks to be a member.</summary>
internal readonly record struct JoinNodeBody(ulong Node, ulong Incarnation, uint WeightPercent, string Address, string Zone) : IBody
{
    /// <summary>Characters of an address, a zone or a process's name: they stand in the map, which has to fit a frame.</summary>
    public const int MaxTextLength = 256;

    /// <summary>The number of its journal; 0 where it has none. Where the map names that very one for it, it holds what that says, for each segment up to a known place (design R5).</summary>
    public ulong Journal { get; init; }

    public int Bytes => 26 + ByteWriter.TextBytes(Address) + ByteWriter.TextBytes(Zone);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Node);
        writer.UInt64(Incarnation);
        writer.UInt64(Journal);
        writer.UInt16((ushort)WeightPercent);
        writer.Text(Address);
        writer.Text(Zone);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out JoinNodeBody message)
    {
        var reader = new ByteReader(body);
        ulong node = reader.UInt64(), incarnation = reader.UInt64(), journal = reader.UInt64();
        ushort weight = reader.UInt16();
        message = new JoinNodeBody(node, incarnation, weight, reader.Text(), reader.Text()) { Journal = journal };
        return reader.AtEnd && message.Node != 0 && message.Address.Length is > 0 and <= MaxTextLength
            && message.Zone.Length <= MaxTextLength && message.WeightPercent is > 0 and <= 10_000;
    }
}

/// <summary>JoinProcess: a process offers to host workers of a job.</summary>
internal readonly record struct JoinProcessBody(ulong Process, ulong Incarnation, uint Group, string Name) : IBody
{
    public int Bytes => 20 + ByteWriter.TextBytes(Name);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Process);
        writer.UInt64(Incarnation);
        writer.UInt32(Group);
        writer.Text(Name);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out JoinProcessBody message)
    {
        var reader = new ByteReader(body);
        message = new JoinProcessBody(reader.UInt64(), reader.UInt64(), reader.UInt32(), reader.Text());
        return reader.AtEnd && message.Process != 0 && message.Name.Length <= JoinNodeBody.MaxTextLength;
    }
}

/// <summary>OpenTable: declares a table; the same declaration again gives the same table.</summary>
internal readonly record struct OpenTableBody(
    string Name, int Width, UpdateRule Rule, float InitialValue, bool Aggregate, uint Group, KeyLifetime Lifetime, bool IsCommitted = false, bool Durable = false, int DelayBound = PullItem.NoBound, TableDimensions Dimensions = default) : IBody
{
    private const uint Aggregates = 1, Committed = 2, IsDurable = 4, HasDimensions = 8;

    public int Bytes => 20 + UpdateRule.EncodedBytes + KeyLifetime.EncodedBytes + (Dimensions.IsNone ? 0 : TableDimensions.EncodedBytes) + ByteWriter.TextBytes(Name);

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(Width);
        writer.Single(InitialValue);
        writer.UInt32((Aggregate ? Aggregates : 0) | (IsCommitted ? Committed : 0) | (Durable ? IsDurable : 0) | (Dimensions.IsNone ? 0 : HasDimensions));
        writer.UInt32(Group);
        Rule.Write(ref writer);
        Lifetime.Write(ref writer);
        writer.Int32(DelayBound);
        if (!Dimensions.IsNone)
        {
            Dimensions.Write(ref writer);
        }

        writer.Text(Name);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out OpenTableBody message)
    {
        var reader = new ByteReader(body);
        int width = reader.Int32();
        float initial = reader.Single();
        uint flags = reader.UInt32(), group = reader.UInt32();
        bool sound = UpdateRule.TryRead(ref reader, out UpdateRule rule) & KeyLifetime.TryRead(ref reader, out KeyLifetime lifetime);
        int delayBound = reader.Int32();
        TableDimensions dimensions = (flags & HasDimensions) != 0 ? TableDimensions.Read(ref reader) : default;
        message = new OpenTableBody(reader.Text(), width, rule, initial, (flags & Aggregates) != 0, group, lifetime, (flags & Committed) != 0, (flags & IsDurable) != 0, delayBound, dimensions);
        return sound && reader.AtEnd && delayBound >= PullItem.NoBound && (flags & ~(Aggregates | Committed | IsDurable | HasDimensions)) == 0;
    }
}

/// <summary>
/// OpenJob: a job of so many workers, to begin when so many processes have offered to host them; whether it goes on without those of a process
/// that dies. The nonce makes a retry the same job.
/// </summary>
internal readonly record struct OpenJobBody(string Name, int Workers, int Hosts, bool ContinuesWithout, ulong Nonce) : IBody
{
    public int Bytes => 20 + ByteWriter.TextBytes(Name);

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(Workers);
        writer.Int32(Hosts);
        writer.UInt32(ContinuesWithout ? 1u : 0u);
        writer.UInt64(Nonce);
        writer.Text(Name);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out OpenJobBody message)
    {
        var reader = new ByteReader(body);
        int workers = reader.Int32(), hosts = reader.Int32();
        uint continues = reader.UInt32();
        ulong nonce = reader.UInt64();
        message = new OpenJobBody(reader.Text(), workers, hosts, continues == 1, nonce);
        return reader.AtEnd && continues <= 1;
    }
}

/// <summary>
/// OpenSession: with group 0 a process asks for a session of its own; otherwise the host that the map names takes up a worker's session and
/// learns the worker's clock.
/// </summary>
internal readonly record struct OpenSessionBody(ulong Process, ulong Incarnation, uint Group, uint Worker, ulong Session) : IBody
{
    public int Bytes => 32;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Process);
        writer.UInt64(Incarnation);
        writer.UInt32(Group);
        writer.UInt32(Worker);
        writer.UInt64(Session);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out OpenSessionBody message)
    {
        var reader = new ByteReader(body);
        message = new OpenSessionBody(reader.UInt64(), reader.UInt64(), reader.UInt32(), reader.UInt32(), reader.UInt64());
        return reader.AtEnd && message.Process != 0;
    }
}

/// <summary>EndSession: a session ends. For a job's worker it says through which iteration it went: others no longer wait for it.</summary>
internal readonly record struct EndSessionBody(ulong Session, uint Group, uint Worker, long ThroughIteration) : IBody
{
    public int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Session);
        writer.UInt32(Group);
        writer.UInt32(Worker);
        writer.Int64(ThroughIteration);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out EndSessionBody message)
    {
        var reader = new ByteReader(body);
        message = new EndSessionBody(reader.UInt64(), reader.UInt32(), reader.UInt32(), reader.Int64());
        return reader.AtEnd && message.ThroughIteration is >= 0 and <= Seq.MaxIteration;
    }
}

/// <summary>SetDelayBound: pulls of a table that name no bound of their own have this one from now on (PS-16); -1 for none.</summary>
internal readonly record struct SetDelayBoundBody(uint Table, int DelayBound) : IBody
{
    public int Bytes => 8;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Table);
        writer.Int32(DelayBound);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out SetDelayBoundBody message)
    {
        var reader = new ByteReader(body);
        message = new SetDelayBoundBody(reader.UInt32(), reader.Int32());
        return reader.AtEnd && message.DelayBound >= PullItem.NoBound;
    }
}

/// <summary>SetNamespaceQuota: a namespace may have so many bytes of rows from now on (PS-6); 0 for as many as there is room for.</summary>
internal readonly record struct SetNamespaceQuotaBody(string Name, long QuotaBytes) : IBody
{
    public int Bytes => 8 + ByteWriter.TextBytes(Name);

    public void Write(ref ByteWriter writer)
    {
        writer.Int64(QuotaBytes);
        writer.Text(Name);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out SetNamespaceQuotaBody message)
    {
        var reader = new ByteReader(body);
        long quota = reader.Int64();
        message = new SetNamespaceQuotaBody(reader.Text(), quota);
        return reader.AtEnd && quota >= 0;
    }
}

/// <summary>DropTable and EndJob: the number of what ends.</summary>
internal readonly record struct NumberBody(uint Number) : IBody
{
    public int Bytes => 4;

    public void Write(ref ByteWriter writer) => writer.UInt32(Number);

    public static bool TryRead(ReadOnlySpan<byte> body, out NumberBody message)
    {
        var reader = new ByteReader(body);
        message = new NumberBody(reader.UInt32());
        return reader.AtEnd;
    }
}

/// <summary>Leave: a node or process says goodbye, so that nobody waits for a timeout.</summary>
internal readonly record struct LeaveBody(MemberRole Role, ulong Id, ulong Incarnation) : IBody
{
    public int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64((ulong)Role);
        writer.UInt64(Id);
        writer.UInt64(Incarnation);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out LeaveBody message)
    {
        var reader = new ByteReader(body);
        ulong role = reader.UInt64();
        message = new LeaveBody((MemberRole)role, reader.UInt64(), reader.UInt64());
        return reader.AtEnd && role <= 1;
    }
}

/// <summary>Drain: a server is to hand over its segments and get no others, or that is taken back. Incarnation 0 stands for any.</summary>
internal readonly record struct DrainBody(ulong Node, ulong Incarnation, bool IsTakenBack) : IBody
{
    public int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Node);
        writer.UInt64(Incarnation);
        writer.UInt64(IsTakenBack ? 1u : 0);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out DrainBody message)
    {
        var reader = new ByteReader(body);
        ulong node = reader.UInt64(), incarnation = reader.UInt64(), isTakenBack = reader.UInt64();
        message = new DrainBody(node, incarnation, isTakenBack == 1);
        return reader.AtEnd && isTakenBack <= 1;
    }
}

/// <summary>Forget: a server that is dead or drained leaves the map for good; with the operator's word what nobody else holds is given up (design R6).</summary>
internal readonly record struct ForgetBody(ulong Node, bool GivesUp) : IBody
{
    public int Bytes => 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Node);
        writer.UInt64(GivesUp ? 1u : 0);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out ForgetBody message)
    {
        var reader = new ByteReader(body);
        ulong node = reader.UInt64(), givesUp = reader.UInt64();
        message = new ForgetBody(node, givesUp == 1);
        return reader.AtEnd && givesUp <= 1;
    }
}

/// <summary>AdminReply: a status, two numbers whose meaning follows from the request, and a sentence where it was refused.</summary>
internal readonly record struct AdminReplyBody(Status Status, ulong First, long Second, string Text) : IBody
{
    public int Bytes => 24 + ByteWriter.TextBytes(Text);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64((ulong)Status);
        writer.UInt64(First);
        writer.Int64(Second);
        writer.Text(Text);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out AdminReplyBody message)
    {
        var reader = new ByteReader(body);
        message = new AdminReplyBody(reader.Status64(), reader.UInt64(), reader.Int64(), reader.Text());
        return reader.AtEnd;
    }
}

/// <summary>Scan: rows of one (table, segment) in Mix order from a cursor on.</summary>
internal readonly record struct ScanBody(uint Table, uint Segment, ulong FromMixed) : IBody
{
    public const int Size = 16;

    public int Bytes => Size;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Table);
        writer.UInt32(Segment);
        writer.UInt64(FromMixed);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out ScanBody message)
    {
        var reader = new ByteReader(body);
        message = new ScanBody(reader.UInt32(), reader.UInt32(), reader.UInt64());
        return reader.AtEnd;
    }
}

/// <summary>ScanHighest: of the rows that a scan goes through those with the highest scores, in place of all. For tables with the rule Score.</summary>
/// <param name="Scan">Which rows.</param>
/// <param name="Count">How many are wanted at most, above 0.</param>
/// <param name="Floor">Rows with a lower score are not wanted; a number.</param>
internal readonly record struct ScanHighestBody(ScanBody Scan, int Count, double Floor) : IBody
{
    public int Bytes => ScanBody.Size + 16;

    public void Write(ref ByteWriter writer)
    {
        Scan.Write(ref writer);
        writer.Int32(Count);
        writer.UInt32(0);
        writer.UInt64(BitConverter.DoubleToUInt64Bits(Floor));
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out ScanHighestBody message)
    {
        message = default;
        if (body.Length != message.Bytes || !ScanBody.TryRead(body[..ScanBody.Size], out ScanBody scan))
        {
            return false;
        }

        var reader = new ByteReader(body[ScanBody.Size..]);
        int count = reader.Int32();
        reader.UInt32();
        message = new ScanHighestBody(scan, count, BitConverter.UInt64BitsToDouble(reader.UInt64()));
        return reader.AtEnd && count > 0 && !double.IsNaN(message.Floor);
    }
}

/// <summary>ScanReply: the rows found, and where to go on unless done. Keys, then values, each padded to 8 bytes.</summary>
internal struct ScanReplyHead
{
    public const int Size = 24;

    public Status Status;
    public bool Done;
    public int Rows;
    public int ValueBytes;
    public ulong NextMixed;

    public readonly void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint)Status);
        writer.UInt32(Done ? 1u : 0u);
        writer.Int32(Rows);
        writer.Int32(ValueBytes);
        writer.UInt64(NextMixed);
    }

    public static bool TryRead(ref ByteReader reader, out ScanReplyHead head, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values)
    {
        head = default;
        head.Status = reader.Status32();
        head.Done = reader.UInt32() != 0;
        head.Rows = reader.Int32();
        head.ValueBytes = reader.Int32();
        head.NextMixed = reader.UInt64();
        keys = default;
        values = default;
        if (head.Rows < 0 || head.Rows > reader.Left / sizeof(ulong))
        {
            reader.Fail();
            return false;
        }

        keys = reader.Take(head.Rows * sizeof(ulong));
        values = reader.Take(head.ValueBytes);
        reader.SkipPadTo8();
        return !reader.Failed;
    }
}
