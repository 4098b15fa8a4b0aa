using Weir.Client;
using Weir.Keys;
using Weir.Selection;

namespace Weir.Learn.Logistic;

/// <summary>
/// How sparse logistic regression is trained. Immutable. <see cref="Validate"/> lists every fault at once. The defaults were tuned on the
/// generated click log and on UCI Adult (docs/decisions/0011-the-defaults-of-logistic-regression.md).
/// </summary>
public sealed record LogisticOptions
{
    /// <summary>
    /// The key of the intercept, the weight that every row has with value 1: the first eight bytes, big-endian, of the SHA-256 of
    /// "weir intercept". Small ids never meet it and a hashed id does with probability 2^-64; a feature that does shares its weight.
    /// </summary>
    public const ulong InterceptKey = 0x29910E715FF9F65AUL;

    /// <summary>The default rows of a batch: a push then carries tens of thousands of keys, so what a message costs by itself does not show.</summary>
    public const int LargestDefaultBatchRows = 4096;

    // A default batch above a twentieth of the data is too few updates a pass.
    private const int FewestDefaultBatches = 20;

    // What it is made smaller to: with a twentieth, three passes over UCI Adult stay above a log-loss of .3265, with a hundredth they reach .3247.
    private const int SmallDataBatches = 100;

    /// <summary>
    /// The update rule at the server: FTRL (the default: it gives exact zeros and its rates fit keys however rare), Adagrad, SGD, Adam,
    /// momentum or proximal SGD, which gives exact zeros too.
    /// </summary>
    public UpdateRuleKind Rule { get; init; } = UpdateRuleKind.Ftrl;

    /// <summary>The learning rate, above 0. Null takes the rule's default: FTRL 0.15, Adagrad 0.1, SGD 0.0003, Adam 0.005,
    /// momentum 0.00015, proximal SGD 0.0003.</summary>
    public float? Alpha { get; init; }

    /// <summary>
    /// FTRL's beta (default 10) or Adagrad's epsilon (default 1), added to the root of the summed squared gradients; or Adam's decay of
    /// the first moment, below 1 (default 0.9), or how much of momentum's velocity a key's next push leaves, below 1 (default 0.5: pushes
    /// that are behind by the delay bound swing up a larger one). SGD has none. At least 0. A gradient here is a batch's sum, so 10 damps the first steps only.
    /// </summary>
    public float? Beta { get; init; }

    /// <summary>
    /// The L1 penalty, at least 0, in units of a batch's summed gradient; null takes the rule's default: FTRL 5, proximal SGD 0.2. FTRL
    /// weighs it against all of a key's gradients so far: a key needs that much evidence to weigh anything. Proximal SGD takes it off at
    /// each push. Others have none.
    /// </summary>
    public float? L1 { get; init; }

    /// <summary>The L2 penalty, at least 0; null takes the rule's default: FTRL 1, proximal SGD 0. Others have none.</summary>
    public float? L2 { get; init; }

    /// <summary>
    /// With which push an absent key gets its weight, 1 to 100; the gradients before are lost. Default 1: FTRL's L1 keeps rare keys at 0
    /// already, but their rows take memory, which this saves. A push is a worker's batch that holds the key.
    /// </summary>
    public int AdmitAfterSightings { get; init; } = 1;

    /// <summary>
    /// After how many iterations of every worker without the key in a batch its weight is forgotten, at least 1; null, the default, never.
    /// Below the iterations of a pass it forgets keys that each pass has once. Not where gradients are summed.
    /// </summary>
    public int? ExpireAfterClocks { get; init; }

    /// <summary>Passes over the data, at least 1.</summary>
    public int Passes { get; init; } = 3;

    /// <summary>Rows of a batch, at least 1; null takes <see cref="DefaultBatchRows"/> of the data.</summary>
    public int? BatchRows { get; init; }

    /// <summary>
    /// How many iterations a worker may be ahead of the slowest, at least 0 (tau of Li et al. 2014, bounded delay); null for no bound.
    /// With 0 every iteration waits for all workers' previous one. The default 1 lets the next pull overlap the computation.
    /// </summary>
    public int? DelayBound { get; init; } = 1;

