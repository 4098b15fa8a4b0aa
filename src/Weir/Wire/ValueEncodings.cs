using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;
using Weir.Keys;

namespace Weir.Wire;

/// <summary>
/// Writes floats as short as the filters allow, and reads them: each part of a push and each piece of an answer by itself (Li et al., OSDI 2014,
/// section 3.6). Of equally long forms it takes the one that changes least, and none that is no shorter than the floats, padding included. Values of
/// which one is not finite are never rounded: the receiver sees them as they are, and refuses them where it refuses such values.
/// </summary>
internal static class ValueEncodings
{
    /// <summary>Floats of a piece of an answer that may be rounded.</summary>
    private const int PieceFloats = 4096;

    /// <summary>
    /// Rows of a piece of an answer that may be rounded: by width alone, not by what a frame has room for, so that the same rows asked for again by a
    /// redo, of however many servers, are rounded alike (design R21).
    /// </summary>
    public static int PieceRows(int width) => Math.Max(1, PieceFloats / width);

    /// <summary>Whether this release reads an encoding.</summary>
    public static bool IsKnown(ValueEncoding encoding) => (encoding & ~ValueEncoding.Lz4) <= ValueEncoding.Int8ZeroBitmap;

    /// <summary>The bytes of so many floats in a form without a bitmap.</summary>
    public static int Bytes(ValueEncoding numbers, int floats) => numbers switch
    {
        ValueEncoding.BFloat16 => BFloat16Values.Bytes(floats),
        ValueEncoding.Int8 => Int8Values.Bytes(floats),
        _ => floats * sizeof(float),
    };

    /// <summary>Writes the floats over themselves, from the front, in the shortest form.</summary>
    /// <param name="values">The floats.</param>
    /// <param name="filters">The forms that may be used.</param>
    /// <param name="seed">Of the rounding: the same floats with the same seed are written alike.</param>
    /// <param name="encoding">The form that was used.</param>
    /// <returns>The bytes that count now; all of them where nothing was changed.</returns>
    public static int Shrink(Span<float> values, ValueFilters filters, ulong seed, out ValueEncoding encoding)
    {
        int bytes = ShrinkFloats(values, filters, seed, out encoding);
        if ((filters & ValueFilters.Lz4) != 0 && Lz4Bytes.TryShrink(MemoryMarshal.AsBytes(values), bytes, out int shorter))
        {
            encoding |= ValueEncoding.Lz4;
            bytes = shorter;
        }

        return bytes;
    }

    private static int ShrinkFloats(Span<float> values, ValueFilters filters, ulong seed, out ValueEncoding encoding)
    {
        ValueEncoding numbers = (filters & ValueFilters.Int8) != 0 ? ValueEncoding.Int8
            : (filters & ValueFilters.BFloat16) != 0 ? ValueEncoding.BFloat16
            : ValueEncoding.Raw;
        numbers = numbers != ValueEncoding.Raw && AllFinite(values) ? numbers : ValueEncoding.Raw;
        encoding = Padded(numbers, values.Length) < Padded(ValueEncoding.Raw, values.Length) ? numbers : ValueEncoding.Raw;
        if ((filters & ValueFilters.ZeroBitmap) == 0 || !ZeroBitmap.MayBeSparse(values))
        {
            return WriteNumbers(values, encoding, seed);
        }

        int words = ZeroBitmap.Words(values.Length);
        ulong[] rented = ArrayPool<ulong>.Shared.Rent(words);
        Span<ulong> bitmap = rented.AsSpan(0, words);
        int kept = ZeroBitmap.Mark(values, bitmap);
        ValueEncoding ofKept = Padded(numbers, kept) < Padded(ValueEncoding.Raw, kept) ? numbers : ValueEncoding.Raw;
        int sparse = Padded(ofKept, kept) + (words * sizeof(ulong));
        int dense = Padded(encoding, values.Length);

        // Exact where that is as short: a bitmap of floats as they are in place of floats that were rounded.
        bool usesBitmap = sparse < dense || (sparse == dense && ofKept < encoding);
        encoding = usesBitmap ? ofKept | ValueEncoding.ZeroBitmap : encoding;
        int bytes = usesBitmap ? WriteSparse(values, bitmap, ofKept, seed) : WriteNumbers(values, encoding, seed);
        ArrayPool<ulong>.Shared.Return(rented);
        return bytes;
    }

