using CsCheck;
using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Tests.Store;

/// <summary>
/// Every rule against its paper's equation, written in double and without vectors. Tolerance: 2e-5 of the largest weight seen after 200
/// steps, some hundred roundings of 6e-8 each.
/// </summary>
public class UpdateRuleTests
{
    private const int Steps = 200;
    private const double Tolerance = 2e-5;

    // The parameters as the rule has them: the nearest floats.
    private const float Alpha = 0.1f, Beta = 1f, L1 = 0.3f, L2 = 0.5f, Beta1 = 0.9f, Beta2 = 0.999f, AdamEpsilon = 1e-8f;

    private delegate void Reference(ref double w, double[] state, double g, int t);

    public static TheoryData<UpdateRuleKind> Kinds => [.. Enum.GetValues<UpdateRuleKind>()];

    /// <summary>A float of a rule on pairs is nothing by itself.</summary>
    public static TheoryData<UpdateRuleKind> KindsByFloat => [.. Enum.GetValues<UpdateRuleKind>().Where(kind => Rule(kind).Fits(1))];

    /// <summary>Adam has a step for each row, and so no loop over many; a row of a rule on pairs is at least two floats.</summary>
    public static TheoryData<UpdateRuleKind> KindsInPlace => [.. Enum.GetValues<UpdateRuleKind>().Where(kind => kind != UpdateRuleKind.Adam && Rule(kind).Fits(1))];

    [Fact]
    public void AddSums() => Follows(UpdateRule.Add, (ref w, _, g, _) => w += g);

    [Fact]
    public void AssignKeepsTheLast() => Follows(UpdateRule.Assign, (ref w, _, g, _) => w = g);

    [Fact]
    public void SgdFollowsTheGradient() => Follows(UpdateRule.Sgd(Alpha), (ref w, _, g, _) => w -= Alpha * g);

    [Theory]
    [InlineData(0f)]
    [InlineData(0.01f)]
    public void AdagradFollowsDuchiHazanAndSinger(float epsilon) => Follows(UpdateRule.Adagrad(Alpha, epsilon), (ref w, s, g, _) =>
    {
        s[0] += g * g;
        w -= s[0] == 0 ? 0 : Alpha * g / (Math.Sqrt(s[0]) + epsilon);
    });

    [Fact]
    public void AdamFollowsAlgorithm1OfKingmaAndBa() => Follows(UpdateRule.Adam(Alpha, Beta1, Beta2, AdamEpsilon), (ref w, s, g, t) =>
    {
        s[0] = (Beta1 * s[0]) + ((1 - (double)Beta1) * g);
        s[1] = (Beta2 * s[1]) + ((1 - (double)Beta2) * g * g);
        double m = s[0] / (1 - Math.Pow(Beta1, t)), v = s[1] / (1 - Math.Pow(Beta2, t));
        w -= Alpha * m / (Math.Sqrt(v) + AdamEpsilon);
    });

    [Fact]
    public void FtrlFollowsAlgorithm1OfMcMahan() => Follows(UpdateRule.Ftrl(Alpha, Beta, L1, L2), (ref w, s, g, _) =>
    {
        double sigma = (Math.Sqrt(s[1] + (g * g)) - Math.Sqrt(s[1])) / Alpha;
        s[0] += g - (sigma * w);
        s[1] += g * g;
        w = Math.Abs(s[0]) <= L1 ? 0 : -(s[0] - (Math.Sign(s[0]) * L1)) / (((Beta + Math.Sqrt(s[1])) / Alpha) + L2);
    });

    [Fact]
    public void MomentumFollowsEquations1And2OfSutskever() => Follows(UpdateRule.Momentum(Alpha, Beta1), (ref w, s, g, _) =>
    {
        s[0] = (Beta1 * s[0]) - (Alpha * g);
        w += s[0];
    });

    [Theory]
    [InlineData(L1, L2)]
    [InlineData(L1, 0f)]
    [InlineData(0f, L2)]
    public void ProximalSgdFollowsDuchiAndSinger(float l1, float l2) => Follows(UpdateRule.ProximalSgd(Alpha, l1, l2), (ref w, _, g, _) =>
    {
        double u = w - (Alpha * (double)g);
        w = Math.Sign(u) * Math.Max(0, Math.Abs(u) - (Alpha * l1)) / (1 + (Alpha * l2));
    });

