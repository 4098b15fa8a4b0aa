using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// The proximal step in the norm of a diagonal, Li et al. 2014 (OSDI), algorithm 3, and Li et al. 2014 (NIPS), section 3: with U = diag(u)
/// and r(w) = l1 |w| + l2/2 w^2, w = Prox^U_gamma[w - gamma U^-1 g], where Prox^U_gamma(x) = argmin_y r(y) + 1/(2 gamma) (x - y)^2 u.
/// It gives exact zeros.
/// </summary>
/// <remarks>
/// Floats come in pairs, and an even lane has its pair's whole step: a pushed pair is (g, u), a pair of values is (w, what it was set to), or (w, the g of the last
/// push) where the rule keeps the gradient.
/// A key without curvature stays: nobody's data have it.
/// </remarks>
internal readonly struct DiagonalProximalStep(float gamma, float l1, float l2, bool keepsGradient) : IElementwiseStep
{
    private readonly Vector256<float> _gamma = Vector256.Create(gamma);
    private readonly Vector256<float> _l1 = Vector256.Create(l1);
    private readonly Vector256<float> _l2 = Vector256.Create(l2);

    private readonly Vector256<float> _keeps = keepsGradient ? Vector256.Create(0, -1, 0, -1, 0, -1, 0, -1).AsSingle() : Vector256<float>.Zero;

    private static readonly Vector256<float> SecondOfPair = Vector256.Create(0, -1, 0, -1, 0, -1, 0, -1).AsSingle();

    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        Vector256<float> curvature = Vector256.Shuffle(pushed, Vector256.Create(1, 1, 3, 3, 5, 5, 7, 7));
        Vector256<float> rate = _gamma / curvature;
        // z = w - gamma g / u
        Vector256<float> moved = values - (rate * pushed);
        // w = sign(z) max(0, |z| - gamma l1 / u) / (1 + gamma l2 / u)
        Vector256<float> threshold = rate * _l1;
        Vector256<float> rest = (moved - Vector256.CopySign(threshold, moved)) / (Vector256<float>.One + (rate * _l2));
        // A comparison and not a maximum: what is not a number stays so, and a zero is the positive one.
        Vector256<float> weight = Vector256.ConditionalSelect(Vector256.LessThanOrEqual(Vector256.Abs(moved), threshold), Vector256<float>.Zero, rest);
        Vector256<float> gradient = Vector256.Shuffle(pushed, Vector256.Create(0, 0, 2, 2, 4, 4, 6, 6));
        Vector256<float> second = Vector256.ConditionalSelect(_keeps, gradient, values);
        Vector256<float> stepped = Vector256.ConditionalSelect(SecondOfPair, second, weight);
        values = Vector256.ConditionalSelect(Vector256.LessThanOrEqual(curvature, Vector256<float>.Zero), values, stepped);
    }
}
