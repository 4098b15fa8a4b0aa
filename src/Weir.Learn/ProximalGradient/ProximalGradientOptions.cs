namespace Weir.Learn.ProximalGradient;

/// <summary>
/// How sparse logistic regression is trained by delayed block proximal gradient. Immutable. <see cref="Validate"/> lists every fault at
/// once. docs/convergence.md says what the step and the blocks do.
/// </summary>
public sealed record ProximalGradientOptions
{
    /// <summary>The most blocks; every iteration draws the order of half of them anew.</summary>
    public const int MostBlocks = 65_536;

    /// <summary>
    /// Into how many blocks the features are cut, 1 to <see cref="MostBlocks"/>. An iteration works on one. More blocks allow a larger
    /// step, since fewer weights move at once, and cost more messages a pass. Default 16.
    /// </summary>
    public int Blocks { get; init; } = 16;

    /// <summary>Passes over the features, at least 1: each works once on every block.</summary>
    public int Passes { get; init; } = 100;

    /// <summary>
    /// How many iterations a worker may be ahead of the slowest, at least 0 (tau of the papers). Default 1: computing overlaps the step at
    /// the servers.
    /// </summary>
    public int DelayBound { get; init; } = 1;

    /// <summary>
    /// The step gamma, above 0. Null stands for the bound of <see cref="BlockLipschitz.StepAt"/>, which has to be measured first: a training
    /// needs a number.
    /// </summary>
    public double? Step { get; init; }

    /// <summary>What a worker pushes as the curvature of a coordinate.</summary>
    public CurvatureKind Curvature { get; init; }

    /// <summary>The L1 penalty, at least 0, in units of <see cref="LossScale"/>. Null is a penalty of one row's loss: 1 for a sum, 1 by rows for a mean.</summary>
    public double? L1 { get; init; }

    /// <summary>The L2 penalty, at least 0: half of it times the squared norm is added. In units of <see cref="LossScale"/>.</summary>
    public double L2 { get; init; }

    /// <summary>Whether the objective has the sum or the mean of the losses.</summary>
    public LossScale LossScale { get; init; }

    /// <summary>
    /// Whether weights that are zero and will stay so are left out of pushes and pulls (<see cref="KktFilter"/>): a small part of the features is then left to work on. It needs at least twice as many blocks as the delay bound, so that
    /// no block comes again while a step of it is on the way; and not with filters that round what is pulled, since workers must see the same to leave out the same.
    /// </summary>
    public bool Kkt { get; init; }

    /// <summary>Whether every row has an intercept. It is a weight like others, and penalised.</summary>
    public bool Intercept { get; init; } = true;

    /// <summary>Draws the order of the blocks, the same for every worker.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>The intercept's key, or null where rows have none.</summary>
    public ulong? EffectiveInterceptKey => Intercept ? Logistic.LogisticOptions.InterceptKey : null;

    /// <summary>The L1 penalty against the sum of the losses.</summary>
    /// <param name="rows">Rows of the data, at least 1.</param>
    public double SummedL1(long rows) => LossScale == LossScale.Sum ? L1 ?? 1 : L1 * rows ?? 1;

    /// <summary>The L2 penalty against the sum of the losses.</summary>
    /// <param name="rows">Rows of the data, at least 1.</param>
    public double SummedL2(long rows) => LossScale == LossScale.Sum ? L2 : L2 * rows;

    /// <summary>Checks every option.</summary>
    /// <exception cref="ArgumentException">Options are out of their range; the message has a line for each.</exception>
    public void Validate()
    {
        var faults = new List<string>();
        Check(Blocks is >= 1 and <= MostBlocks, $"blocks {Blocks} must be 1 to {MostBlocks}");
        Check(Passes >= 1, $"passes {Passes} must be at least 1");
        Check(DelayBound >= 0, $"delay bound {DelayBound} must be at least 0");
        Check(!Kkt || Blocks / 2 >= DelayBound, $"blocks {Blocks} must be at least twice the delay bound {DelayBound} for the KKT filter: a block must not come again while a step of it is on the way");
        Check(Step is null || (Step > 0 && float.IsFinite((float)Step)), $"step {Step} must be a finite number above 0");
        Check(L1 is null || (L1 >= 0 && float.IsFinite((float)L1)), $"l1 {L1} must be a finite number, 0 or above");
        Check(L2 >= 0 && float.IsFinite((float)L2), $"l2 {L2} must be a finite number, 0 or above");
        Check(Enum.IsDefined(Curvature), $"curvature {Curvature} must be UpperBound or Local");
        Check(Enum.IsDefined(LossScale), $"loss scale {LossScale} must be Sum or Mean");
        if (faults.Count > 0)
        {
            throw new ArgumentException(string.Join('\n', faults));
        }

        void Check(bool holds, string fault)
        {
            if (!holds)
            {
                faults.Add(fault);
            }
        }
    }
}
