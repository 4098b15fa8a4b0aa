using CsCheck;
using Weir.Client;
using Weir.Keys;
using Weir.World;

namespace Weir.Tests.Client;

/// <summary>The cut of a call's keys against a plain stable sort.</summary>
public class KeySlicesTests
{
    /// <summary>Few keys many times, spread keys, and keys whose hashes are neighbours, so that they fall into one bucket of the sort.</summary>
    private static readonly Gen<ulong> AnyKey = Gen.Frequency(
        (3, Gen.ULong[0, 20]),
        (3, Gen.ULong),
        (3, Gen.ULong[0, 60].Select(i => Mix.Inverse(0xABCD_0000_0000_0000 + i))),
        (1, Gen.Int[0, 3].Select(i => new[] { 0UL, ulong.MaxValue, Mix.Inverse(0), Mix.Inverse(ulong.MaxValue) }[i])));

    private static readonly Gen<ulong[]> Keys = Gen.Frequency((8, AnyKey.Array[0, 300]), (1, AnyKey.Array[2000, 3000]));

    [Fact]
    public void Keys_are_distinct_in_the_order_of_their_hash_each_with_its_positions_in_call_order() =>
        Keys.Sample(keys => Check(keys), iter: 500);

    [Theory]
    [InlineData(25)]
    [InlineData(1000)]
    [InlineData(20_000)]
    public void Keys_chosen_to_fall_into_one_bucket_are_cut_right_and_not_in_quadratic_time(int count)
    {
        // All hashes share the top 32 bits; falling order is the worst for an insertion sort.
        ulong[] keys = [.. Enumerable.Range(0, count).Select(i => Mix.Inverse(0x1234_5678_0000_0000UL + (ulong)(count - i)))];
        Check(keys);
        Check([.. keys, .. keys]);
    }

    [Theory]
    [InlineData(8_191)]
    [InlineData(8_192)]
    [InlineData(16_383)]
    [InlineData(16_384)]
    [InlineData(60_000)]
    public void Spread_keys_with_repeats_are_cut_right_on_both_sides_of_the_coarse_pass(int count)
    {
        Rng rng = new((ulong)count);
        Check([.. Enumerable.Range(0, count).Select(_ => rng.Next() % (ulong)(count * 2L))]);
    }

    [Fact]
    public void One_key_many_times_is_one_row() => Check([.. Enumerable.Repeat(77UL, 5000)]);

    [Fact]
    public void No_keys_are_no_rows() => Check([]);

    [Fact]
    public void Segments_end_where_a_plain_scan_says() =>
        Gen.Select(Keys, Gen.Int[1, 12]).Sample(
            (keys, bits) =>
            {
                using var slices = KeySlices.Cut(keys);
                for (int row = 0; row < slices.Rows;)
                {
                    int end = slices.EndOfSegment(row, bits);
                    int segment = Mix.Segment(slices.Keys[row], bits);
                    Assert.All(slices.Keys[row..end], k => Assert.Equal(segment, Mix.Segment(k, bits)));
                    Assert.True(end == slices.Rows || Mix.Segment(slices.Keys[end], bits) > segment);
                    row = end;
                }
            },
            iter: 200);

    [Fact]
    public void Values_of_repeated_keys_are_summed_in_call_order_to_the_bit() =>
        Gen.Select(Gen.ULong[0, 6].Array[1, 60], Gen.Int[1, 5]).SelectMany((keys, width) =>
            Gen.Float[-1e6f, 1e6f].Array[keys.Length * width].Select(values => (keys, width, values))).Sample((keys, width, values) =>
        {
            using var slices = KeySlices.Cut(keys);
            float[] gathered = new float[slices.Rows * width];
            slices.GatherRows(values, width, UpdateRule.Add, 0, slices.Rows, gathered);
            Dictionary<ulong, float[]> sums = [];
            for (int i = 0; i < keys.Length; i++)
            {
                float[] row = values[(i * width)..((i + 1) * width)];
                sums[keys[i]] = sums.TryGetValue(keys[i], out float[]? sum) ? [.. sum.Zip(row, (a, b) => a + b)] : row;
            }

            Assert.Equal(slices.Keys.Take(slices.Rows).SelectMany(k => sums[k]), gathered);
            float[] scattered = new float[values.Length];
            slices.ScatterRows(gathered, width, 0, slices.Rows, scattered);
            Assert.Equal(keys.SelectMany(k => sums[k]), scattered);
            if (slices.Rows > 1)
            {
                float[] some = new float[width];
                slices.GatherRows(values, width, UpdateRule.Add, 1, 2, some);
                Assert.Equal(gathered[width..(2 * width)], some);
            }
        });

