using Weir.Keys;

namespace Weir.Wire;

/// <summary>What a part does to its rows. Deletes travel in a stream of their own (design R12).</summary>
internal enum PartOperation : byte
{
    Update = 0,
    Assign = 1,
    Delete = 2,

    /// <summary>Arithmetic with rows of another table: a <see cref="RowArithmetic"/> stands in place of values. A log has what comes of it, as an Assign.</summary>
    Arithmetic = 3,

    /// <summary>A function of a user's own changes the rows: a <see cref="FunctionRequest"/> stands in place of values. A log has what comes of it, as an Assign.</summary>
    Function = 4,
}

/// <summary>How a part's or item's keys stand in the frame.</summary>
internal enum KeyEncoding : byte
{
    /// <summary>Eight bytes a key.</summary>
    Raw = 0,

    /// <summary>None: the keys are those of the push part whose index stands in the item's KeyBytes (PushPull).</summary>
    OfPart = 1,

    /// <summary>The gaps between hashes, in equally many bits (<see cref="PackedKeys"/>).</summary>
    PackedDelta = 2,

    /// <summary>The keys, in equally many bits (<see cref="PackedKeys"/>).</summary>
    Packed = 3,

    /// <summary>A reference of 16 bytes to a list that the receiver keeps (<see cref="KeyList"/>).</summary>
    Cached = 4,
}

/// <summary>How values stand in the frame: how each float is written, and in the lowest bit whether those that are zero are left out.</summary>
internal enum ValueEncoding : byte
{
    /// <summary>Four bytes a float.</summary>
    Raw = 0,

    /// <summary>Floats that are not zero, and a bit for each (<see cref="Wire.ZeroBitmap"/>).</summary>
    ZeroBitmap = 1,

    /// <summary>Two bytes a float (<see cref="BFloat16Values"/>).</summary>
    BFloat16 = 2,

    /// <summary>The same of those that are not zero, and a bit for each.</summary>
    BFloat16ZeroBitmap = BFloat16 | ZeroBitmap,

    /// <summary>A byte a float, and a scale for each block of them (<see cref="Int8Values"/>).</summary>
    Int8 = 4,

    /// <summary>The same of those that are not zero, and a bit for each.</summary>
    Int8ZeroBitmap = Int8 | ZeroBitmap,

    /// <summary>Beside any of the others: their bytes as a block of LZ4 (<see cref="Lz4Bytes"/>).</summary>
    Lz4 = 8,
}

/// <summary>What values may be written as, beside Raw.</summary>
[Flags]
internal enum ValueFilters : byte
{
    None = 0,
    ZeroBitmap = 1,
    BFloat16 = 2,
    Int8 = 4,

    /// <summary>Those that change values; they exclude each other.</summary>
    Lossy = BFloat16 | Int8,
    Lz4 = 8,
    All = ZeroBitmap | Lossy | Lz4,
}

/// <summary>The encodings beside Raw: in a Hello those that its sender will use, in a HelloReply those that its sender knows.</summary>
[Flags]
internal enum KnownEncodings : uint
{
    None = 0,
    CachedKeys = 1,
    PackedKeys = 2,
    ZeroBitmap = 4,
    BFloat16 = 8,
    Int8 = 16,
    Lz4 = 32,
    All = CachedKeys | PackedKeys | ZeroBitmap | BFloat16 | Int8 | Lz4,
}

/// <summary>
/// The fixed head of one part of a push: 48 bytes, then keys and values, each padded to 8 bytes.
/// </summary>
internal struct PartHeader
{
    public const int Size = 48;

    public uint Table;
    public uint Segment;

    /// <summary>1, 2, 3 ... within (session, table, segment); deletes count apart.</summary>
    public ulong N;
    public Seq Seq;
    public int Rows;
    public PartOperation Operation;
    public KeyEncoding KeyEncoding;
    public ValueEncoding ValueEncoding;

    /// <summary>The receiver may keep the key list, which later parts and items refer to as <see cref="KeyEncoding.Cached"/>.</summary>
    public bool KeepKeys;
    public int KeyBytes;
    public int ValueBytes;

    /// <summary>The bytes of this part in a frame, head and padding included.</summary>
    public readonly int TotalBytes => Size + Pad8(KeyBytes) + Pad8(ValueBytes);

    public readonly void Write(ref ByteWriter writer)
    {
        writer.UInt32(Table);
        writer.UInt32(Segment);
        writer.UInt64(N);
        writer.Int64(Seq.Iteration);
        writer.UInt32(Seq.Push);
        writer.UInt32(Seq.Piece);
        writer.Int32(Rows);
        writer.Byte((byte)Operation);
        writer.Byte((byte)KeyEncoding);
        writer.Byte((byte)ValueEncoding);
        writer.Byte(KeepKeys ? (byte)1 : (byte)0);
        writer.Int32(KeyBytes);
        writer.Int32(ValueBytes);
    }

