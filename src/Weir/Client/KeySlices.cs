using System.Buffers;
using Weir.Keys;

namespace Weir.Client;

/// <summary>
/// A call's keys in Mix order, distinct, with where each came from: the order in which segments, pieces, parts and frames are cut. Arrays
/// are pooled; <see cref="Dispose"/> gives them back.
/// </summary>
internal sealed class KeySlices : IDisposable
{
    private const int SmallBucket = 24;

    /// <summary>2^this keys with their places, 48 KB, are sorted within the first caches.</summary>
    private const int CachedBits = 12;

    private int[] _order;
    private int[] _firstOfRow;

    private KeySlices(int keys)
    {
        Keys = ArrayPool<ulong>.Shared.Rent(Math.Max(1, keys));
        _order = ArrayPool<int>.Shared.Rent(Math.Max(1, keys));
        _firstOfRow = ArrayPool<int>.Shared.Rent(keys + 1);
    }

    /// <summary>The distinct keys, in Mix order; only the first <see cref="Rows"/> count.</summary>
    public ulong[] Keys { get; private set; }

    /// <summary>Distinct keys.</summary>
    public int Rows { get; private set; }

    /// <summary>The caller's positions of one row, in call order.</summary>
    public ReadOnlySpan<int> Positions(int row) => _order.AsSpan(_firstOfRow[row], _firstOfRow[row + 1] - _firstOfRow[row]);

    /// <summary>Sorts by bucket, as hashed keys are evenly spread; equal keys stay in call order, so that sums are the same every time.</summary>
    public static KeySlices Cut(ReadOnlySpan<ulong> keys)
    {
        int count = keys.Length;
        var slices = new KeySlices(count);
        ulong[] mixed = ArrayPool<ulong>.Shared.Rent(Math.Max(1, count));
        SortByMix(keys, mixed, slices._order);
        int rows = 0;
        for (int i = 0; i < count; i++)
        {
            if (i == 0 || mixed[i] != mixed[i - 1])
            {
                slices._firstOfRow[rows] = i;
                slices.Keys[rows] = Mix.Inverse(mixed[i]);
                rows++;
            }
        }

        slices._firstOfRow[rows] = count;
        slices.Rows = rows;
        ArrayPool<ulong>.Shared.Return(mixed);
        return slices;
    }

    /// <summary>The first row at or after <paramref name="from"/> that lies in another segment than it.</summary>
    public int EndOfSegment(int from, int segmentBits)
    {
        int segment = Mix.Segment(Keys[from], segmentBits);
        int to = from + 1;
        while (to < Rows && Mix.Segment(Keys[to], segmentBits) == segment)
        {
            to++;
        }

        return to;
    }

    /// <summary>Writes rows [from, to) of the caller's values, repeated keys summed in call order.</summary>
    public void GatherRows(ReadOnlySpan<float> values, int width, int from, int to, Span<float> into)
    {
        for (int row = from; row < to; row++)
        {
            ReadOnlySpan<int> positions = Positions(row);
            Span<float> sum = into.Slice((row - from) * width, width);
            values.Slice(positions[0] * width, width).CopyTo(sum);
            for (int p = 1; p < positions.Length; p++)
            {
                ReadOnlySpan<float> addend = values.Slice(positions[p] * width, width);
                for (int f = 0; f < width; f++)
                {
                    sum[f] += addend[f];
                }
            }
        }
    }

    public void Dispose()
    {
        ArrayPool<ulong>.Shared.Return(Keys);
        ArrayPool<int>.Shared.Return(_order);
        ArrayPool<int>.Shared.Return(_firstOfRow);
        Keys = [];
        _order = [];
        _firstOfRow = [];
    }

    // A stable counting sort on the top bits, then each bucket by itself. Keys chosen to fall into one bucket only cost a comparison sort.
    // Where the arrays outgrow the first caches, a coarse pass comes first: each of its buckets is then sorted within them.
    private static void SortByMix(ReadOnlySpan<ulong> keys, ulong[] mixed, int[] order)
    {
        int count = keys.Length;
        int[] counts = ArrayPool<int>.Shared.Rent((1 << (CachedBits + 1)) + 1);
        int bits = Math.Max(1, 31 - int.LeadingZeroCount(count | 1));
        if (bits <= CachedBits + 1)
        {
            ulong[] unsorted = ArrayPool<ulong>.Shared.Rent(Math.Max(1, count));
            for (int i = 0; i < count; i++)
            {
                unsorted[i] = Mix.Of(keys[i]);
            }

            Distribute(unsorted.AsSpan(0, count), default, mixed.AsSpan(0, count), order.AsSpan(0, count), 0, bits, counts);
            ArrayPool<ulong>.Shared.Return(unsorted);
            ArrayPool<int>.Shared.Return(counts);
            return;
        }

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
                coarseMixed.AsSpan(from, length), coarseOrder.AsSpan(from, length), mixed.AsSpan(from, length), order.AsSpan(from, length), coarse, bucketBits, counts);
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
