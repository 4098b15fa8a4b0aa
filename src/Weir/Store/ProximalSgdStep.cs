using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// Forward-backward splitting, Duchi and Singer 2009 (equations 2 and 3), with r(w) = l1 |w| + l2/2 w^2: a gradient step, then the
/// proximal operator Prox_alpha(u) = argmin_y r(y) + 1/(2 alpha) (y - u)^2 of Li et al. 2014, algorithm 3. It gives exact zeros.
/// </summary>
internal readonly struct ProximalSgdStep(float alpha, float l1, float l2) : IElementwiseStep
{
    private readonly Vector256<float> _alpha = Vector256.Create(alpha);
    private readonly Vector256<float> _threshold = Vector256.Create(alpha * l1);
    private readonly Vector256<float> _shrinkage = Vector256.Create(1 + (alpha * l2));

    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        // u = w - alpha g
        Vector256<float> moved = values - (_alpha * pushed);
        // w = sign(u) max(0, |u| - alpha l1) / (1 + alpha l2)
        Vector256<float> rest = (moved - Vector256.CopySign(_threshold, moved)) / _shrinkage;
        // A comparison and not a maximum: what is not a number stays so, and a zero is the positive one.
        values = Vector256.ConditionalSelect(Vector256.LessThanOrEqual(Vector256.Abs(moved), _threshold), Vector256<float>.Zero, rest);
    }
}
