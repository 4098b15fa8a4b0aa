using Weir.Keys;
using Weir.Learn.Metrics;
using Weir.Learn.ProximalGradient;

namespace Weir.Tests.Learn;

/// <summary>
/// Theorem 2 of Li et al. 2014 (OSDI and NIPS), held to: with the step at its bound delayed block proximal gradient comes to a stationary
/// point however late the steps are within the delay, and with a step far above it it does not.
/// </summary>
public class ProximalGradientConvergenceTests
{
    private const int Blocks = 40;
    private const int Features = 500;
    private static readonly GeneratedRows Data = new(2000, Features, nonzerosOfRow: 10, seed: 7);
    private static readonly double[] Curvature = Curvatures();

    [Theory]
    [InlineData(0, 100)]
    [InlineData(1, 100)]
    [InlineData(4, 150)]
    [InlineData(16, 300)]
    public void With_the_step_at_its_bound_the_stationarity_falls_below_a_ten_thousandth_of_its_start(int delay, int passes)
    {
        var options = new ProximalGradientOptions { Blocks = Blocks, Passes = passes, DelayBound = delay, L1 = 1, Intercept = false };
        double end = End(options with { Step = Bound(options) });
        Assert.True(end < 1e-4, $"after {passes * Blocks} iterations with delay {delay} it is {end:E2} of its start");
    }

    [Fact]
    public void With_20_times_the_bound_and_delay_16_it_is_still_above_a_hundredth_after_as_many_iterations()
    {
        var options = new ProximalGradientOptions { Blocks = Blocks, Passes = 300, DelayBound = 16, L1 = 1, Intercept = false };
        double end = End(options with { Step = 20 * Bound(options) });
        Assert.True(end > 1e-2, $"it is {end:E2} of its start");
    }

    [Fact]
    public void The_elastic_net_comes_to_its_stationary_point_too()
    {
        var options = new ProximalGradientOptions { Blocks = Blocks, Passes = 60, DelayBound = 1, L1 = 2, L2 = 3, Intercept = false };
        Assert.InRange(End(options with { Step = Bound(options) }), 0, 1e-4);
    }

    [Fact]
    public void The_problem_is_conditioned_as_is_said() => Assert.InRange(Condition(), 1, 100);

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void The_constants_are_the_largest_singular_values_of_the_curvature_scaled_blocks(int count)
    {
        var options = new ProximalGradientOptions { Blocks = count, DelayBound = 1, Intercept = false };
        BlockLipschitz measured = BlockLipschitz.Measure(options, Data, TestContext.Current.CancellationToken);
        var blocks = new FeatureBlocks(count, options.Seed);
        int[] blockOf = [.. Enumerable.Range(0, Features).Select(at => blocks.Of((ulong)at + 1))];
        double own = 0, other = 0;
        for (int block = 0; block < count; block++)
        {
            own = Math.Max(own, Singular(block, block));
            for (int second = block + 1; second < count; second++)
            {
                other = Math.Max(other, Singular(block, second));
            }
        }

        // Five in a hundred are added to what the power iteration gives. Of a single block the delayed steps are its own.
        Assert.InRange(measured.Own / own, 1, 1.06);
        Assert.InRange(measured.Other / (count == 1 ? own : other), 1, 1.06);

        double Singular(int block, int second) => Math.Sqrt(LargestEigenvalue(v => Project(Multiply(Project(Multiply(Project(v, second)), block)), second), 400));

        double[] Project(double[] v, int block) => [.. v.Select((value, at) => blockOf[at] == block ? value : 0)];
    }

    [Fact]
    public void The_step_is_bounded_by_theorem_2()
    {
        var constants = new BlockLipschitz(2, 0.5);
        Assert.Equal(1 / 2.002, constants.StepAt(0), 1e-12);
        Assert.Equal(1 / (2.002 + (16 * 0.5)), constants.StepAt(16), 1e-12);
        Assert.Throws<ArgumentOutOfRangeException>(() => constants.StepAt(-1));

        // With a delay of more than half of the blocks one may come again before its last step is known: L_cov is then that of a block with itself.
        var options = new ProximalGradientOptions { Blocks = Blocks, DelayBound = Blocks / 2, Intercept = false };
        BlockLipschitz apart = BlockLipschitz.Measure(options, Data, TestContext.Current.CancellationToken);
        BlockLipschitz again = BlockLipschitz.Measure(options with { DelayBound = (Blocks / 2) + 1 }, Data, TestContext.Current.CancellationToken);
        Assert.True(apart.Other < apart.Own / 2);
        Assert.Equal((again.Own, again.Own), (apart.Own, again.Other));
    }

