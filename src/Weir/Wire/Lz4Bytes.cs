using System.Buffers;
using System.Buffers.Binary;
using K4os.Compression.LZ4;

namespace Weir.Wire;

/// <summary>
/// Bytes in the block format of LZ4 (Collet 2011), for values that the forms made for floats do not fit: rows that repeat, numbers of few digits. How many bytes come out (u32)
/// stands before the block. A general codec reads and writes at a fraction of the speed of the other forms, so that it pays on slow links alone.
/// </summary>
internal static class Lz4Bytes
{
    private const int Head = sizeof(uint);

    /// <summary>Fewer are never made shorter than they are with what stands before them.</summary>
    private const int FewestBytes = 64;

    /// <summary>Writes the first so many bytes over themselves as a block, where that is shorter, padding included.</summary>
    /// <param name="bytes">What may be written over.</param>
    /// <param name="used">The bytes that count; all others may hold anything.</param>
    /// <param name="shorter">The bytes that count now.</param>
    public static bool TryShrink(Span<byte> bytes, int used, out int shorter)
    {
        shorter = used;
        if (used < FewestBytes)
        {
            return false;
        }

        // What does not fit into eight bytes less is not worth its place.
        int room = PartHeader.Pad8(used) - sizeof(ulong) - Head;
        byte[] rented = ArrayPool<byte>.Shared.Rent(room);
        int written = LZ4Codec.Encode(bytes[..used], rented.AsSpan(0, room), LZ4Level.L00_FAST);
        if (written > 0)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(bytes, (uint)used);
            rented.AsSpan(0, written).CopyTo(bytes[Head..]);
            shorter = Head + written;
        }

        ArrayPool<byte>.Shared.Return(rented);
        return written > 0;
    }

    /// <summary>How many bytes come out of foreign ones; below 0 where they do not say.</summary>
    public static int BytesWithin(ReadOnlySpan<byte> bytes) => bytes.Length < Head ? -1 : (int)BinaryPrimitives.ReadUInt32LittleEndian(bytes);

    /// <summary>Reads foreign bytes; false where what comes out is not exactly so long.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, Span<byte> into) => LZ4Codec.Decode(bytes[Head..], into) == into.Length;
}