    [Fact]
    public void The_order_of_a_sum_is_the_call_s_and_not_another()
    {
        float[] values = [1e8f, 1f, -1e8f];
        using var slices = KeySlices.Cut([5, 5, 5]);
        float[] sum = new float[1];
        slices.GatherRows(values, 1, UpdateRule.Add, 0, 1, sum);
        Assert.Equal((1e8f + 1f) - 1e8f, sum[0]);
        Assert.NotEqual((1e8f - 1e8f) + 1f, sum[0]);
    }

    [Fact]
    public void Rows_of_any_width_are_gathered_and_scattered_as_plain_copies_do() =>
        Gen.Select(Gen.Int[1, 140], Gen.Int[1, 90]).Sample((width, count) =>
        {
            Rng rng = new((ulong)((width * 1000) + count));
            ulong[] keys = [.. Enumerable.Range(0, count).Select(_ => rng.Next())];
            float[] values = [.. Enumerable.Range(0, count * width).Select(i => (float)i)];
            using var slices = KeySlices.Cut(keys);
            float[] gathered = new float[values.Length];
            slices.GatherRows(values, width, UpdateRule.Add, 0, slices.Rows, gathered);
            Assert.Equal(
                slices.Keys.Take(slices.Rows).SelectMany(k => values.Skip(Array.IndexOf(keys, k) * width).Take(width)), gathered);
            float[] back = new float[values.Length];
            slices.ScatterRows(gathered, width, 0, slices.Rows, back);
            Assert.Equal(values, back);
        });

    [Fact]
    public void A_list_cut_before_is_found_again_and_one_that_differs_anywhere_is_not()
    {
        Rng rng = new(1);
        ulong[] keys = [.. Enumerable.Range(0, RecentCuts.SmallestKeys * 2).Select(_ => rng.Next())];
        var cuts = new RecentCuts();
        using KeySlices first = cuts.Cut(keys);
        using KeySlices again = cuts.Cut((ulong[])keys.Clone());
        Assert.Same(first, again);
        ulong[] other = (ulong[])keys.Clone();
        (other[10], other[700]) = (other[700], other[10]);
        using KeySlices swapped = cuts.Cut(other);
        Assert.NotSame(first, swapped);
        Assert.Equal(700, swapped.PositionsOf(Array.IndexOf(swapped.Keys, keys[10]))[0]);
        ulong[] repeated = (ulong[])keys.Clone();
        repeated[20] = repeated[30];
        using KeySlices once = cuts.Cut(repeated);
        using KeySlices twice = cuts.Cut((ulong[])repeated.Clone());
        Assert.Same(once, twice);
        Assert.Equal(keys.Length - 1, once.Rows);
        repeated[20] = keys[20];
        Assert.Equal(keys.Length, cuts.Cut(repeated).Rows);
    }

    [Fact]
    public void Cuts_of_many_threads_at_once_are_each_right()
    {
        ulong[][] lists = [.. Enumerable.Range(0, 12).Select(list => Enumerable.Range(0, 600).Select(i => (ulong)((list * 1000) + i)).ToArray())];
        var cuts = new RecentCuts();
        Parallel.For(0, 400, i =>
        {
            ulong[] keys = lists[i % lists.Length];
            using KeySlices slices = cuts.Cut(keys);
            Assert.Equal(keys.OrderBy(Mix.Of), slices.Keys.Take(slices.Rows));
        });
    }

    private static void Check(ulong[] keys)
    {
        using var slices = KeySlices.Cut(keys);
        (ulong Key, int[] Positions)[] expected = [.. keys.Select((key, position) => (key, position))
            .GroupBy(k => k.key, k => k.position)
            .OrderBy(g => Mix.Of(g.Key))
            .Select(g => (g.Key, g.ToArray()))];
        Assert.Equal(expected.Select(e => e.Key), slices.Keys.Take(slices.Rows));
        for (int row = 0; row < expected.Length; row++)
        {
            Assert.True(slices.PositionsOf(row).SequenceEqual(expected[row].Positions));
        }
    }
}
