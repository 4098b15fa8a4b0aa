using CsCheck;
using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>The proximal step in the norm of a pushed diagonal (Li et al. 2014, OSDI, algorithm 3), against its definition and against plain floats.</summary>
public class DiagonalProximalTests
{
    private const float Gamma = 0.25f, L1 = 0.3f, L2 = 0.5f;

    [Theory]
    [InlineData(L1, L2)]
    [InlineData(L1, 0f)]
    [InlineData(0f, L2)]
    [InlineData(0f, 0f)]
    public void The_step_is_the_minimum_that_defines_it(float l1, float l2)
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.DiagonalProximal(Gamma, l1, l2));
        Gen.Select(Gen.Float[-2, 2], Gen.Float[-2, 2], Gen.Float[0.1f, 4]).Sample((begin, gradient, curvature) =>
        {
            float[] row = [begin, 7];
            rule.Apply(row, [], [gradient, curvature], 2);
            double x = begin - (Gamma * (double)gradient / curvature);
            double Cost(double y) => (l1 * Math.Abs(y)) + (l2 / 2 * y * y) + ((x - y) * (x - y) * curvature / (2 * Gamma));
            foreach (double near in new[] { -0.1, -0.01, 0.01, 0.1 })
            {
                Assert.True(Cost(row[0]) < Cost(row[0] + near), $"{row[0]} from {begin} with {gradient}, {curvature}");
            }

            Assert.True(Math.Abs(x) > Gamma * l1 / curvature * 1.0001 || row[0] == 0, "weights below the threshold are exact zeros");
            Assert.Equal(7, row[1]);

            float[] kept = [begin, 7];
            UpdateRules.Create(UpdateRule.DiagonalProximal(Gamma, l1, l2, keepsGradient: true)).Apply(kept, [], [gradient, curvature], 2);
            Assert.Equal([row[0], gradient], kept);
        });
    }

    [Fact]
    public void Rows_of_any_even_width_get_the_bits_of_plain_floats_wherever_they_lie()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.DiagonalProximal(Gamma, L1, L2));
        foreach (int width in new[] { 2, 4, 6, 8, 16, 22 })
        {
            for (int rows = 1; rows <= 9; rows++)
            {
                Rng rng = new((ulong)((width * 10) + rows));
                float[] values = Random(rng, rows * width), expected = [.. values], inPlace = GC.AllocateArray<float>(width, pinned: true);
                values.AsSpan(0, width).CopyTo(inPlace);
                for (int step = 0; step < 10; step++)
                {
                    float[] pushed = Random(rng, rows * width);
                    rule.Apply(values, [], pushed, width);
                    for (int pair = 0; pair < expected.Length; pair += 2)
                    {
                        expected[pair] = Scalar(expected[pair], pushed[pair], pushed[pair + 1]);
                    }

                    if (rule.RunsInPlace(width))
                    {
                        nint address = System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(inPlace, 0);
                        rule.RunInPlace(new RowAddresses([address], [0], 1), pushed.AsSpan(0, width), width, RowOperation.Update);
                        Assert.Equal(expected.Take(width).Select(BitConverter.SingleToInt32Bits), inPlace.Select(BitConverter.SingleToInt32Bits));
                    }
                }

                Assert.Equal(expected.Select(BitConverter.SingleToInt32Bits), values.Select(BitConverter.SingleToInt32Bits));
            }
        }
    }

    [Fact]
    public void A_weight_without_curvature_stays()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.DiagonalProximal(Gamma, L1, L2));
        float[] row = [3, 0, 3, 0, 3, 0];
        rule.Apply(row, [], [1, 0, 1, -2, 0, 0], 2);
        Assert.Equal([3, 0, 3, 0, 3, 0], row);
    }

    [Fact]
    public void What_is_not_a_number_stays_so()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.DiagonalProximal(Gamma, L1, L2));
        float[] row = [3, 0, 3, 0];
        rule.Apply(row, [], [float.NaN, 1, 1, float.NaN], 2);
        Assert.Equal((float.NaN, float.NaN), (row[0], row[2]));
    }

    private static float Scalar(float w, float g, float u)
    {
        if (u <= 0)
        {
            return w;
        }

        float rate = Gamma / u;
        float z = w - (rate * g);
        float threshold = rate * L1;
        return MathF.Abs(z) <= threshold ? 0 : (z - MathF.CopySign(threshold, z)) / (1 + (rate * L2));
    }

    // Of both signs, some of them zero.
    private static float[] Random(Rng rng, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => rng.Chance(1, 8) ? 0 : (float)((rng.NextDouble() - 0.25) * 4))];
}
