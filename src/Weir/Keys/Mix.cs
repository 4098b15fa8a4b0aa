using System.IO.Hashing;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weir.Keys;

/// <summary>
/// The one hash of Weir. Placement, segments, the store's index and scans all order keys by <c>Of</c>. It is a bijection on 64-bit
/// numbers (the finalizer of splitmix64, Steele, Lea and Flood 2014), so distinct keys never collide, every key is legal, and a scan's
/// cursor in hash order can be turned back into a key.
/// </summary>
internal static class Mix
{
    /// <summary>The place of a key in the hashed key space. The top bits pick the segment, the low bits the index slot.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Of(ulong key)
    {
        ulong z = key + 0x9E3779B97F4A7C15UL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }

    /// <summary>The places of many keys, in the keys' order; <paramref name="mixed"/> is as long as they are.</summary>
    public static void Of(ReadOnlySpan<ulong> keys, Span<ulong> mixed)
    {
        int at = 0;
        for (; at <= keys.Length - Vector256<ulong>.Count; at += Vector256<ulong>.Count)
        {
            Vector256<ulong> z = Vector256.Create(keys[at..]) + Vector256.Create(0x9E3779B97F4A7C15UL);
            z = (z ^ (z >>> 30)) * Vector256.Create(0xBF58476D1CE4E5B9UL);
            z = (z ^ (z >>> 27)) * Vector256.Create(0x94D049BB133111EBUL);
            (z ^ (z >>> 31)).CopyTo(mixed[at..]);
        }

        for (; at < keys.Length; at++)
        {
            mixed[at] = Of(keys[at]);
        }
    }

    /// <summary>Turns places into their keys, each where it stands.</summary>
    public static void Inverse(Span<ulong> mixed)
    {
        int at = 0;
        for (; at <= mixed.Length - Vector256<ulong>.Count; at += Vector256<ulong>.Count)
        {
            Vector256<ulong> z = Vector256.Create<ulong>(mixed[at..]);
            z = (z ^ (z >>> 31) ^ (z >>> 62)) * Vector256.Create(0x319642B2D24D8EC3UL);
            z = (z ^ (z >>> 27) ^ (z >>> 54)) * Vector256.Create(0x96DE1B173F119089UL);
            z = (z ^ (z >>> 30) ^ (z >>> 60)) - Vector256.Create(0x9E3779B97F4A7C15UL);
            z.CopyTo(mixed[at..]);
        }

        for (; at < mixed.Length; at++)
        {
            mixed[at] = Inverse(mixed[at]);
        }
    }

    /// <summary>The key whose <see cref="Of(ulong)"/> is <paramref name="mixed"/>.</summary>
    public static ulong Inverse(ulong mixed)
    {
        ulong z = mixed ^ (mixed >> 31) ^ (mixed >> 62);
        z *= 0x319642B2D24D8EC3UL;
        z = z ^ (z >> 27) ^ (z >> 54);
        z *= 0x96DE1B173F119089UL;
        z = z ^ (z >> 30) ^ (z >> 60);
        return z - 0x9E3779B97F4A7C15UL;
    }

    /// <summary>A hash of a number from the independent family that <paramref name="seed"/> names.</summary>
    public static ulong Of(ulong value, ulong seed) => Of(Of(value ^ Of(seed)) + seed);

    /// <summary>A 64-bit hash of bytes (XxHash3), for names and feature strings.</summary>
    public static ulong Of(ReadOnlySpan<byte> bytes, ulong seed = 0) => XxHash3.HashToUInt64(bytes, (long)seed);

    /// <summary>The segment of a key among 2^<paramref name="segmentBits"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static int Segment(ulong key, int segmentBits) => (int)(Of(key) >> (64 - segmentBits));
}
