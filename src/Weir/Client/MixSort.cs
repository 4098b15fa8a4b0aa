using System.Buffers;
using Weir.Keys;

namespace Weir.Client;

/// <summary>
/// Sorts hashed keys, which are evenly spread: by their top bits in one or two passes, then within buckets. Stable, so that repeated keys
/// stay in call order. Keys chosen to fall into one bucket cost a comparison sort and no more.
/// </summary>
internal static class MixSort
{
    private const int SmallBucket = 24;

    /// <summary>2^this keys with their places, 48 KB, are sorted within the first caches.</summary>
    private const int CachedBits = 12;

    /// <summary>Leaves the hashes of the keys in rising order, and beside each the position that its key came from.</summary>
    /// <param name="keys">Any keys.</param>
    /// <param name="mixed">As long as the keys: their hashes.</param>
    /// <param name="order">As long as the keys: their positions.</param>
    public static void Sort(ReadOnlySpan<ulong> keys, Span<ulong> mixed, Span<int> order)
    {
        int count = keys.Length;
        if (count <= SmallBucket)
        {
            for (int i = 0; i < count; i++)
            {
                mixed[i] = Mix.Of(keys[i]);
                order[i] = i;
            }

            Insert(mixed, order);
            return;
        }

        int[] counts = ArrayPool<int>.Shared.Rent((1 << (CachedBits + 1)) + 1);
        int bits = 31 - int.LeadingZeroCount(count);
        if (bits <= CachedBits + 1)
        {
            ulong[] unsorted = ArrayPool<ulong>.Shared.Rent(count);
            for (int i = 0; i < count; i++)
            {
                unsorted[i] = Mix.Of(keys[i]);
            }

            Distribute(unsorted.AsSpan(0, count), default, mixed, order, 0, bits, counts);
            ArrayPool<ulong>.Shared.Return(unsorted);
            ArrayPool<int>.Shared.Return(counts);
            return;
        }

        // The arrays outgrow the first caches: after a coarse pass each of its buckets is sorted within them.
        int coarse = Math.Min(bits - CachedBits, CachedBits);
        ulong[] coarseMixed = ArrayPool<ulong>.Shared.Rent(count);
        int[] coarseOrder = ArrayPool<int>.Shared.Rent(count);
        int[] ends = ArrayPool<int>.Shared.Rent((1 << coarse) + 1);
        Scatter(keys, coarseMixed, coarseOrder, ends, coarse);
        int from = 0;
        for (int bucket = 0; bucket < 1 << coarse; bucket++)
        {
            int length = ends[bucket] - from;
            int bucketBits = Math.Clamp(31 - int.LeadingZeroCount(length | 1), 1, CachedBits);
            Distribute(
                coarseMixed.AsSpan(from, length), coarseOrder.AsSpan(from, length), mixed.Slice(from, length), order.Slice(from, length), coarse, bucketBits, counts);
            from = ends[bucket];
        }

        ArrayPool<ulong>.Shared.Return(coarseMixed);
        ArrayPool<int>.Shared.Return(coarseOrder);
        ArrayPool<int>.Shared.Return(ends);
        ArrayPool<int>.Shared.Return(counts);
    }

    /// <summary>Deals keys to buckets by their top bits, in call order; leaves the end of each bucket.</summary>
    private static void Scatter(ReadOnlySpan<ulong> keys, ulong[] mixed, int[] order, int[] ends, int bits)
    {
        int shift = 64 - bits;
        ends.AsSpan(0, (1 << bits) + 1).Clear();
        foreach (ulong key in keys)
        {
            ends[(int)(Mix.Of(key) >> shift) + 1]++;
        }

        for (int bucket = 0; bucket < 1 << bits; bucket++)
        {
            ends[bucket + 1] += ends[bucket];
        }

        for (int i = 0; i < keys.Length; i++)
        {
            ulong mix = Mix.Of(keys[i]);
            int slot = ends[(int)(mix >> shift)]++;
            mixed[slot] = mix;
            order[slot] = i;
        }
    }

    /// <summary>
    /// Sorts what agrees in its first <paramref name="skip"/> bits: by the next bits in one pass, then each bucket. Without an order of its own
    /// the source stands in call order.
    /// </summary>
    private static void Distribute(ReadOnlySpan<ulong> source, ReadOnlySpan<int> sourceOrder, Span<ulong> mixed, Span<int> order, int skip, int bits, int[] counts)
    {
        Span<int> ends = counts.AsSpan(0, (1 << bits) + 1);
        ends.Clear();
        int shift = 64 - bits;
        foreach (ulong mix in source)
        {
            ends[(int)((mix << skip) >> shift) + 1]++;
        }

        int largest = 0;
        for (int bucket = 0; bucket < 1 << bits; bucket++)
        {
            largest = Math.Max(largest, ends[bucket + 1]);
            ends[bucket + 1] += ends[bucket];
        }

        for (int i = 0; i < source.Length; i++)
        {
            int slot = ends[(int)((source[i] << skip) >> shift)]++;
            mixed[slot] = source[i];
            order[slot] = sourceOrder.IsEmpty ? i : sourceOrder[i];
        }

        if (largest <= SmallBucket)
        {
            // Buckets follow each other in order, so one pass of insertion over all of them moves nothing across their borders.
            Insert(mixed, order);
            return;
        }

        // Each start has moved to the end of its bucket.
        int from = 0;
        for (int bucket = 0; bucket < 1 << bits; bucket++)
        {
            SortBucket(mixed[from..ends[bucket]], order[from..ends[bucket]]);
            from = ends[bucket];
        }
    }

    private static void SortBucket(Span<ulong> mixed, Span<int> order)
    {
        if (mixed.Length > SmallBucket)
        {
            (ulong Mix, int Order)[] pairs = new (ulong, int)[mixed.Length];
            for (int i = 0; i < pairs.Length; i++)
            {
                pairs[i] = (mixed[i], order[i]);
            }

            Array.Sort(pairs);
            for (int i = 0; i < pairs.Length; i++)
            {
                (mixed[i], order[i]) = pairs[i];
            }

            return;
        }

        Insert(mixed, order);
    }

    private static void Insert(Span<ulong> mixed, Span<int> order)
    {
        for (int i = 1; i < mixed.Length; i++)
        {
            ulong mix = mixed[i];
            if (mixed[i - 1] <= mix)
            {
                continue;
            }

            int position = order[i];
            int j = i - 1;
            for (; j >= 0 && mixed[j] > mix; j--)
            {
                mixed[j + 1] = mixed[j];
                order[j + 1] = order[j];
            }

            mixed[j + 1] = mix;
            order[j + 1] = position;
        }
    }
}
