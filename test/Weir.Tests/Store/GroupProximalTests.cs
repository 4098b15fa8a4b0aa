using CsCheck;
using Weir.Keys;
using Weir.Store;

namespace Weir.Tests.Store;

/// <summary>The proximal step with group lasso against its definition: the minimum of the penalties and of the distance in the norm of the row's largest curvature.</summary>
public class GroupProximalTests
{
    private const float Gamma = 0.25f;

    [Theory]
    [InlineData(0.4f, 0.3f, 0.5f)]
    [InlineData(0.4f, 0f, 0f)]
    [InlineData(0f, 0.3f, 0.5f)]
    [InlineData(0f, 0f, 0f)]
    public void The_step_is_the_minimum_that_defines_it(float group, float l1, float l2)
    {
        const int Weights = 3;
        IUpdateRule rule = UpdateRules.Create(UpdateRule.GroupProximal(Gamma, group, l1, l2));
        Gen.Select(Gen.Float[-2, 2].Array[Weights], Gen.Float[-2, 2].Array[Weights], Gen.Float[0.1f, 4].Array[Weights]).Sample((begin, gradients, curvatures) =>
        {
            float[] row = [.. begin.SelectMany(w => new[] { w, 7f })], pushed = [.. gradients.Zip(curvatures).SelectMany(pair => new[] { pair.First, pair.Second })];
            rule.Apply(row, [], pushed, 2 * Weights);
            double[] step = [.. Enumerable.Range(0, Weights).Select(i => begin[i] - (Gamma * (double)gradients[i] / curvatures.Max()))];
            double[] found = [.. Enumerable.Range(0, Weights).Select(i => (double)row[2 * i])];
            double Cost(double[] w) => (group * Math.Sqrt(w.Sum(x => x * x))) + (l1 * w.Sum(Math.Abs)) + (l2 / 2 * w.Sum(x => x * x)) + (w.Zip(step, (x, z) => (x - z) * (x - z)).Sum() * curvatures.Max() / (2 * Gamma));
            for (int i = 0; i < Weights; i++)
            {
                foreach (double near in new[] { -0.1, -0.01, 0.01, 0.1 })
                {
                    double[] other = [.. found];
                    other[i] += near;
                    Assert.True(Cost(found) < Cost(other), $"{string.Join(" ", found)} from {string.Join(" ", begin)}");
                }
            }

            double[] shorter = [.. found.Select(x => x * 0.99)];
            Assert.True(Cost(found) <= Cost(shorter) + 1e-9);
            Assert.All(Enumerable.Range(0, Weights), i => Assert.Equal(7, row[(2 * i) + 1]));
        });
    }

    [Fact]
    public void A_row_becomes_zero_as_a_whole_and_a_row_without_curvature_stays()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.GroupProximal(1, 1));
        float[] rows = [0.5f, 7, 0.5f, 7, 3, 7, 4, 7, 0.1f, 7, 0.2f, 7];
        rule.Apply(rows, [], [0, 1, 0, 1, 0, 1, 0, 0.5f, 5, 0, 5, 0], 4);

        // |(0.5, 0.5)| is below 1; of (3, 4), whose norm is 5, a fifth goes.
        Assert.Equal([0, 7, 0, 7, 2.4f, 7, 3.2f, 7, 0.1f, 7, 0.2f, 7], rows.Select(w => MathF.Round(w, 5)));
    }

    [Fact]
    public void What_is_not_a_number_stays_so()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.GroupProximal(1, 1));
        float[] row = [1, 0, 1, 0];
        rule.Apply(row, [], [float.NaN, 1, 0, 1], 4);
        Assert.True(float.IsNaN(row[0]));
    }
}
