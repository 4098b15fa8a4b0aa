using System.Buffers;
using System.Runtime.InteropServices;
using Weir.Keys;

namespace Weir.Wire;

/// <summary>
/// Key lists as numbers of equally many bits: one byte that says how many (0 to 56), then the numbers, the lowest bits of the lowest byte
/// first. The numbers are the keys themselves (<see cref="KeyEncoding.Packed"/>), short where keys are small, or what lies between each hash and
/// the one before it (<see cref="KeyEncoding.PackedDelta"/>), short where a segment has many: the hash spreads keys evenly, so that one
/// width fits all the gaps of a list within three bits of what each would need.
/// </summary>
internal static class PackedKeys
{
    /// <summary>The widest number.</summary>
    public const int MaxBits = PackedBits.MaxBits;

    private const int BitsSize = 1;

    /// <summary>The bytes of a list in either encoding.</summary>
    public static int Bytes(int keys, int bits) => BitsSize + PackedBits.Bytes(keys, bits);

    /// <summary>Writes the keys in the shortest form.</summary>
    /// <param name="keys">Keys of one segment, distinct, in the order of their hash.</param>
    /// <param name="range">The segment.</param>
    /// <param name="into">Room for the raw keys, 8 bytes each.</param>
    /// <param name="bytes">Bytes written.</param>
    public static KeyEncoding Write(ReadOnlySpan<ulong> keys, KeyRange range, Span<byte> into, out int bytes)
    {
        // Gaps are on the average as wide as this, so the widest is no narrower.
        int keyBits = PackedBits.BitsOf(Union(keys));
        int fewestGapBits = keys.IsEmpty ? 0 : PackedBits.BitsOf((Mix.Of(keys[^1]) - range.First + 1 - (ulong)keys.Length) / (ulong)keys.Length);
        if (keyBits <= fewestGapBits)
        {
            return Write(KeyEncoding.Packed, keys, keys, keyBits, into, out bytes);
        }

        ulong[] rented = ArrayPool<ulong>.Shared.Rent(keys.Length);
        Span<ulong> gaps = rented.AsSpan(0, keys.Length);
        int gapBits = fewestGapBits > MaxBits ? fewestGapBits : PackedBits.BitsOf(Gaps(keys, range, gaps));
        KeyEncoding written = keyBits <= gapBits
            ? Write(KeyEncoding.Packed, keys, keys, keyBits, into, out bytes)
            : Write(KeyEncoding.PackedDelta, keys, gaps, gapBits, into, out bytes);
        ArrayPool<ulong>.Shared.Return(rented);
        return written;
    }

    /// <summary>Reads foreign bytes into <paramref name="keys"/>, whose length the part or item named; false where they make no sense.</summary>
    public static bool TryReadPacked(ReadOnlySpan<byte> bytes, Span<ulong> keys)
    {
        if (!IsWhole(bytes, keys.Length))
        {
            return false;
        }

        PackedBits.Unpack(bytes[BitsSize..], bytes[0], keys);
        return true;
    }

    /// <summary>
    /// The same of gaps: what is read lies in the segment and rises in the order of its hash, or the answer is false.
    /// </summary>
    public static bool TryReadDelta(ReadOnlySpan<byte> bytes, KeyRange range, Span<ulong> keys)
    {
        if (!IsWhole(bytes, keys.Length))
        {
            return false;
        }

        PackedBits.Unpack(bytes[BitsSize..], bytes[0], keys);

        // Offsets from the segment's first hash: below 2^58, and a gap below 2^56 cannot carry a sound one beyond 64 bits unseen.
        ulong last = range.Last - range.First;
        ulong next = 0;
        bool inside = true;
        foreach (ref ulong key in keys)
        {
            ulong offset = next + key;
            inside &= offset <= last;
            next = offset + 1;
            key = range.First + offset;
        }

        Mix.Inverse(keys);
        return inside;
    }

    private static KeyEncoding Write(KeyEncoding encoding, ReadOnlySpan<ulong> keys, ReadOnlySpan<ulong> numbers, int bits, Span<byte> into, out int bytes)
    {
        bytes = keys.Length * sizeof(ulong);
        if (bits > MaxBits || PartHeader.Pad8(Bytes(keys.Length, bits)) >= bytes)
        {
            MemoryMarshal.AsBytes(keys).CopyTo(into);
            return KeyEncoding.Raw;
        }

        bytes = Bytes(keys.Length, bits);
        into[0] = (byte)bits;
        PackedBits.Pack(numbers, bits, into[BitsSize..bytes]);
        return encoding;
    }

    private static bool IsWhole(ReadOnlySpan<byte> bytes, int keys) =>
        bytes.Length > 0 && bytes[0] <= MaxBits && bytes.Length == Bytes(keys, bytes[0]);

    private static ulong Union(ReadOnlySpan<ulong> numbers)
    {
        ulong union = 0;
        foreach (ulong number in numbers)
        {
            union |= number;
        }

        return union;
    }

    /// <summary>What lies between each hash and the one before it, from the segment's first on; gives the union of their bits.</summary>
    private static ulong Gaps(ReadOnlySpan<ulong> keys, KeyRange range, Span<ulong> gaps)
    {
        Mix.Of(keys, gaps);
        ulong union = 0;
        ulong next = range.First;
        foreach (ref ulong gap in gaps)
        {
            ulong mixed = gap;
            gap -= next;
            union |= gap;
            next = mixed + 1;
        }

        return union;
    }
}