    /// <summary>
    /// Whether the workers' gradients of an iteration are summed before one update (design R19); null sums where the delay bound is 0, so
    /// that such a run gives the same bits on any number of servers.
    /// </summary>
    public bool? Aggregate { get; init; }

    /// <summary>Whether every row has an intercept.</summary>
    public bool Intercept { get; init; } = true;

    /// <summary>
    /// A key's gradient is pushed once it has summed up to more than this, above 0, and is held back until then (<see cref="SignificantRows"/>). Null, the default, pushes each. In the last of several passes nothing is held back; what is left is pushed with a worker's last
    /// iteration, and before each pause.
    /// </summary>
    public float? SignificantThreshold { get; init; }

    /// <summary>Which part of a batch's keys is pushed, those with the largest gradients; the others are held back (<see cref="LargestRows"/>). Null, the default, pushes all.</summary>
    public float? LargestFraction { get; init; }

    /// <summary>With which chance a key's gradient is pushed, multiplied by 1 over it; else it is lost (<see cref="RandomRows"/>). Null, the default, pushes each.</summary>
    public float? SendChance { get; init; }

    /// <summary>Whether gradients are summed before the update.</summary>
    public bool EffectiveAggregate => Aggregate ?? DelayBound == 0;

    /// <summary>The intercept's key, or null where rows have none.</summary>
    public ulong? EffectiveInterceptKey => Intercept ? InterceptKey : null;

    /// <summary>A worker's pushes through the filters, and behind them those of a user's own; null where there are none.</summary>
    internal FilteredPushes? Filtered(Worker worker, WeirTable table, IReadOnlyList<Func<RowFilter>> own)
    {
        List<RowFilter> filters = [];
        if (SignificantThreshold is { } threshold)
        {
            filters.Add(new SignificantRows(threshold));
        }

        if (LargestFraction is { } fraction)
        {
            filters.Add(new LargestRows(fraction));
        }

        if (SendChance is { } chance)
        {
            filters.Add(new RandomRows(chance));
        }

        filters.AddRange(own.Select(make => make()));

        // A batch's keys were pulled just before. To the other rules a gradient of zero is a step too.
        bool keepsKeys = Rule is UpdateRuleKind.Ftrl or UpdateRuleKind.Adagrad or UpdateRuleKind.Sgd;
        return filters.Count == 0 ? null : new FilteredPushes(worker, table, filters, keepsKeys);
    }

    /// <summary>The learning rate in force.</summary>
    public float EffectiveAlpha => Alpha ?? Rule switch
    {
        UpdateRuleKind.Ftrl => 0.15f,
        UpdateRuleKind.Adagrad => 0.1f,
        UpdateRuleKind.Adam => 0.005f,
        UpdateRuleKind.Momentum => 0.00015f,
        _ => 0.0003f,
    };

    /// <summary>The beta in force; 0 for a rule that has none.</summary>
    public float EffectiveBeta => Beta ?? Rule switch
    {
        UpdateRuleKind.Ftrl => 10,
        UpdateRuleKind.Adagrad => 1,
        UpdateRuleKind.Adam => 0.9f,
        UpdateRuleKind.Momentum => 0.5f,
        _ => 0,
    };

    /// <summary>The L1 penalty in force; 0 for a rule that has none.</summary>
    public float EffectiveL1 => L1 ?? Rule switch
    {
        UpdateRuleKind.Ftrl => 5,
        UpdateRuleKind.ProximalSgd => 0.2f,
        _ => 0,
    };

    /// <summary>The L2 penalty in force; 0 for a rule that has none.</summary>
    public float EffectiveL2 => L2 ?? (Rule is UpdateRuleKind.Ftrl ? 1 : 0);

