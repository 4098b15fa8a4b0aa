using System.Globalization;
using Weir.Learn.Data;
using Weir.Learn.ProximalGradient;

namespace Weir.Cli.Training;

/// <summary>The step of a run by delayed block proximal gradient, beside the bound that the data give.</summary>
/// <param name="Options">The options with the step.</param>
/// <param name="Constants">What the data give.</param>
internal sealed record StepChoice(ProximalGradientOptions Options, BlockLipschitz Constants)
{
    /// <summary>The largest step for which convergence is known.</summary>
    public double Bound { get; } = Constants.StepAt(Options.DelayBound);

    /// <summary>What a person should know of a step above the bound; null where it is not.</summary>
    public string? Warning => Options.Curvature == CurvatureKind.Local
        ? "warning: --curvature local has no step up to which convergence is known; watch the objective, and take --curvature bound if it does not fall"
        : Options.Step > Bound
        ? Text($"warning: --step {Options.Step:G4} is above the bound {Bound:G4}, up to which convergence is known for this data and --delay {Options.DelayBound}; watch the objective, and take --step bound if it does not fall")
        : null;

    /// <summary>Measures the data, and takes the bound where no step is asked for.</summary>
    /// <exception cref="DataException">The data cannot be read any more.</exception>
    public static Task<StepChoice> MakeAsync(ProximalGradientOptions options, TrainingData data, CancellationToken cancellation) => Task.Run(
        () =>
        {
            BlockLipschitz constants = BlockLipschitz.Measure(options, data.Train, cancellation);
            return new StepChoice(options with { Step = options.Step ?? constants.StepAt(options.DelayBound) }, constants);
        },
        cancellation);

    /// <summary>For people.</summary>
    public string Describe() =>
        Text($"{Options.Blocks:N0} {(Options.Blocks == 1 ? "block" : "blocks")} of features, step {Options.Step:G4}, bound {Bound:G4} (L_var {Constants.Own:G4}, L_cov {Constants.Other:G4})");

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
