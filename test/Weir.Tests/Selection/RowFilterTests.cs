using CsCheck;
using Weir.Selection;

namespace Weir.Tests.Selection;

/// <summary>Which rows filters choose (PS-26, PS-27, and top-k with error feedback).</summary>
public class RowFilterTests
{
    [Fact]
    public void PS26_a_row_is_significant_once_a_float_of_it_is_above_the_threshold()
    {
        float[] values = [0.5f, -0.5f, 0, 0.51f, -0.51f, 0, float.NaN, 0];
        Assert.Equal([RowChoice.Hold, RowChoice.Send, RowChoice.Send, RowChoice.Send], Choose(new SignificantRows(0.5f), 4, values));
        Assert.Equal([RowChoice.Hold, RowChoice.Send, RowChoice.Send, RowChoice.Send], Choose(new SignificantRows(0.5f, falls: true), 4, values, iteration: 1));
        Assert.Equal([RowChoice.Send, RowChoice.Send, RowChoice.Send, RowChoice.Send], Choose(new SignificantRows(0.5f, falls: true), 4, values, iteration: 2));
    }

    [Fact]
    public void PS27_a_row_that_is_skipped_by_chance_arrives_on_the_average()
    {
        const int Rows = 200, Iterations = 500;
        const float Chance = 0.3f;
        var filter = new RandomRows(Chance);
        double[] sums = new double[Rows];
        int sent = 0;
        for (int iteration = 1; iteration <= Iterations; iteration++)
        {
            float[] values = [.. Enumerable.Repeat(1f, Rows)], again = [.. values];
            RowChoice[] choices = Choose(filter, Rows, values, iteration);
            Assert.Equal(choices, Choose(new RandomRows(Chance), Rows, again, iteration));
            Assert.Equal(values, again);
            for (int row = 0; row < Rows; row++)
            {
                Assert.NotEqual(RowChoice.Hold, choices[row]);
                sums[row] += choices[row] == RowChoice.Send ? values[row] : 0;
                sent += choices[row] == RowChoice.Send ? 1 : 0;
            }
        }

        // Five standard deviations of a sum of draws that are 1/q with chance q.
        double deviation = 5 * Math.Sqrt(Iterations * (1 - Chance) / Chance);
        Assert.All(sums, sum => Assert.InRange(sum, Iterations - deviation, Iterations + deviation));
        Assert.InRange(sent / (double)(Rows * Iterations), Chance - 0.01, Chance + 0.01);
    }

    [Fact]
    public void Of_a_push_the_part_asked_for_goes_out_and_no_row_that_stays_is_larger() =>
        Gen.Select(Gen.Int[1, 60], Gen.Float[0.01f, 1], Gen.Int[-3, 3].Array[60]).Sample((rows, fraction, numbers) =>
        {
            float[] values = [.. numbers.Take(rows).Select(n => (float)n)];
            RowChoice[] choices = Choose(new LargestRows(fraction), rows, values);
            float[] sent = [.. values.Where((_, row) => choices[row] == RowChoice.Send).Select(MathF.Abs)], held = [.. values.Where((_, row) => choices[row] == RowChoice.Hold).Select(MathF.Abs)];
            Assert.Equal(Math.Max(1, (int)MathF.Ceiling(fraction * rows)), sent.Length);
            Assert.Equal(rows, sent.Length + held.Length);
            Assert.True(held.Length == 0 || sent.Min() >= held.Max());
        });

    [Fact]
    public void A_row_that_is_not_a_number_is_among_the_largest() =>
        Assert.Equal([RowChoice.Hold, RowChoice.Send, RowChoice.Hold], Choose(new LargestRows(0.3f), 3, [5, float.NaN, 7]));

    [Fact]
    public void A_filter_with_a_number_out_of_its_range_is_refused()
    {
        Assert.All((float[])[0, -1, float.NaN, float.PositiveInfinity], threshold => Assert.Throws<ArgumentOutOfRangeException>(() => new SignificantRows(threshold)));
        Assert.All((float[])[0, -1, 1.01f, float.NaN], part => Assert.Throws<ArgumentOutOfRangeException>(() => new RandomRows(part)));
        Assert.All((float[])[0, -1, 1.01f, float.NaN], part => Assert.Throws<ArgumentOutOfRangeException>(() => new LargestRows(part)));
    }

    private static RowChoice[] Choose(RowFilter filter, int rows, float[] values, long iteration = 1)
    {
        var choices = new RowChoice[rows];
        ulong[] keys = [.. Enumerable.Range(0, rows).Select(row => (ulong)row)];
        filter.Choose(new PushedRows { Worker = 0, Iteration = iteration, Push = 0, Width = values.Length / rows, Keys = keys, Values = values }, choices);
        return choices;
    }
}
