using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Copies rows between the caller's order and the order of the wire. The caller's side is visited at random, so its rows are asked for some
/// way ahead; short rows are copied in place, as a call costs more than their bytes.
/// </summary>
internal static unsafe class RowCopies
{
    // Above this a row's bytes outweigh the call that copies them.
    private const int InlineFloats = 64;

    /// <summary>packed[i] = rows[positions[i]], in rows of <paramref name="width"/> floats.</summary>
    public static void Gather(ReadOnlySpan<float> rows, int width, ReadOnlySpan<int> positions, Span<float> packed)
    {
        packed = packed[..(positions.Length * width)];
        fixed (float* from = rows, to = packed)
        {
            if (width == 1)
            {
                for (int i = 0; i < positions.Length; i++)
                {
                    to[i] = from[positions[i]];
                }

                return;
            }

            for (int i = 0; i < positions.Length; i++)
            {
                if (i + Prefetch.RowDistance < positions.Length)
                {
                    Prefetch.Row((byte*)(from + ((long)positions[i + Prefetch.RowDistance] * width)), width * sizeof(float));
                }

                Copy(from + ((long)positions[i] * width), to + ((long)i * width), width);
            }
        }
    }

    /// <summary>rows[positions[i]] = packed[i], in rows of <paramref name="width"/> floats.</summary>
    public static void Scatter(ReadOnlySpan<float> packed, int width, ReadOnlySpan<int> positions, Span<float> rows)
    {
        packed = packed[..(positions.Length * width)];
        fixed (float* from = packed, to = rows)
        {
            if (width == 1)
            {
                for (int i = 0; i < positions.Length; i++)
                {
                    to[positions[i]] = from[i];
                }

                return;
            }

            for (int i = 0; i < positions.Length; i++)
            {
                if (i + Prefetch.RowDistance < positions.Length)
                {
                    Prefetch.Row((byte*)(to + ((long)positions[i + Prefetch.RowDistance] * width)), width * sizeof(float));
                }

                Copy(from + ((long)i * width), to + ((long)positions[i] * width), width);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(float* from, float* to, int floats)
    {
        if (floats > InlineFloats)
        {
            Buffer.MemoryCopy(from, to, (long)floats * sizeof(float), (long)floats * sizeof(float));
            return;
        }

        int at = 0;
        for (; at <= floats - Vector256<float>.Count; at += Vector256<float>.Count)
        {
            Vector256.Load(from + at).Store(to + at);
        }

        for (; at < floats; at++)
        {
            to[at] = from[at];
        }
    }
}
