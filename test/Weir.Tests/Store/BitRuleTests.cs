using System.Runtime.InteropServices;
using CsCheck;
using Weir.Client;
using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>The rules whose rows hold bits in place of floats, each against the plain operation on integers, sets or doubles.</summary>
public class BitRuleTests
{
    private static readonly Gen<double> Score =
        Gen.OneOf(Gen.Double[-1e9, 1e9], Gen.Int[0, 3].Select(i => new[] { 0, double.MaxValue, double.MinValue, double.Epsilon }[i]));

    [Fact]
    public void Count_adds_signed_64_bit_integers_and_wraps_around() =>
        Gen.Long.Array2D[Gen.Int[1, 6], Gen.Int[1, 40]].Sample(pushes =>
        {
            long[] model = Folded(pushes, (a, b) => unchecked(a + b));
            Assert.Equal(model, MemoryMarshal.Cast<float, long>(Applied(UpdateRule.Count, Rows(pushes).Select(Floats))).ToArray());
        });

    [Fact]
    public void Union_sets_bits_and_clears_none() =>
        Gen.ULong.Array2D[Gen.Int[1, 6], Gen.Int[1, 40]].Sample(pushes =>
        {
            ulong[] model = Folded(pushes, (a, b) => a | b);
            Assert.Equal(model, MemoryMarshal.Cast<float, ulong>(Applied(UpdateRule.Union, Rows(pushes).Select(Floats))).ToArray());
        });

    [Fact]
    public void Score_adds_in_double_precision_and_stops_at_the_largest_finite_number() =>
        Score.Array2D[Gen.Int[1, 6], Gen.Int[1, 40]].Sample(pushes =>
        {
            double[] model = Folded(pushes, (a, b) => Math.Clamp(a + b, double.MinValue, double.MaxValue));
            Assert.Equal(model, MemoryMarshal.Cast<float, double>(Applied(UpdateRule.Score, Rows(pushes).Select(Floats))).ToArray());
        });

    /// <summary>One push with a key several times is as that many pushes, though the client brings its rows together.</summary>
    [Fact]
    public void Rows_of_one_key_are_brought_together_as_the_rule_does() =>
        Gen.Select(Gen.Int[0, 2], Gen.Int[1, 30], Gen.Int[1, 9], Gen.ULong).Sample((which, count, distinct, seed) =>
        {
            UpdateRule rule = which switch { 0 => UpdateRule.Count, 1 => UpdateRule.Union, _ => UpdateRule.Score };
            var random = new Rng(seed);
            ulong[] keys = [.. Enumerable.Range(0, count).Select(_ => (ulong)random.Below(distinct))];
            float[][] rows = [.. keys.Select(_ => which == 2 ? Floats([random.NextDouble(), -random.NextDouble()]) : Floats([random.Next(), random.Next()]))];
            using KeySlices slices = KeySlices.Cut(keys);
            float[] gathered = new float[slices.Rows * 4];
            slices.GatherRows(rows.SelectMany(row => row).ToArray(), 4, rule, 0, slices.Rows, gathered);
            for (int row = 0; row < slices.Rows; row++)
            {
                IEnumerable<float[]> ofKey = keys.Zip(rows).Where(pair => pair.First == slices.Keys[row]).Select(pair => pair.Second);
                Assert.Equal(Applied(rule, ofKey).Select(BitConverter.SingleToInt32Bits), gathered.AsSpan(row * 4, 4).ToArray().Select(BitConverter.SingleToInt32Bits));
            }
        });

    /// <summary>The same arithmetic in runs of any length and where rows lie.</summary>
    [Theory]
    [InlineData(UpdateRuleKind.Count)]
    [InlineData(UpdateRuleKind.Score)]
    public void Rows_that_are_changed_where_they_lie_get_the_bits_of_a_run(UpdateRuleKind kind)
    {
        IUpdateRule rule = UpdateRules.Create(kind == UpdateRuleKind.Count ? UpdateRule.Count : UpdateRule.Score);
        Gen.Select(Gen.Int[1, 5], Gen.Double[-1e300, 1e300].Array[20], Gen.Double[-1e300, 1e300].Array[20]).Sample((vectors, values, pushes) =>
        {
            int width = vectors * Elementwise.Lanes;
            float[] run = Floats(values)[..width], inPlace = GC.AllocateArray<float>(width, pinned: true), pushed = Floats(pushes)[..width];
            run.CopyTo(inPlace, 0);
            rule.Apply(run, [], pushed, width);
            rule.RunInPlace(new RowAddresses([Marshal.UnsafeAddrOfPinnedArrayElement(inPlace, 0)], [0], 1), pushed, width, RowOperation.Update);
            Assert.Equal(run.Select(BitConverter.SingleToInt32Bits), inPlace.Select(BitConverter.SingleToInt32Bits));
        });
    }

    [Fact]
    public void A_row_of_bits_has_whole_numbers_and_begins_with_none_set()
    {
        Assert.Equal((false, false, true), (UpdateRule.Count.Fits(3), UpdateRule.Score.Fits(1), UpdateRule.Union.Fits(1)));
        Assert.Equal((true, false, false), (UpdateRule.Union.MayBeginWith(0), UpdateRule.Union.MayBeginWith(-0f), UpdateRule.Count.MayBeginWith(1)));
        Assert.Equal((true, false), (UpdateRule.Add.MayBeginWith(-0f), UpdateRule.Add.MayBeginWith(float.NaN)));
    }

    private static float[] Applied(UpdateRule spec, IEnumerable<float[]> pushes)
    {
        IUpdateRule rule = UpdateRules.Create(spec);
        float[][] all = [.. pushes];
        float[] row = new float[all[0].Length];
        foreach (float[] push in all)
        {
            rule.Apply(row, [], push, row.Length);
        }

        return row;
    }

    private static float[] Floats<T>(T[] numbers)
        where T : struct => MemoryMarshal.Cast<T, float>(numbers).ToArray();

    private static IEnumerable<T[]> Rows<T>(T[,] pushes) =>
        Enumerable.Range(0, pushes.GetLength(0)).Select(i => Enumerable.Range(0, pushes.GetLength(1)).Select(j => pushes[i, j]).ToArray());

    private static T[] Folded<T>(T[,] pushes, Func<T, T, T> join)
        where T : struct => Rows(pushes).Aggregate(new T[pushes.GetLength(1)], (sum, push) => [.. sum.Zip(push, join)]);
}