    public static PartHeader Read(ref ByteReader reader)
    {
        PartHeader part = default;
        part.Table = reader.UInt32();
        part.Segment = reader.UInt32();
        part.N = reader.UInt64();
        part.Seq = new Seq(reader.Int64(), reader.UInt32(), reader.UInt32());
        part.Rows = reader.Int32();
        part.Operation = (PartOperation)reader.Byte();
        part.KeyEncoding = (KeyEncoding)reader.Byte();
        part.ValueEncoding = (ValueEncoding)reader.Byte();
        part.KeepKeys = (reader.Byte() & 1) != 0;
        part.KeyBytes = reader.Int32();
        part.ValueBytes = reader.Int32();
        return part;
    }

    public static int Pad8(int bytes) => (bytes + 7) & ~7;
}

/// <summary>Where a log entry stands: what a copy, a cache or a follower compares (design R22).</summary>
internal readonly record struct Stamp(uint Generation, ulong Epoch, ulong Number);

/// <summary>The fixed head of one item of a pull: 56 bytes, 16 of a <see cref="RowReduction"/> where it has one, then keys padded to 8 bytes.</summary>
internal struct PullItem
{
    public const int Size = 56;

    /// <summary>The <see cref="DelayBound"/> of a pull that waits for nobody: a flag, not a large number.</summary>
    public const int NoBound = -1;

    public uint Table;
    public uint Segment;

    /// <summary>The asker's iteration t; with the bound tau the pull waits for clocks of at least t - tau - 1.</summary>
    public long Iteration;
    public int DelayBound;

    /// <summary>The group (job) whose clocks govern the pull; 0 is a reader without a clock.</summary>
    public uint Group;
    public int Rows;
    public KeyEncoding KeyEncoding;

    /// <summary>Read the acknowledged state at the tail instead of the head's applied state.</summary>
    public bool Committed;

    /// <summary>As in a part.</summary>
    public bool KeepKeys;

    /// <summary>What values of the answer may come as.</summary>
    public ValueFilters Takes;

    /// <summary>Bytes of keys, or with <see cref="KeyEncoding.OfPart"/> the index of the push part.</summary>
    public int KeyBytes;

    /// <summary>Only rows changed after this are wanted; an unknown stamp gets everything.</summary>
    public Stamp Since;

    /// <summary>What is made of the rows; of the kind None where they are wanted themselves.</summary>
    public RowReduction Reduction;

    private const byte IsCommitted = 1, HasReduction = 2;

    public readonly int HeadBytes => Size + (Reduction.Kind == ReductionKind.None ? 0 : RowReduction.Size);

    public readonly int TotalBytes => HeadBytes + (KeyEncoding == KeyEncoding.OfPart ? 0 : PartHeader.Pad8(KeyBytes));

    public readonly void Write(ref ByteWriter writer)
    {
        writer.UInt32(Table);
        writer.UInt32(Segment);
        writer.Int64(Iteration);
        writer.Int32(DelayBound);
        writer.UInt32(Group);
        writer.Int32(Rows);
        writer.Byte((byte)KeyEncoding);
        writer.Byte((byte)((Committed ? IsCommitted : 0) | (Reduction.Kind == ReductionKind.None ? 0 : HasReduction)));
        writer.Byte(KeepKeys ? (byte)1 : (byte)0);
        writer.Byte((byte)Takes);
        writer.Int32(KeyBytes);
        writer.UInt32(Since.Generation);
        writer.UInt64(Since.Epoch);
        writer.UInt64(Since.Number);
        if (Reduction.Kind != ReductionKind.None)
        {
            Reduction.Write(ref writer);
        }
    }

    public static PullItem Read(ref ByteReader reader)
    {
        PullItem item = default;
        item.Table = reader.UInt32();
        item.Segment = reader.UInt32();
        item.Iteration = reader.Int64();
        item.DelayBound = reader.Int32();
        item.Group = reader.UInt32();
        item.Rows = reader.Int32();
        item.KeyEncoding = (KeyEncoding)reader.Byte();
        byte flags = reader.Byte();
        item.Committed = (flags & IsCommitted) != 0;
        item.KeepKeys = (reader.Byte() & 1) != 0;
        item.Takes = (ValueFilters)reader.Byte() & ValueFilters.All;
        item.KeyBytes = reader.Int32();
        item.Since = new Stamp(reader.UInt32(), reader.UInt64(), reader.UInt64());
        item.Reduction = (flags & HasReduction) != 0 ? RowReduction.Read(ref reader) : default;
        return item;
    }
}

