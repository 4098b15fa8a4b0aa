using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Weir.Keys;

/// <summary>
/// Numbers of equally many bits one after the other, the lowest bits of the lowest byte first, without a head: how many there are and how wide
/// they are stands elsewhere. Pure functions.
/// </summary>
internal static class PackedBits
{
    /// <summary>The widest number: with what a byte has before it, it is still read and written as 8 bytes. Wider ones would save nothing.</summary>
    public const int MaxBits = 56;

    /// <summary>The bytes of <paramref name="count"/> numbers.</summary>
    public static int Bytes(int count, int bits) => (int)((((long)count * bits) + 7) / 8);

    /// <summary>The bits that a number takes, 0 for 0.</summary>
    public static int BitsOf(ulong number) => 64 - BitOperations.LeadingZeroCount(number);

    /// <summary>Writes numbers below 2^bits; <paramref name="into"/> has <see cref="Bytes"/> bytes.</summary>
    public static void Pack(ReadOnlySpan<ulong> numbers, int bits, Span<byte> into)
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

    /// <summary>Reads as many numbers as there is room for; <paramref name="packed"/> holds at least as many.</summary>
    public static void Unpack(ReadOnlySpan<byte> packed, int bits, Span<ulong> numbers)
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
            numbers[i] = At(packed, bits, i);
        }
    }

    /// <summary>One of the numbers; <paramref name="packed"/> holds it whole.</summary>
    public static ulong At(ReadOnlySpan<byte> packed, int bits, int index)
    {
        long at = (long)index * bits;
        ReadOnlySpan<byte> rest = packed[(int)(at >> 3)..];
        ulong word = 0;
        if (rest.Length >= sizeof(ulong))
        {
            word = MemoryMarshal.Read<ulong>(rest);
        }
        else
        {
            for (int b = 0; b < rest.Length; b++)
            {
                word |= (ulong)rest[b] << (8 * b);
            }
        }

        return (word >> (int)(at & 7)) & ((1UL << bits) - 1);
    }

    /// <summary>How many numbers, from the first, begin 8 bytes or more before the end: those may be read as whole words.</summary>
    private static int WholeWords(int bytes, int bits) => bytes < sizeof(ulong) ? 0 : bits == 0 ? int.MaxValue : ((((bytes - sizeof(ulong)) * 8) + 7) / bits) + 1;
}