    /// <summary>The rows of a batch where none are asked for: 4096, or a hundredth of the data where 4096 is above a twentieth of it.</summary>
    /// <param name="rows">Rows of the training data, at least 1.</param>
    /// <returns>At least 1.</returns>
    public static int DefaultBatchRows(long rows) =>
        rows >= (long)LargestDefaultBatchRows * FewestDefaultBatches ? LargestDefaultBatchRows : (int)Math.Max(1, rows / SmallDataBatches);

    /// <summary>The rule as a table declares it.</summary>
    /// <returns>The rule with the rates and penalties in force.</returns>
    /// <exception cref="ArgumentException">An option is out of its range; the message lists all that are.</exception>
    public UpdateRule ToUpdateRule()
    {
        Validate();
        return Rule switch
        {
            UpdateRuleKind.Ftrl => UpdateRule.Ftrl(EffectiveAlpha, EffectiveBeta, EffectiveL1, EffectiveL2),
            UpdateRuleKind.Adagrad => UpdateRule.Adagrad(EffectiveAlpha, EffectiveBeta),
            UpdateRuleKind.Adam => UpdateRule.Adam(EffectiveAlpha, EffectiveBeta),
            UpdateRuleKind.Momentum => UpdateRule.Momentum(EffectiveAlpha, EffectiveBeta),
            UpdateRuleKind.ProximalSgd => UpdateRule.ProximalSgd(EffectiveAlpha, EffectiveL1, EffectiveL2),
            _ => UpdateRule.Sgd(EffectiveAlpha),
        };
    }

    /// <summary>Checks every option.</summary>
    /// <exception cref="ArgumentException">Options are out of their range; the message has a line for each.</exception>
    public void Validate()
    {
        var faults = new List<string>();
        Check(
            Rule is UpdateRuleKind.Ftrl or UpdateRuleKind.Adagrad or UpdateRuleKind.Adam or UpdateRuleKind.Sgd or UpdateRuleKind.Momentum or UpdateRuleKind.ProximalSgd,
            $"the rule {Rule} does not learn; take Ftrl, Adagrad, Adam, Sgd, Momentum or ProximalSgd");
        Check(EffectiveAlpha > 0 && float.IsFinite(EffectiveAlpha), $"alpha {EffectiveAlpha} must be a finite number above 0");
        Check(EffectiveBeta >= 0 && float.IsFinite(EffectiveBeta), $"beta {EffectiveBeta} must be a finite number, 0 or above");
        Check(Rule is not (UpdateRuleKind.Adam or UpdateRuleKind.Momentum) || EffectiveBeta < 1, $"beta {EffectiveBeta} must be below 1 for {Rule}");
        Check(EffectiveL1 >= 0 && float.IsFinite(EffectiveL1), $"l1 {EffectiveL1} must be a finite number, 0 or above");
        Check(EffectiveL2 >= 0 && float.IsFinite(EffectiveL2), $"l2 {EffectiveL2} must be a finite number, 0 or above");
        Check(AdmitAfterSightings is >= 1 and <= 100, $"admit after sightings {AdmitAfterSightings} must be 1 to 100");
        Check(ExpireAfterClocks is null or >= 1, $"expire after clocks {ExpireAfterClocks} must be at least 1");
        Check(ExpireAfterClocks is null || !EffectiveAggregate, "expire after clocks is given and gradients are summed: a sum promises the same bits always, and when a weight is forgotten does not");
        Check(Passes >= 1, $"passes {Passes} must be at least 1");
        Check(BatchRows is null or >= 1, $"batch rows {BatchRows} must be at least 1");
        Check(DelayBound is null or >= 0, $"delay bound {DelayBound} must be at least 0");
        Check(SignificantThreshold is null || (SignificantThreshold > 0 && float.IsFinite(SignificantThreshold.Value)), $"significant threshold {SignificantThreshold} must be a finite number above 0");
        Check(LargestFraction is null or (> 0 and <= 1), $"largest fraction {LargestFraction} must be above 0 and at most 1");
        Check(SendChance is null or (> 0 and <= 1), $"send chance {SendChance} must be above 0 and at most 1");
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
