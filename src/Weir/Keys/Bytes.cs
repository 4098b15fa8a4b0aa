using System.Buffers.Binary;
using System.Text;

namespace Weir.Keys;

/// <summary>Writes little-endian fields into a span. The caller knows the size beforehand; running over is a defect.</summary>
internal ref struct ByteWriter(Span<byte> bytes)
{
    private readonly Span<byte> _bytes = bytes;

    public int Position { get; private set; }

    public void Byte(byte value) => _bytes[Position++] = value;

    public void UInt16(ushort value) => BinaryPrimitives.WriteUInt16LittleEndian(Take(2), value);

    public void UInt32(uint value) => BinaryPrimitives.WriteUInt32LittleEndian(Take(4), value);

    public void Int32(int value) => BinaryPrimitives.WriteInt32LittleEndian(Take(4), value);

    public void UInt64(ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(Take(8), value);

    public void Int64(long value) => BinaryPrimitives.WriteInt64LittleEndian(Take(8), value);

    public void Single(float value) => BinaryPrimitives.WriteSingleLittleEndian(Take(4), value);

    public void Raw(ReadOnlySpan<byte> value) => value.CopyTo(Take(value.Length));

    /// <summary>UTF-8 with a 16-bit length before it; longer text is cut at 65,535 bytes.</summary>
    public void Text(string value)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(value);
        int length = Math.Min(utf8.Length, ushort.MaxValue);
        UInt16((ushort)length);
        Raw(utf8.AsSpan(0, length));
    }

    public Span<byte> Take(int count)
    {
        Span<byte> taken = _bytes.Slice(Position, count);
        Position += count;
        return taken;
    }

    public void PadTo8() => Take(-Position & 7).Clear();

    public static int TextBytes(string value) => 2 + Math.Min(Encoding.UTF8.GetByteCount(value), ushort.MaxValue);
}

/// <summary>
/// Reads little-endian fields from foreign bytes. It never throws and never reads past the end: a read that does not fit
/// sets <see cref="Failed"/> and gives zero, so that a parser checks once at the end of a fixed group.
/// </summary>
internal ref struct ByteReader(ReadOnlySpan<byte> bytes)
{
    private readonly ReadOnlySpan<byte> _bytes = bytes;

    public int Position { get; private set; }

    public bool Failed { get; private set; }

    public readonly int Left => _bytes.Length - Position;

    /// <summary>True where everything was read and nothing is left over.</summary>
    public readonly bool AtEnd => !Failed && Left == 0;

    public byte Byte() => Take(1) is { Length: 1 } b ? b[0] : (byte)0;

    public ushort UInt16() => Take(2) is { Length: 2 } b ? BinaryPrimitives.ReadUInt16LittleEndian(b) : (ushort)0;

    public uint UInt32() => Take(4) is { Length: 4 } b ? BinaryPrimitives.ReadUInt32LittleEndian(b) : 0;

    public int Int32() => Take(4) is { Length: 4 } b ? BinaryPrimitives.ReadInt32LittleEndian(b) : 0;

    public ulong UInt64() => Take(8) is { Length: 8 } b ? BinaryPrimitives.ReadUInt64LittleEndian(b) : 0;

    public long Int64() => Take(8) is { Length: 8 } b ? BinaryPrimitives.ReadInt64LittleEndian(b) : 0;

    public float Single() => Take(4) is { Length: 4 } b ? BinaryPrimitives.ReadSingleLittleEndian(b) : 0;

    /// <summary>A count of items to come, refused where even the smallest items would not fit in what is left.</summary>
    public int Count(int smallestItemBytes)
    {
        uint count = UInt32();
        if (count > (uint)(Left / Math.Max(1, smallestItemBytes)))
        {
            Fail();
            return 0;
        }

        return (int)count;
    }

    /// <summary>A status in one, four or eight bytes. One that this version does not know is refused: cut to a byte it would pass for another.</summary>
    public Status Status8() => StatusOf(Byte());

    public Status Status32() => StatusOf(UInt32());

    public Status Status64() => StatusOf(UInt64());

    public string Text()
    {
        ReadOnlySpan<byte> utf8 = Take(UInt16());
        return utf8.Length == 0 ? "" : Encoding.UTF8.GetString(utf8);
    }

    public ReadOnlySpan<byte> Take(int count)
    {
        if (Failed || count < 0 || count > Left)
        {
            Fail();
            return default;
        }

        ReadOnlySpan<byte> taken = _bytes.Slice(Position, count);
        Position += count;
        return taken;
    }

    public void SkipPadTo8() => Take(-Position & 7);

    private Status StatusOf(ulong number)
    {
        if (number > (ulong)Status.Malformed)
        {
            Fail();
            return Status.Malformed;
        }

        return (Status)number;
    }

    public void Fail()
    {
        Failed = true;
        Position = _bytes.Length;
    }
}
