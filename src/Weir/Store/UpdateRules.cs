using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <summary>Turns a rule as a table declares it into its arithmetic.</summary>
internal static class UpdateRules
{
    /// <summary>The arithmetic of <paramref name="rule"/>, whose parameters were checked when it was made or read.</summary>
    public static IUpdateRule Create(UpdateRule rule)
    {
        switch (rule.Kind)
        {
            case UpdateRuleKind.Add:
                return new ElementwiseRule<AddStep, AssignStep>(default, default);
            case UpdateRuleKind.Assign:
                return new ElementwiseRule<AssignStep, AssignStep>(default, default);
            case UpdateRuleKind.Sgd:
                return new ElementwiseRule<SgdStep, AssignStep>(new SgdStep(rule.A), default);
            case UpdateRuleKind.Adagrad:
                return new ElementwiseRule<AdagradStep, AssignStep>(new AdagradStep(rule.A, rule.B), default);
            case UpdateRuleKind.Adam:
                return new AdamRule(rule.A, rule.B, rule.C, rule.D);
            case UpdateRuleKind.Ftrl:
                FtrlForm form = new(rule.A, rule.B, rule.C, rule.D);
                return new ElementwiseRule<FtrlStep, FtrlAssignStep>(new FtrlStep(form), new FtrlAssignStep(form));
            case UpdateRuleKind.Momentum:
                return new ElementwiseRule<MomentumStep, StopAndAssignStep>(new MomentumStep(rule.A, rule.B), default);
            case UpdateRuleKind.ProximalSgd:
                return new ElementwiseRule<ProximalSgdStep, AssignStep>(new ProximalSgdStep(rule.A, rule.B, rule.C), default);
            case UpdateRuleKind.DiagonalProximal:
                return new ElementwiseRule<DiagonalProximalStep, AssignStep>(new DiagonalProximalStep(rule.A, rule.B, rule.C, keepsGradient: rule.D == 1), default);
            case UpdateRuleKind.Count:
                return new ElementwiseRule<CountStep, AssignStep>(default, default);
            case UpdateRuleKind.Union:
                return new ElementwiseRule<UnionStep, AssignStep>(default, default);
            case UpdateRuleKind.GroupProximal:
                return new GroupProximalRule(rule.A, rule.B, rule.C, rule.D);
            case UpdateRuleKind.Score:
                return new ElementwiseRule<ScoreStep, AssignStep>(default, default);
            default:
                Invariant.Broken("a table's update rule is one that this version knows");
                return null;
        }
    }
}
