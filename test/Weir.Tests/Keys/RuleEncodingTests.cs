using CsCheck;
using Weir.Keys;

namespace Weir.Tests.Keys;

/// <summary>Ranges of the rules' parameters, in the factory methods and in foreign bytes alike.</summary>
public class RuleEncodingTests
{
    private static readonly float[] Odd =
        [0, -0.5f, 0.5f, 1, 2, float.Epsilon, float.MaxValue, float.NaN, float.PositiveInfinity, float.NegativeInfinity, 0.999f];

    [Fact]
    public void Every_rule_that_can_be_made_comes_back_equal_from_its_bytes()
    {
        UpdateRule[] rules =
        [
            UpdateRule.Add, UpdateRule.Assign, UpdateRule.Sgd(0.1f), UpdateRule.Adagrad(0.5f), UpdateRule.Adagrad(1, 0), UpdateRule.Adam(),
            UpdateRule.Adam(1, 0, 0, 1), UpdateRule.Ftrl(0.1f), UpdateRule.Ftrl(0.1f, 0, 3, 4),
            UpdateRule.Momentum(0.1f), UpdateRule.ProximalSgd(0.1f, 2, 3), UpdateRule.DiagonalProximal(0.1f, 2, 3), UpdateRule.DiagonalProximal(0.1f, 2, 3, keepsGradient: true),
            UpdateRule.Count, UpdateRule.Union, UpdateRule.Score, UpdateRule.GroupProximal(0.1f, 2, 3, 4),
        ];
        foreach (UpdateRule rule in rules)
        {
            byte[] bytes = Encode(rule.Kind, rule.A, rule.B, rule.C, rule.D);
            byte[] written = new byte[UpdateRule.EncodedBytes];
            var writer = new ByteWriter(written);
            rule.Write(ref writer);
            Assert.Equal(bytes, written);
            var reader = new ByteReader(bytes);
            Assert.True(UpdateRule.TryRead(ref reader, out UpdateRule read));
            Assert.Equal(rule, read);
            Assert.True(reader.AtEnd);
        }
    }

    [Fact]
    public void Bytes_make_a_rule_exactly_where_its_factory_would()
    {
        Gen<float> parameter = Gen.Int[0, Odd.Length - 1].Select(i => Odd[i]);
        Gen.Select(Gen.Int[0, 13], parameter, parameter, parameter, parameter).Sample(
            (kind, a, b, c, d) =>
            {
                var reader = new ByteReader(Encode((UpdateRuleKind)kind, a, b, c, d));
                Assert.Equal(CanBeMade((UpdateRuleKind)kind, a, b, c, d), UpdateRule.TryRead(ref reader, out _));
            },
            iter: 20_000);
    }

    [Fact]
    public void A_rule_cut_short_is_refused()
    {
        byte[] bytes = Encode(UpdateRuleKind.Ftrl, 1, 1, 1, 1);
        for (int length = 0; length < bytes.Length; length++)
        {
            var reader = new ByteReader(bytes.AsSpan(0, length));
            Assert.False(UpdateRule.TryRead(ref reader, out _));
        }
    }

    [Fact]
    public void A_parameter_out_of_range_is_named()
    {
        Assert.Equal("alpha", Assert.Throws<ArgumentOutOfRangeException>(() => UpdateRule.Sgd(0)).ParamName);
        Assert.Equal("epsilon", Assert.Throws<ArgumentOutOfRangeException>(() => UpdateRule.Adagrad(1, float.NaN)).ParamName);
        Assert.Equal("beta1", Assert.Throws<ArgumentOutOfRangeException>(() => UpdateRule.Adam(1, 1)).ParamName);
        Assert.Equal("beta2", Assert.Throws<ArgumentOutOfRangeException>(() => UpdateRule.Adam(1, 0, -0.1f)).ParamName);
        Assert.Equal("l2", Assert.Throws<ArgumentOutOfRangeException>(() => UpdateRule.Ftrl(1, 1, 1, -1)).ParamName);
    }

    private static bool CanBeMade(UpdateRuleKind kind, float a, float b, float c, float d)
    {
        try
        {
            UpdateRule? made = kind switch
            {
                UpdateRuleKind.Add => UpdateRule.Add,
                UpdateRuleKind.Assign => UpdateRule.Assign,
                UpdateRuleKind.Sgd => UpdateRule.Sgd(a),
                UpdateRuleKind.Adagrad => UpdateRule.Adagrad(a, b),
                UpdateRuleKind.Adam => UpdateRule.Adam(a, b, c, d),
                UpdateRuleKind.Ftrl => UpdateRule.Ftrl(a, b, c, d),
                UpdateRuleKind.Momentum => UpdateRule.Momentum(a, b),
                UpdateRuleKind.ProximalSgd => UpdateRule.ProximalSgd(a, b, c),
                UpdateRuleKind.DiagonalProximal => UpdateRule.DiagonalProximal(a, b, c, keepsGradient: d == 1),
                UpdateRuleKind.Count => UpdateRule.Count,
                UpdateRuleKind.Union => UpdateRule.Union,
                UpdateRuleKind.Score => UpdateRule.Score,
                UpdateRuleKind.GroupProximal => UpdateRule.GroupProximal(a, b, c, d),
                _ => null,
            };

            // The rest must be what the factory left at 0.
            return made is not null && (made.A, made.B, made.C, made.D) == (a, b, c, d);
        }
        catch (ArgumentOutOfRangeException)
        {
            return false;
        }
    }

    private static byte[] Encode(UpdateRuleKind kind, float a, float b, float c, float d)
    {
        byte[] bytes = new byte[UpdateRule.EncodedBytes];
        var writer = new ByteWriter(bytes);
        writer.UInt32((uint)kind);
        foreach (float parameter in new[] { a, b, c, d })
        {
            writer.Single(parameter);
        }

        return bytes;
    }
}
