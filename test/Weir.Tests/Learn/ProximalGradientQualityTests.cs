using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.ProximalGradient;

namespace Weir.Tests.Learn;

/// <summary>Delayed block proximal gradient on UCI Adult against an exact solver.</summary>
public class ProximalGradientQualityTests
{
    // The sum of the log-losses plus the L1 norm, without an intercept, at the optimum: the "Objective value" that LIBLINEAR 2.3.0 ends with,
    //   zcat a9a.libsvm.gz > a9a && liblinear-train -s 6 -c 1 -B -1 -e 1e-5 a9a a9a.model
    private const double Optimum = 10558.723406;

    /// <summary>With local curvatures and a step of 1, for neither of which theorem 2 promises anything; docs/convergence.md has the way to 10^-4, which takes longer than a test may.</summary>
    [Fact]
    public void On_a9a_the_objective_comes_within_a_thousandth_of_the_optimum_in_100_passes()
    {
        LibsvmFile file = RealData.File("a9a.libsvm.gz");
        var options = new ProximalGradientOptions
        {
            Blocks = 32,
            Passes = 100,
            DelayBound = 0,
            L1 = 1,
            Intercept = false,
            Step = 1,
            Curvature = CurvatureKind.Local,
        };
        var loop = new ProximalGradientLoop(options, file, file.Scan(TestContext.Current.CancellationToken));
        IReadOnlyDictionary<ulong, float[]> rows = new Dictionary<ulong, float[]>();
        var server = new DelayedServer(UpdateRule.DiagonalProximal(1, 1), 0, loop.Iterations) { Stepped = (_, stepped) => rows = stepped };
        SingleThread.Run(() => loop.RunAsync(server));

        ColumnShare share = ColumnShare.Read(file, 0, 1, 4096, null, new FeatureBlocks(1, 1));
        var state = new BlockState(share);
        state.Adopt(0, share.Keys.SelectMany(key => rows[key]).ToArray());
        double objective = state.Loss() + state.Weights.ToArray().Sum(weight => Math.Abs((double)weight));
        Assert.InRange((objective / Optimum) - 1, 0, 1e-3);
    }
}
