using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Weir.Wire;

/// <summary>
/// Floats of two bytes: the upper half of an IEEE single, that is the same exponents with 8 bits of precision. Which of its two neighbours
/// a float becomes is drawn by how near it lies to each (stochastic rounding: Gupta et al. 2015, Deep Learning with Limited Numerical
/// Precision), so that the expectation of what is read is what was written; it differs by less than 2^-7 of it, for numbers below 2^-126
/// by less than 2^-133. What the upper half says exactly stays as it is. Above the largest one (3.3895e38) every finite float becomes that one:
/// there alone the rounding is not unbiased, since the neighbour above is infinite.
/// </summary>
internal static class BFloat16Values
{
    private const int Size = sizeof(ushort);
    private const uint Exponent = 0x7F80_0000;

    /// <summary>The bytes of so many floats.</summary>
    public static int Bytes(int floats) => floats * Size;

    /// <summary>Writes finite floats over themselves, from the front.</summary>
    public static void Write(Span<float> values, RoundingBits random)
    {
        Span<uint> from = MemoryMarshal.Cast<float, uint>(values);
        Span<ushort> to = MemoryMarshal.Cast<float, ushort>(values);
        int at = 0;
        for (; at <= from.Length - Vector256<ushort>.Count; at += Vector256<ushort>.Count)
        {
            Vector256<uint> lower = Round(Vector256.Create<uint>(from[at..]), random.EightAt(at));
            Vector256<uint> upper = Round(Vector256.Create<uint>(from[(at + Vector256<uint>.Count)..]), random.EightAt(at + Vector256<uint>.Count));

            // Two bytes are written for each four that were read: what is still to be read stands behind them.
            Vector256.Narrow(lower, upper).CopyTo(to[at..]);
        }

        for (; at < from.Length; at++)
        {
            uint rounded = from[at] + (random.At(at) >> 16);
            to[at] = (ushort)(((rounded & Exponent) == Exponent ? from[at] : rounded) >> 16);
        }
    }

    /// <summary>Reads foreign bytes; false where they are not as many as the floats take. What is read may be infinite or not a number.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, Span<float> values)
    {
        if (bytes.Length != Bytes(values.Length))
        {
            return false;
        }

        ReadOnlySpan<ushort> from = MemoryMarshal.Cast<byte, ushort>(bytes);
        Span<uint> to = MemoryMarshal.Cast<float, uint>(values);
        int at = 0;
        for (; at <= from.Length - Vector256<ushort>.Count; at += Vector256<ushort>.Count)
        {
            (Vector256<uint> lower, Vector256<uint> upper) = Vector256.Widen(Vector256.Create<ushort>(from[at..]));
            (lower << 16).CopyTo(to[at..]);
            (upper << 16).CopyTo(to[(at + Vector256<uint>.Count)..]);
        }

        for (; at < from.Length; at++)
        {
            to[at] = (uint)from[at] << 16;
        }

        return true;
    }

    // A carry out of the lower half comes as often as that half says how near the neighbour above is.
    private static Vector256<uint> Round(Vector256<uint> bits, Vector256<uint> random)
    {
        Vector256<uint> rounded = bits + (random >>> 16);
        Vector256<uint> exponent = Vector256.Create(Exponent);
        return Vector256.ConditionalSelect(Vector256.Equals(rounded & exponent, exponent), bits, rounded) >>> 16;
    }
}
