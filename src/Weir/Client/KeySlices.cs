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
                slices.Keys[rows] = keys[slices._order[i]];
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
    private static void SortByMix(ReadOnlySpan<ulong> keys, ulong[] mixed, int[] order)
    {
        int count = keys.Length;
        int bits = Math.Clamp(32 - int.LeadingZeroCount(count), 1, 16);
        int[] starts = ArrayPool<int>.Shared.Rent((1 << bits) + 1);
        starts.AsSpan(0, (1 << bits) + 1).Clear();
        foreach (ulong key in keys)
        {
            starts[(int)(Mix.Of(key) >> (64 - bits)) + 1]++;
        }

        for (int bucket = 0; bucket < 1 << bits; bucket++)
        {
            starts[bucket + 1] += starts[bucket];
        }

        for (int i = 0; i < count; i++)
        {
            ulong mix = Mix.Of(keys[i]);
            int slot = starts[(int)(mix >> (64 - bits))]++;
            mixed[slot] = mix;
            order[slot] = i;
        }

        // Each start has moved to the end of its bucket.
        int from = 0;
        for (int bucket = 0; bucket < 1 << bits; bucket++)
        {
            int to = starts[bucket];
            SortBucket(mixed.AsSpan(from, to - from), order.AsSpan(from, to - from));
            from = to;
        }

        ArrayPool<int>.Shared.Return(starts);
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

        for (int i = 1; i < mixed.Length; i++)
        {
            ulong mix = mixed[i];
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
