using System.Buffers;
using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Weir.Wire;

/// <summary>
/// Floats of which many are zero: those that are not, packed and padded to 8 bytes, then one bit for each float in words of 64, the lowest
/// first, set where it is not zero. Zero is the float whose bits are all 0: -0.0 and every NaN come back as they went in.
/// </summary>
internal static class ZeroBitmap
{
    private const int BitsAWord = 64;
    private const int Samples = 64;

    /// <summary>Zeros among the samples without which the whole is not looked at: what a sixteenth of zeros saves is hardly worth it.</summary>
    private const int FewestZeros = Samples / 16;

    /// <summary>Words of the bitmap of so many floats.</summary>
    public static int Words(int floats) => (floats + BitsAWord - 1) / BitsAWord;

    /// <summary>Whether a look at some of the floats says that the others are worth one.</summary>
    public static bool MayBeSparse(ReadOnlySpan<float> values) => MayBeSparse(MemoryMarshal.Cast<float, uint>(values));

    /// <summary>Sets the bits of what is not zero, in <see cref="Words"/> words; gives how many.</summary>
    public static int Mark(ReadOnlySpan<float> values, Span<ulong> bitmap) => Mark(MemoryMarshal.Cast<float, uint>(values), bitmap);

    /// <summary>Moves the floats whose bits are set to the front, in their order; gives how many.</summary>
    public static int Pack(Span<float> values, ReadOnlySpan<ulong> bitmap) => Pack(MemoryMarshal.Cast<float, uint>(values), bitmap);

    /// <summary>Reads foreign bytes as <paramref name="values"/>, as many as the part or piece has; false where they make no sense.</summary>
    /// <param name="numbers">How the floats that are not zero are written.</param>
    /// <param name="bytes">What came.</param>
    /// <param name="values">Where they go.</param>
    public static bool TryRead(ValueEncoding numbers, ReadOnlySpan<byte> bytes, Span<float> values)
    {
        int words = Words(values.Length);
        int packedBytes = bytes.Length - (words * sizeof(ulong));
        if (packedBytes < 0 || packedBytes % sizeof(ulong) != 0)
        {
            return false;
        }

        ReadOnlySpan<ulong> bitmap = MemoryMarshal.Cast<byte, ulong>(bytes[packedBytes..]);
        int kept = 0;
        foreach (ulong word in bitmap)
        {
            kept += BitOperations.PopCount(word);
        }

        int inLast = values.Length % BitsAWord;
        bool beyond = inLast > 0 && bitmap[^1] >> inLast != 0;
        int keptBytes = ValueEncodings.Bytes(numbers, kept);
        if (beyond || PartHeader.Pad8(keptBytes) != packedBytes)
        {
            return false;
        }

        if (numbers == ValueEncoding.Raw)
        {
            Unpack(MemoryMarshal.Cast<byte, uint>(bytes[..packedBytes]), bitmap, MemoryMarshal.Cast<float, uint>(values));
            return true;
        }

        float[] rented = ArrayPool<float>.Shared.Rent(kept);
        Span<float> packed = rented.AsSpan(0, kept);
        bool read = ValueEncodings.TryRead(numbers, bytes[..keptBytes], packed);
        Unpack(MemoryMarshal.Cast<float, uint>(packed), bitmap, MemoryMarshal.Cast<float, uint>(values));
        ArrayPool<float>.Shared.Return(rented);
        return read;
    }

    private static bool MayBeSparse(ReadOnlySpan<uint> floats)
    {
        if (floats.Length <= Samples)
        {
            return floats.Contains(0u);
        }

        // An odd step, so that rows of zeros and of others do not meet it always at the same place.
        int step = ((floats.Length / Samples) - 1) | 1;
        int zeros = 0;
        for (int i = 0, at = 0; i < Samples; i++, at += step)
        {
            zeros += floats[at] == 0 ? 1 : 0;
        }

        return zeros >= FewestZeros;
    }

    /// <summary>Sets the bits of what is not zero; gives how many.</summary>
    private static int Mark(ReadOnlySpan<uint> floats, Span<ulong> bitmap)
    {
        int kept = 0;
        for (int w = 0; w < bitmap.Length; w++)
        {
            ReadOnlySpan<uint> group = floats.Slice(w * BitsAWord, Math.Min(BitsAWord, floats.Length - (w * BitsAWord)));
            ulong word = 0;
            int at = 0;
            for (; at <= group.Length - Vector256<uint>.Count; at += Vector256<uint>.Count)
            {
                uint zeros = Vector256.Equals(Vector256.Create(group.Slice(at, Vector256<uint>.Count)), Vector256<uint>.Zero).ExtractMostSignificantBits();
                word |= (ulong)(~zeros & 0xFF) << at;
            }

            for (; at < group.Length; at++)
            {
                word |= (group[at] == 0 ? 0UL : 1UL) << at;
            }

            bitmap[w] = word;
            kept += BitOperations.PopCount(word);
        }

        return kept;
    }

    private static int Pack(Span<uint> floats, ReadOnlySpan<ulong> bitmap)
    {
        int kept = 0;
        for (int w = 0; w < bitmap.Length; w++)
        {
            Span<uint> group = floats[(w * BitsAWord)..];
            if (bitmap[w] == ulong.MaxValue)
            {
                group[..BitsAWord].CopyTo(floats[kept..]);
                kept += BitsAWord;
                continue;
            }

            // The bits are of floats that are there, and as many as were counted: what a bounds check would say again for each.
            ref uint from = ref MemoryMarshal.GetReference(group);
            ref uint to = ref MemoryMarshal.GetReference(floats);
            for (ulong left = bitmap[w]; left != 0; left &= left - 1)
            {
                Unsafe.Add(ref to, kept++) = Unsafe.Add(ref from, BitOperations.TrailingZeroCount(left));
            }
        }

        return kept;
    }

    private static void Unpack(ReadOnlySpan<uint> packed, ReadOnlySpan<ulong> bitmap, Span<uint> floats)
    {
        floats.Clear();
        int kept = 0;
        for (int w = 0; w < bitmap.Length; w++)
        {
            Span<uint> group = floats[(w * BitsAWord)..];
            if (bitmap[w] == ulong.MaxValue)
            {
                packed.Slice(kept, BitsAWord).CopyTo(group);
                kept += BitsAWord;
                continue;
            }

            // No bit lies beyond the last float, and as many are packed as there are bits: that was looked at before.
            ref uint to = ref MemoryMarshal.GetReference(group);
            ref uint from = ref MemoryMarshal.GetReference(packed);
            for (ulong left = bitmap[w]; left != 0; left &= left - 1)
            {
                Unsafe.Add(ref to, BitOperations.TrailingZeroCount(left)) = Unsafe.Add(ref from, kept++);
            }
        }
    }
}