/// <summary>
/// Reads the one body layout of Push, Pull and PushPull: two counts, the parts, the items. A single pass over foreign bytes without
/// allocation; lengths are checked against the frame before anything is looked at, and a part's shape against its rows.
/// </summary>
internal ref struct DataRequestReader
{
    public const int CountsSize = 8;

    private ByteReader _reader;
    private int _partsLeft;
    private int _itemsLeft;
    private int _keysLeft = FrameHeader.MaxBodyBytes / sizeof(ulong);

    // Goes over the parts once more, as far as the items have named them.
    private ByteReader _named;
    private int _nextNamed;

    public DataRequestReader(ReadOnlySpan<byte> body)
    {
        _reader = new ByteReader(body);
        _partsLeft = _reader.Count(PartHeader.Size);
        _itemsLeft = _reader.Count(PullItem.Size);
        _named = _reader;
        Parts = _partsLeft;
        Items = _itemsLeft;
    }

    public int Parts { get; }

    public int Items { get; }

    /// <summary>True where the bytes made no sense.</summary>
    public readonly bool Failed => _reader.Failed;

    /// <summary>True where everything was read and nothing is left over.</summary>
    public readonly bool AtEnd => _partsLeft == 0 && _itemsLeft == 0 && _reader.AtEnd;

    /// <summary>
    /// Walks the rest of the body without moving this reader: true where every part and item makes sense and nothing is left over. Whoever
    /// acts on a body asks this first, so that no half of a broken frame is applied.
    /// </summary>
    /// <param name="keys">How many keys its parts and items name, each time that they do: what acting on it costs, however few bytes it has.</param>
    public readonly bool IsWhole(out long keys)
    {
        DataRequestReader ahead = this;
        keys = 0;
        while (ahead.NextPart(out PartHeader part, out _, out _))
        {
            keys += part.Rows;
        }

        while (ahead.NextItem(out PullItem item, out _))
        {
            keys += item.Rows;
        }

        return ahead.AtEnd;
    }

    /// <summary>The offset of the next part or item in the body.</summary>
    public readonly int Position => _reader.Position;

    /// <summary>The next part, its keys and values as they are encoded.</summary>
    public bool NextPart(out PartHeader part, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values)
    {
        part = default;
        keys = default;
        values = default;
        if (_partsLeft == 0 || _reader.Failed)
        {
            return false;
        }

        _partsLeft--;
        part = PartHeader.Read(ref _reader);
        bool sound = part.Operation <= PartOperation.Function
            && part.KeyEncoding != KeyEncoding.OfPart
            && KeysFit(part.KeyEncoding, part.Rows, part.KeyBytes)
            && ValueEncodings.IsKnown(part.ValueEncoding)
            && part.ValueBytes >= 0
            && part.N > 0;
        if (!sound)
        {
            _reader.Fail();
            return false;
        }

        keys = Padded(part.KeyBytes);
        values = Padded(part.ValueBytes);
        return !_reader.Failed;
    }

    /// <summary>The next item, its keys as they are encoded.</summary>
    public bool NextItem(out PullItem item, out ReadOnlySpan<byte> keys)
    {
        item = default;
        keys = default;
        if (_itemsLeft == 0 || _partsLeft > 0 || _reader.Failed)
        {
            return false;
        }

        _itemsLeft--;
        item = PullItem.Read(ref _reader);
        bool sound = item.DelayBound >= PullItem.NoBound
            && (item.Takes & ValueFilters.Lossy) != ValueFilters.Lossy
            && (item.KeyEncoding == KeyEncoding.OfPart ? item.Reduction.Kind == ReductionKind.None && NamesPart(item) : KeysFit(item.KeyEncoding, item.Rows, item.KeyBytes));
        if (!sound)
        {
            _reader.Fail();
            return false;
        }

        if (item.KeyEncoding != KeyEncoding.OfPart)
        {
            keys = Padded(item.KeyBytes);
        }

        return !_reader.Failed;
    }

    // Items name parts in the parts' order, and none twice: so they make their receiver read no more keys than the parts have.
    private bool NamesPart(in PullItem item)
    {
        if (item.KeyBytes < _nextNamed || item.KeyBytes >= Parts)
        {
            return false;
        }

        PartHeader part = default;
        for (; _nextNamed <= item.KeyBytes; _nextNamed++)
        {
            part = PartHeader.Read(ref _named);
            _named.Take(PartHeader.Pad8(part.KeyBytes) + PartHeader.Pad8(part.ValueBytes));
        }

        return item.Rows == part.Rows;
    }

    // However short they are written, a frame names no more keys than fit one: what a frame makes its receiver do is bounded (design R25).
    private bool KeysFit(KeyEncoding encoding, int rows, int keyBytes)
    {
        _keysLeft -= rows;
        return rows >= 0 && _keysLeft >= 0 && keyBytes >= 0 && encoding switch
        {
            KeyEncoding.Raw => keyBytes == (long)rows * sizeof(ulong),
            KeyEncoding.PackedDelta or KeyEncoding.Packed => keyBytes < (long)rows * sizeof(ulong),
            KeyEncoding.Cached => keyBytes == KeyList.ReferenceBytes,
            _ => false,
        };
    }

    private ReadOnlySpan<byte> Padded(int bytes)
    {
        ReadOnlySpan<byte> taken = _reader.Take(bytes);
        _reader.SkipPadTo8();
        return taken;
    }
}