    /// <summary>Reads foreign bytes as <paramref name="values"/>, as many as the part or piece has; false where they make no sense.</summary>
    public static bool TryRead(ValueEncoding encoding, ReadOnlySpan<byte> bytes, Span<float> values)
    {
        if ((encoding & ValueEncoding.Lz4) != 0)
        {
            return TryReadBlock(encoding & ~ValueEncoding.Lz4, bytes, values);
        }

        ValueEncoding numbers = encoding & ~ValueEncoding.ZeroBitmap;
        if (numbers != encoding)
        {
            return ZeroBitmap.TryRead(numbers, bytes, values);
        }

        switch (numbers)
        {
            case ValueEncoding.BFloat16:
                return BFloat16Values.TryRead(bytes, values);
            case ValueEncoding.Int8:
                return Int8Values.TryRead(bytes, values);
            default:
                bool fits = bytes.Length == values.Length * sizeof(float);
                if (fits)
                {
                    bytes.CopyTo(MemoryMarshal.AsBytes(values));
                }

                return fits;
        }
    }

    /// <summary>Whether a table of the rule may be given the values: floats are finite, doubles are too, and any other bits are bits.</summary>
    public static bool AreLegal(UpdateRule rule, ReadOnlySpan<float> values) => rule.Kind switch
    {
        UpdateRuleKind.Score => AllFiniteDoubles(MemoryMarshal.Cast<float, double>(values)),
        _ => rule.HoldsBits || AllFinite(values),
    };

    /// <summary>Whether every float is a finite number.</summary>
    public static bool AllFinite(ReadOnlySpan<float> values)
    {
        // x * 0 is 0 for finite x and NaN otherwise; the sum of products is 0 only where all are finite.
        int at = 0;
        if (Vector.IsHardwareAccelerated)
        {
            var sum = Vector<float>.Zero;
            for (; at <= values.Length - Vector<float>.Count; at += Vector<float>.Count)
            {
                sum += new Vector<float>(values[at..]) * 0f;
            }

            if (Vector.Sum(sum) != 0)
            {
                return false;
            }
        }

        for (; at < values.Length; at++)
        {
            if (!float.IsFinite(values[at]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Of what a peer says comes out of a block no more is believed than the other forms take for so many floats.</summary>
    private static bool TryReadBlock(ValueEncoding within, ReadOnlySpan<byte> bytes, Span<float> values)
    {
        int most = (values.Length * sizeof(float)) + ((ZeroBitmap.Words(values.Length) + 1) * sizeof(ulong)), length = Lz4Bytes.BytesWithin(bytes);
        if (length < 0 || length > most)
        {
            return false;
        }

        // As words, which a bitmap is read as.
        ulong[] rented = ArrayPool<ulong>.Shared.Rent((length + sizeof(ulong) - 1) / sizeof(ulong));
        Span<byte> block = MemoryMarshal.AsBytes(rented.AsSpan())[..length];
        bool isRead = Lz4Bytes.TryRead(bytes, block) && TryRead(within, block, values);
        ArrayPool<ulong>.Shared.Return(rented);
        return isRead;
    }

    private static bool AllFiniteDoubles(ReadOnlySpan<double> values)
    {
        foreach (double value in values)
        {
            if (!double.IsFinite(value))
            {
                return false;
            }
        }

        return true;
    }

    private static int Padded(ValueEncoding numbers, int floats) => PartHeader.Pad8(Bytes(numbers, floats));

    private static int WriteNumbers(Span<float> values, ValueEncoding numbers, ulong seed)
    {
        if (numbers == ValueEncoding.Int8)
        {
            Int8Values.Write(values, new RoundingBits(seed));
        }
        else if (numbers == ValueEncoding.BFloat16)
        {
            BFloat16Values.Write(values, new RoundingBits(seed));
        }

        return Bytes(numbers, values.Length);
    }

    private static int WriteSparse(Span<float> values, ReadOnlySpan<ulong> bitmap, ValueEncoding numbers, ulong seed)
    {
        int kept = ZeroBitmap.Pack(values, bitmap);
        Span<byte> bytes = MemoryMarshal.AsBytes(values);
        int written = WriteNumbers(values[..kept], numbers, seed);
        int padded = PartHeader.Pad8(written);
        bytes[written..padded].Clear();
        MemoryMarshal.AsBytes(bitmap).CopyTo(bytes[padded..]);
        return padded + (bitmap.Length * sizeof(ulong));
    }
}
