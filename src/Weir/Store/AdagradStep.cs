using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// Adagrad, the diagonal form of Duchi, Hazan and Singer 2011 (figure 1 with H = diag(sqrt(sum g^2)), no regulariser), with an epsilon
/// in the denominator. Plane 0 holds n, the sum of squared gradients.
/// </summary>
internal readonly struct AdagradStep(float alpha, float epsilon) : IElementwiseStep
{
    private readonly Vector256<float> _alpha = Vector256.Create(alpha);
    private readonly Vector256<float> _epsilon = Vector256.Create(epsilon);

    public static int Planes => 1;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        // n_t = n_{t-1} + g^2
        state0 += pushed * pushed;
        // w_t = w_{t-1} - alpha g / (sqrt(n_t) + epsilon)
        Vector256<float> denominator = Vector256.Sqrt(state0) + _epsilon;
        Vector256<float> step = _alpha * pushed / denominator;
        // Without an epsilon the first gradients may all be zero, or so small that their squares are: 0/0 means no step.
        values -= Vector256.ConditionalSelect(Vector256.Equals(denominator, Vector256<float>.Zero), Vector256<float>.Zero, step);
    }
}
