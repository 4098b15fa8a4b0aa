using Weir.Structures;
using Weir.World;

namespace Weir.Tests.Structures;

/// <summary>What sets and sketches promise of their errors, measured without servers.</summary>
public class StructureShapeTests
{
    [Theory]
    [InlineData(1, 0.5)]
    [InlineData(7, 0.01)]
    [InlineData(100_000, 0.5)]
    [InlineData(100_000, 0.1)]
    [InlineData(100_000, 0.01)]
    [InlineData(100_000, 0.001)]
    [InlineData(20_000, 0.0005)]
    public void A_set_takes_for_members_as_many_others_as_it_says(int items, double rate)
    {
        SetShape shape = SetShape.For(items, rate);
        double said = shape.FalsePositiveRate(items);
        Assert.InRange(said, 0, rate);
        Assert.True(shape.FalsePositiveRate(2 * (long)items) > said);
        ulong[] bits = new ulong[shape.Blocks * 8];
        for (ulong item = 0; item < (ulong)items; item++)
        {
            shape.Add(item, bits.AsSpan((int)shape.BlockOf(item) * 8, 8));
        }

        const int Asked = 200_000;
        int taken = 0;
        for (ulong item = 0; item < Asked; item++)
        {
            taken += shape.Contains(item + (1UL << 40), bits.AsSpan((int)shape.BlockOf(item + (1UL << 40)) * 8, 8)) ? 1 : 0;
        }

        if (items > 1000)
        {
            // Five deviations of the draws, and the deviation of what is drawn from: the blocks' fill.
            Assert.Equal(said, taken / (double)Asked, (5 * Math.Sqrt(said / Asked)) + (0.05 * said));
        }
    }

    [Fact]
    public void A_set_is_smaller_where_more_errors_are_allowed_and_takes_the_memory_that_its_options_say()
    {
        ulong[] blocks = [.. new[] { 1e-6, 1e-5, 1e-4, 0.001, 0.01, 0.1, 0.5 }.Select(rate => SetShape.For(1_000_000, rate).Blocks)];
        Assert.Equal(blocks.OrderDescending(), blocks);
        Assert.InRange(SetShape.For(1_000_000, 0.01).Blocks * 512 / 1e6, 9.6, 11);
    }

    /// <summary>Items of which some have most of all counts, all equally many, or by Zipf's law: the bound holds for each.</summary>
    [Theory]
    [InlineData(0.01, 0.1)]
    [InlineData(0.01, 0.01)]
    [InlineData(0.001, 0.01)]
    [InlineData(0.01, 0.0001)]
    public void The_estimates_of_a_sketch_are_beyond_its_bound_no_more_often_than_it_says(double epsilon, double delta)
    {
        SketchShape shape = SketchShape.For(epsilon, delta);
        Assert.InRange(shape.Delta(epsilon), delta / 2, delta);
        const int Items = 20_000;
        foreach (Func<int, long> countOf in (Func<int, long>[])[_ => 1, i => 1_000_000 / (i + 1), i => i < 1.1 / epsilon ? 1_000_000 : 1, i => i < 0.9 / epsilon ? 1_000_000 : 1])
        {
            long[] counters = new long[shape.Rows * (ulong)shape.Counters];
            long all = 0;
            for (int i = 0; i < Items; i++)
            {
                shape.Add((ulong)i, countOf(i), Row(i));
                all += countOf(i);
            }

            int beyond = 0;
            for (int i = 0; i < 2 * Items; i++)
            {
                long exact = i < Items ? countOf(i) : 0, estimate = shape.Estimate((ulong)i, Row(i));
                Assert.True(estimate >= exact);
                beyond += estimate - exact > epsilon * all ? 1 : 0;
            }

            double deviation = Math.Sqrt(delta / (2 * Items));
            Assert.InRange(beyond / (2.0 * Items), 0, delta + (5 * deviation));

            Span<long> Row(int item) => counters.AsSpan((int)shape.RowOf((ulong)item) * shape.Counters, shape.Counters);
        }
    }

    [Fact]
    public void A_shape_is_the_same_wherever_it_is_computed_and_grows_with_what_is_asked_of_it()
    {
        Assert.Equal(SketchShape.For(0.001, 0.01), SketchShape.For(0.001, 0.01));
        Assert.True(SketchShape.For(0.0001, 0.01).Rows > SketchShape.For(0.001, 0.01).Rows);
        foreach (double delta in (double[])[1e-9, 1e-6, 1e-3, 0.5])
        {
            foreach (double epsilon in (double[])[1e-9, 1e-4, 0.5])
            {
                SketchShape shape = SketchShape.For(epsilon, delta);
                Assert.InRange(shape.Delta(epsilon), 0, delta);
                Assert.InRange(shape.Counters, 16, 64);
            }
        }
    }

    /// <summary>However the offers are divided and ordered.</summary>
    [Fact]
    public void The_highest_scores_are_those_of_the_sorted_list()
    {
        var random = new Rng(9);
        for (int round = 0; round < 100; round++)
        {
            (ulong Key, double Score)[] all = [.. Enumerable.Range(0, 50).Select(i => ((ulong)i, (double)random.Below(8))).OrderBy(_ => random.Next())];
            int most = 1 + random.Below(60);
            var whole = new Weir.Keys.HighestScores(most);
            var parts = new[] { new Weir.Keys.HighestScores(most), new Weir.Keys.HighestScores(most) };
            foreach ((ulong key, double score) in all)
            {
                whole.Offer(key, score);
                parts[key % 2].Offer(key, score);
            }

            foreach ((ulong key, double score) in parts[1].Descending())
            {
                parts[0].Offer(key, score);
            }

            (ulong, double)[] sorted = [.. all.OrderByDescending(one => one.Score).ThenBy(one => one.Key).Take(most)];
            Assert.Equal(sorted, whole.Descending());
            Assert.Equal(sorted, parts[0].Descending());
        }
    }
}