    [Fact]
    public void TheProximalStepIsTheMinimumThatDefinesIt()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.ProximalSgd(Alpha, L1, L2));
        Gen.Select(Gen.Float[-2, 2], Gen.Float[-2, 2]).Sample((begin, gradient) =>
        {
            float[] w = [begin];
            rule.Apply(w, [], [gradient], 1);
            double u = begin - (Alpha * (double)gradient);
            double Cost(double y) => (L1 * Math.Abs(y)) + (L2 / 2 * y * y) + ((y - u) * (y - u) / (2 * Alpha));
            foreach (double near in new[] { -0.1, -0.01, 0.01, 0.1 })
            {
                Assert.True(Cost(w[0]) < Cost(w[0] + near), $"{w[0]} from {begin} with {gradient}");
            }

            Assert.True(Math.Abs(u) > Alpha * L1 * 1.0001 || w[0] == 0, "weights below the threshold are exact zeros");
        });
    }

    [Fact]
    public void AnAssignedWeightOfMomentumStandsStill()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.Momentum(Alpha));
        (float[] w, float[] velocity) = Begin(rule, 1, 1, 0);
        rule.Apply(w, velocity, [3f], 1);
        Assert.NotEqual(0, velocity[0]);
        rule.Assign(w, velocity, [7f], 1);
        rule.Apply(w, velocity, [0f], 1);
        Assert.Equal((7f, 0f), (w[0], velocity[0]));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void ARuleIsReadBackAsItWasWritten(UpdateRuleKind kind)
    {
        UpdateRule rule = Rule(kind);
        byte[] bytes = new byte[UpdateRule.EncodedBytes];
        ByteWriter writer = new(bytes);
        rule.Write(ref writer);
        ByteReader reader = new(bytes);
        Assert.True(UpdateRule.TryRead(ref reader, out UpdateRule read));
        Assert.Equal(rule, read);
    }

    [Theory]
    [InlineData(UpdateRuleKind.Momentum, 0f, 0.9f, 0f, 0f)]
    [InlineData(UpdateRuleKind.Momentum, 0.1f, 1f, 0f, 0f)]
    [InlineData(UpdateRuleKind.Momentum, 0.1f, 0.9f, 0.1f, 0f)]
    [InlineData(UpdateRuleKind.ProximalSgd, 0.1f, -1f, 0f, 0f)]
    [InlineData(UpdateRuleKind.ProximalSgd, 0.1f, 0f, float.NaN, 0f)]
    [InlineData(UpdateRuleKind.ProximalSgd, 1e20f, 1e20f, 0f, 0f)]
    [InlineData(UpdateRuleKind.ProximalSgd, 0.1f, 0f, 0f, 1f)]
    [InlineData(UpdateRuleKind.DiagonalProximal, 0f, 0f, 0f, 0f)]
    [InlineData(UpdateRuleKind.DiagonalProximal, 0.1f, 0f, -1f, 0f)]
    [InlineData(UpdateRuleKind.DiagonalProximal, 0.1f, 0f, 0f, 2f)]
    [InlineData(UpdateRuleKind.Count, 0.1f, 0f, 0f, 0f)]
    [InlineData(UpdateRuleKind.Union, 0f, 0f, 0f, 1f)]
    [InlineData(UpdateRuleKind.Score, 0f, 1f, 0f, 0f)]
    [InlineData((UpdateRuleKind)13, 0.1f, 0f, 0f, 0f)]
    [InlineData(UpdateRuleKind.GroupProximal, 0.1f, -1f, 0f, 0f)]
    public void ForeignBytesThatAreNoRuleAreRefused(UpdateRuleKind kind, float a, float b, float c, float d)
    {
        byte[] bytes = new byte[UpdateRule.EncodedBytes];
        ByteWriter writer = new(bytes);
        writer.UInt32((uint)kind);
        foreach (float parameter in new[] { a, b, c, d })
        {
            writer.Single(parameter);
        }

        ByteReader reader = new(bytes);
        Assert.False(UpdateRule.TryRead(ref reader, out _));
    }

    [Theory]
    [MemberData(nameof(KindsInPlace))]
    public void RowsThatAreChangedWhereTheyLieGetTheBitsOfARun(UpdateRuleKind kind)
    {
        IUpdateRule rule = UpdateRules.Create(Rule(kind));
        Assert.Equal((true, false), (rule.RunsInPlace(8), rule.RunsInPlace(12)));
        foreach (int width in new[] { 1, 8, 16, 40 })
        {
            Rng rng = new((ulong)width);
            (float[] values, float[] state) = Begin(rule, width, width, 0.125f);
            float[] inPlace = GC.AllocateArray<float>(width, pinned: true), inPlaceState = GC.AllocateArray<float>(state.Length + 1, pinned: true);
            values.CopyTo(inPlace, 0);
            state.CopyTo(inPlaceState, 0);
            for (int step = 0; step < 10; step++)
            {
                float[] pushed = Gradients(rng, width);
                Call(rule, step == 5, values, state, pushed, width);
                RowAddresses row = new([Address(inPlace)], [Address(inPlaceState)], 1);
                rule.RunInPlace(row, pushed, width, step == 5 ? RowOperation.Assign : RowOperation.Update);
            }

            Assert.Equal(values.Select(Bits), inPlace.Select(Bits));
            Assert.Equal(state.Append(0f).Select(Bits), inPlaceState.Select(Bits));
        }
    }

    [Fact]
    public void FtrlGivesExactZerosBelowL1()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.Ftrl(Alpha, Beta, L1, L2));
        float[] w = [1f], state = [0f, 0f];
        rule.Apply(w, state, [0.25f], 1);
        // z = 0.25 - sigma * 1 with sigma = 2.5: |z| is above l1, so the weight moves against z.
        Assert.True(w[0] > 0);
        (w, state) = ([0f], [0f, 0f]);
        rule.Apply(w, state, [0.25f], 1);
        Assert.Equal(0, BitConverter.SingleToInt32Bits(w[0]));
        rule.Apply(w, state, [0.25f], 1);
        Assert.True(w[0] < 0);
    }

    [Theory]
    [MemberData(nameof(KindsByFloat))]
    public void ARunOfAnyLengthGivesTheBitsOfEachFloatAlone(UpdateRuleKind kind)
    {
        IUpdateRule rule = UpdateRules.Create(Rule(kind));
        for (int width = 1; width <= 40; width++)
        {
            Rng rng = new((ulong)width);
            (float[] values, float[] state) = Begin(rule, width, width, 0.125f);
            (float[] Value, float[] State)[] alone = [.. Enumerable.Range(0, width).Select(_ => Begin(rule, 1, 1, 0.125f))];
            for (int step = 0; step < 20; step++)
            {
                float[] pushed = Gradients(rng, width);
                bool assign = step == 10;
                Call(rule, assign, values, state, pushed, width);
                for (int i = 0; i < width; i++)
                {
                    Call(rule, assign, alone[i].Value, alone[i].State, [pushed[i]], 1);
                }
            }

            Assert.Equal(alone.Select(one => Bits(one.Value[0])), values.Select(Bits));
            for (int plane = 0; plane < rule.Planes; plane++)
            {
                Assert.Equal(alone.Select(one => Bits(one.State[plane])), state.Skip(plane * width).Take(width).Select(Bits));
            }
        }
    }

    [Fact]
    public void EachOperationIsRoundedByItselfInTheWrittenOrder()
    {
        // The bits that plain float arithmetic gives: a fused multiply-add or another order changes some of 2,000.
        Rng rng = new(77);
        float[] pushed = Gradients(rng, 2000);
        IUpdateRule ftrl = UpdateRules.Create(UpdateRule.Ftrl(Alpha, Beta, L1, L2));
        IUpdateRule adagrad = UpdateRules.Create(UpdateRule.Adagrad(Alpha));
        (float[] w, float[] state) = Begin(ftrl, 2000, 2000, 0.125f);
        (float[] v, float[] sums) = Begin(adagrad, 2000, 2000, 0.125f);
        (float[] expectedW, float[] expectedState, float[] expectedV, float[] expectedSums) = ([.. w], [.. state], [.. v], [.. sums]);
        for (int step = 0; step < 5; step++)
        {
            ftrl.Apply(w, state, pushed, 2000);
            adagrad.Apply(v, sums, pushed, 2000);
            for (int i = 0; i < 2000; i++)
            {
                ScalarFtrl(ref expectedW[i], ref expectedState[i], ref expectedState[2000 + i], pushed[i]);
                expectedSums[i] += pushed[i] * pushed[i];
                expectedV[i] -= Alpha * pushed[i] / (MathF.Sqrt(expectedSums[i]) + 1e-8f);
            }
        }

        Assert.Equal(expectedW.Select(Bits), w.Select(Bits));
        Assert.Equal(expectedState.Select(Bits), state.Select(Bits));
        Assert.Equal(expectedV.Select(Bits), v.Select(Bits));
    }

    [Theory]
    [InlineData(2f)]
    [InlineData(-0.75f)]
    [InlineData(0f)]
    public void AnAssignedFtrlWeightIsTheOneThatItsStateGives(float value)
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.Ftrl(Alpha, Beta, L1, L2));
        (float[] w, float[] state) = Begin(rule, 1, 1, 0);
        foreach (float gradient in Gradients(new Rng(5), 20))
        {
            rule.Apply(w, state, [gradient], 1);
        }

        float squares = state[1];
        rule.Assign(w, state, [value], 1);
        Assert.Equal((value, squares), (w[0], state[1]));
        // A gradient of zero changes neither z nor n, so it shows the weight that they stand for.
        rule.Apply(w, state, [0f], 1);
        Assert.Equal(value, w[0], 1e-5f);
    }

    [Fact]
    public void AssignmentKeepsAdagradsSumAndForgetsAdamsMoments()
    {
        IUpdateRule adagrad = UpdateRules.Create(UpdateRule.Adagrad(Alpha)), adam = UpdateRules.Create(UpdateRule.Adam());
        (float[] w, float[] sums) = Begin(adagrad, 1, 1, 0);
        adagrad.Apply(w, sums, [3f], 1);
        adagrad.Assign(w, sums, [7f], 1);
        Assert.Equal((7f, 9f), (w[0], sums[0]));
        (float[] v, float[] moments) = Begin(adam, 2, 2, 0);
        adam.Apply(v, moments, [3f, 4f], 2);
        Assert.All(moments, moment => Assert.NotEqual(0, moment));
        adam.Assign(v, moments, [7f, 8f], 2);
        Assert.Equal([7f, 8f], v);
        Assert.All(moments, moment => Assert.Equal(0, moment));
    }

    [Fact]
    public void AZeroGradientWithoutAnEpsilonIsNoStep()
    {
        IUpdateRule rule = UpdateRules.Create(UpdateRule.Adagrad(Alpha, 0));
        (float[] w, float[] sums) = Begin(rule, 1, 1, 5f);
        rule.Apply(w, sums, [0f], 1);
        // The square of 1e-30 is below the smallest float: n stays 0.
        rule.Apply(w, sums, [1e-30f], 1);
        Assert.Equal(5f, w[0]);
    }

    private static void Follows(UpdateRule spec, Reference reference)
    {
        const int width = 13;
        IUpdateRule rule = UpdateRules.Create(spec);
        (float[] values, float[] state) = Begin(rule, width, width, 0);
        double[] expected = new double[width];
        double[][] expectedState = [.. expected.Select(_ => new double[2])];
        double largest = 0;
        Rng rng = new(11);
        for (int t = 1; t <= Steps; t++)
        {
            float[] gradients = Gradients(rng, width);
            rule.Apply(values, state, gradients, width);
            for (int i = 0; i < width; i++)
            {
                reference(ref expected[i], expectedState[i], gradients[i], t);
                largest = Math.Max(largest, Math.Abs(expected[i]));
                Assert.Equal(expected[i], values[i], Tolerance * Math.Max(1, largest));
            }
        }

        Assert.True(largest > 0);
    }

    private static void ScalarFtrl(ref float w, ref float z, ref float n, float g)
    {
        float inverseAlpha = 1 / Alpha;
        float squares = n + (g * g);
        float root = MathF.Sqrt(squares);
        float sigma = (root - MathF.Sqrt(n)) * inverseAlpha;
        z = z + g - (sigma * w);
        n = squares;
        float denominator = ((Beta + root) * inverseAlpha) + L2;
        w = MathF.Abs(z) <= L1 ? 0 : (MathF.CopySign(L1, z) - z) / denominator;
    }

    private static UpdateRule Rule(UpdateRuleKind kind) => kind switch
    {
        UpdateRuleKind.Add => UpdateRule.Add,
        UpdateRuleKind.Assign => UpdateRule.Assign,
        UpdateRuleKind.Sgd => UpdateRule.Sgd(Alpha),
        UpdateRuleKind.Adagrad => UpdateRule.Adagrad(Alpha),
        UpdateRuleKind.Adam => UpdateRule.Adam(),
        UpdateRuleKind.Momentum => UpdateRule.Momentum(Alpha, Beta1),
        UpdateRuleKind.ProximalSgd => UpdateRule.ProximalSgd(Alpha, L1, L2),
        UpdateRuleKind.DiagonalProximal => UpdateRule.DiagonalProximal(Alpha, L1, L2),
        UpdateRuleKind.Count => UpdateRule.Count,
        UpdateRuleKind.Union => UpdateRule.Union,
        UpdateRuleKind.Score => UpdateRule.Score,
        UpdateRuleKind.GroupProximal => UpdateRule.GroupProximal(Alpha, 0.2f, L1, L2),
        _ => UpdateRule.Ftrl(Alpha, Beta, L1, L2),
    };

    private static nint Address(float[] pinned) => System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);

    private static (float[] Values, float[] State) Begin(IUpdateRule rule, int floats, int width, float initial)
    {
        float[] values = new float[floats], state = new float[floats / width * rule.StateWidth(width)], assigned = new float[floats];
        Array.Fill(assigned, initial);
        rule.Assign(values, state, assigned, width);
        return (values, state);
    }

    private static void Call(IUpdateRule rule, bool assign, float[] values, float[] state, float[] pushed, int width)
    {
        if (assign)
        {
            rule.Assign(values, state, pushed, width);
        }
        else
        {
            rule.Apply(values, state, pushed, width);
        }
    }

    private static int Bits(float value) => BitConverter.SingleToInt32Bits(value);

    // Of both signs and several magnitudes, some of them zero.
    private static float[] Gradients(Rng rng, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => rng.Chance(1, 8) ? 0 : (float)((rng.NextDouble() - 0.5) * Math.Pow(4, rng.Below(4) - 2)))];
}
