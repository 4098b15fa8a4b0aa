namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench optimum --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Data">The file, or how the rows were generated.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Nonzeros">Their non-zeros.</param>
/// <param name="Passes">Passes over them.</param>
/// <param name="Step">The step of delayed block proximal gradient.</param>
/// <param name="StepBound">The largest for which convergence is known.</param>
/// <param name="Objective">The sum of the logistic losses plus the L1 norm, at the end.</param>
/// <param name="Optimum">What the exact solver ended with; null where it is not installed.</param>
/// <param name="Relative">The objective by the optimum, less 1.</param>
/// <param name="Seconds">How long the training took.</param>
/// <param name="SolverSeconds">How long the solver took, reading included.</param>
internal sealed record OptimumReport(
    string Data, long Rows, long Nonzeros, int Passes, double Step, double StepBound, double Objective, double? Optimum, double? Relative, double Seconds, double SolverSeconds);
