using Weir.Learn.ProximalGradient;

namespace Weir.Tests.Learn;

/// <summary>Which weights the KKT filter leaves out (PS-28).</summary>
public class KktFilterTests
{
    private const double Lambda = 2;
    private const int Passes = 20, Blocks = 5, ResetPass = 17;

    [Theory]
    [InlineData(1, 0, 0, true)]
    [InlineData(2, 0, 1f, false)]
    [InlineData(2, 0, -1f, false)]
    [InlineData(2, 0, 1.01f, true)]
    [InlineData(2, 0.1f, 0, true)]
    [InlineData(4, 0, 1.5f, false)]
    [InlineData(4, 0, -1.51f, true)]
    [InlineData(10, 0, 1.8f, false)]
    [InlineData(10, 0, float.NaN, true)]
    [InlineData(ResetPass, 0, 0, true)]
    [InlineData(ResetPass + 1, 0, 0, false)]
    public void PS28_a_weight_of_zero_with_a_small_gradient_is_left_out_but_for_the_first_pass_and_one_reset(int pass, float weight, float gradient, bool isActive)
    {
        var filter = new KktFilter(Lambda, Passes, Blocks);
        Assert.Equal(ResetPass, filter.ResetPass);
        long first = ((pass - 1) * Blocks) + 1;
        Assert.All(Enumerable.Range(0, Blocks), at => Assert.Equal(isActive, filter.IsActive(weight, gradient, first + at)));
    }

    [Fact]
    public void Without_a_penalty_nothing_but_what_has_no_gradient_is_left_out()
    {
        var filter = new KktFilter(0, Passes, Blocks);
        Assert.True(filter.IsActive(0, 1e-30f, 2 * Blocks));
        Assert.False(filter.IsActive(0, 0, 2 * Blocks));
    }

    [Fact]
    public void A_run_of_one_pass_leaves_out_nothing() => Assert.True(new KktFilter(Lambda, 1, Blocks).IsActive(0, 0, Blocks));

    [Fact]
    public void Blocks_must_not_come_again_while_a_step_of_them_is_on_the_way()
    {
        new ProximalGradientOptions { Kkt = true, Blocks = 8, DelayBound = 4 }.Validate();
        ArgumentException fault = Assert.Throws<ArgumentException>(() => new ProximalGradientOptions { Kkt = true, Blocks = 7, DelayBound = 4 }.Validate());
        Assert.Contains("blocks 7 must be at least twice the delay bound 4", fault.Message);
    }
}
