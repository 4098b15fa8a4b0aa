using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
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
    /// <summary>The widest number: with what a byte has before it, it is still read and written as 8 bytes. Wider ones would save nothing.</summary>
    public const int MaxBits = 56;

    private const int BitsSize = 1;

    /// <summary>The bytes of a list in either encoding.</summary>
    public static int Bytes(int keys, int bits) => BitsSize + (int)((((long)keys * bits) + 7) / 8);

    /// <summary>Writes the keys in the shortest form.</summary>
    /// <param name="keys">Keys of one segment, distinct, in the order of their hash.</param>
    /// <param name="range">The segment.</param>
    /// <param name="into">Room for the raw keys, 8 bytes each.</param>
    /// <param name="bytes">Bytes written.</param>
    public static KeyEncoding Write(ReadOnlySpan<ulong> keys, KeyRange range, Span<byte> into, out int bytes)
    {
        // Gaps are on the average as wide as this, so the widest is no narrower.
        int keyBits = BitsOf(Union(keys));
        int fewestGapBits = keys.IsEmpty ? 0 : BitsOf((Mix.Of(keys[^1]) - range.First + 1 - (ulong)keys.Length) / (ulong)keys.Length);
        if (keyBits <= fewestGapBits)
        {
            return Write(KeyEncoding.Packed, keys, keys, keyBits, into, out bytes);
        }

        ulong[] rented = ArrayPool<ulong>.Shared.Rent(keys.Length);
        Span<ulong> gaps = rented.AsSpan(0, keys.Length);
        int gapBits = fewestGapBits > MaxBits ? fewestGapBits : BitsOf(Gaps(keys, range, gaps));
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

        Unpack(bytes[BitsSize..], bytes[0], keys);
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

        Unpack(bytes[BitsSize..], bytes[0], keys);

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
        Pack(numbers, bits, into[BitsSize..bytes]);
        return encoding;
    }

    private static bool IsWhole(ReadOnlySpan<byte> bytes, int keys) =>
        bytes.Length > 0 && bytes[0] <= MaxBits && bytes.Length == Bytes(keys, bytes[0]);

    private static int BitsOf(ulong union) => 64 - BitOperations.LeadingZeroCount(union);

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

    private static void Pack(ReadOnlySpan<ulong> numbers, int bits, Span<byte> into)
    {
        ulong word = 0;
        int filled = 0;
        ref byte start = ref MemoryMarshal.GetReference(into);
        nint at = 0;
        foreach (ulong number in numbers)
        {
            word |= number << filled;
            filled += bits;
            if (filled >= 64)
            {
                // The words are whole: they lie within the bytes of all numbers.
                Unsafe.WriteUnaligned(ref Unsafe.Add(ref start, at), word);
                at += sizeof(ulong);
                filled -= 64;
                word = number >> (bits - filled);
            }
        }

        foreach (ref byte rest in into[(int)at..])
        {
            rest = (byte)word;
            word >>= 8;
        }
    }

    private static void Unpack(ReadOnlySpan<byte> packed, int bits, Span<ulong> numbers)
    {
        ref byte start = ref MemoryMarshal.GetReference(packed);
        ulong mask = (1UL << bits) - 1;
        int whole = Math.Min(numbers.Length, WholeWords(packed.Length, bits));
        long at = 0;
        for (int i = 0; i < whole; i++)
        {
            ulong word = Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref start, (nint)(at >> 3)));
            numbers[i] = (word >> (int)(at & 7)) & mask;
            at += bits;
        }

        for (int i = whole; i < numbers.Length; i++)
        {
            ulong word = 0;
            ReadOnlySpan<byte> rest = packed[(int)(at >> 3)..];
            for (int b = 0; b < rest.Length && b < sizeof(ulong); b++)
            {
                word |= (ulong)rest[b] << (8 * b);
            }

            numbers[i] = (word >> (int)(at & 7)) & mask;
            at += bits;
        }
    }

    /// <summary>How many numbers, from the first, begin 8 bytes or more before the end: those may be read as whole words.</summary>
    private static int WholeWords(int bytes, int bits) => bytes < sizeof(ulong) ? 0 : bits == 0 ? int.MaxValue : ((((bytes - sizeof(ulong)) * 8) + 7) / bits) + 1;
}