    private static double Bound(ProximalGradientOptions options) =>
        BlockLipschitz.Measure(options, Data, TestContext.Current.CancellationToken).StepAt(options.DelayBound);

    /// <summary>The stationarity at the end of a run against that of weights that are all 0.</summary>
    private static double End(ProximalGradientOptions options)
    {
        var loop = new ProximalGradientLoop(options, Data, Data.Scan());
        UpdateRule rule = UpdateRule.DiagonalProximal((float)options.Step!.Value, (float)options.L1!.Value, (float)options.L2);
        double end = double.NaN;
        var server = new DelayedServer(rule, options.DelayBound, loop.Iterations)
        {
            Stepped = (iteration, rows) => end = iteration == loop.Iterations ? Stationarity(rows, options.L1.Value, options.L2) : double.NaN,
        };
        SingleThread.Run(() => loop.RunAsync(server));
        return end / Stationarity(new Dictionary<ulong, float[]>(), options.L1.Value, options.L2);
    }

    /// <summary>|Prox(w - U^-1 grad) - w| in the norm of U, with the data's own curvatures: 0 exactly where w is stationary.</summary>
    private static double Stationarity(IReadOnlyDictionary<ulong, float[]> rows, double l1, double l2)
    {
        double[] gradient = new double[Features];
        for (int row = 0; row < Data.Rows.Count; row++)
        {
            double margin = Data.Rows[row].Sum(entry => (double)entry.Value * (rows.GetValueOrDefault(entry.Key)?[0] ?? 0));
            double error = LogisticFunction.Sigmoid(margin) - Data.Labels[row];
            foreach ((ulong key, float value) in Data.Rows[row])
            {
                gradient[key - 1] += error * value;
            }
        }

        double squares = 0;
        for (int at = 0; at < Features; at++)
        {
            double w = rows.GetValueOrDefault((ulong)at + 1)?[0] ?? 0, u = Curvature[at], z = w - (gradient[at] / u);
            double moved = (Math.Sign(z) * Math.Max(0, Math.Abs(z) - (l1 / u)) / (1 + (l2 / u))) - w;
            squares += moved * moved * u;
        }

        return Math.Sqrt(squares);
    }

    /// <summary>The condition number of G = U^-1/2 X^T X U^-1/2 / 4, the bound of the Hessian that the step is chosen by.</summary>
    private static double Condition()
    {
        double largest = LargestEigenvalue(Multiply, 200);
        double smallest = largest - LargestEigenvalue(
            v =>
            {
                double[] image = Multiply(v);
                return [.. v.Select((value, at) => (largest * value) - image[at])];
            },
            200);
        return largest / smallest;
    }

    /// <summary>G v.</summary>
    private static double[] Multiply(double[] v)
    {
        double[] image = new double[Features];
        foreach ((ulong Key, float Value)[] row in Data.Rows)
        {
            double sum = 0;
            foreach ((ulong key, float value) in row)
            {
                sum += value * v[key - 1] / Math.Sqrt(Curvature[key - 1]);
            }

            foreach ((ulong key, float value) in row)
            {
                image[key - 1] += sum * value / Math.Sqrt(Curvature[key - 1]) / 4;
            }
        }

        return image;
    }

    private static double LargestEigenvalue(Func<double[], double[]> multiply, int iterations)
    {
        double[] v = [.. Enumerable.Range(0, Features).Select(at => Math.Sin(1 + at))];
        double value = 0;
        for (int iteration = 0; iteration < iterations; iteration++)
        {
            double[] image = multiply(v);
            value = Math.Sqrt(image.Sum(x => x * x));
            v = [.. image.Select(x => x / value)];
        }

        return value;
    }

    private static double[] Curvatures()
    {
        double[] curvature = new double[Features];
        foreach ((ulong key, float value) in Data.Rows.SelectMany(row => row))
        {
            curvature[key - 1] += (double)value * value / 4;
        }

        return curvature;
    }
}
