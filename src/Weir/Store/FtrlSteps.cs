using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// FTRL-proximal, McMahan et al. 2013, algorithm 1, with per-coordinate rates. The value is the weight w itself, so that a pull reads it
/// without arithmetic; plane 0 holds z, plane 1 holds n. L1 gives exact zeros.
/// </summary>
internal readonly struct FtrlStep(FtrlForm form) : IElementwiseStep
{
    public static int Planes => 2;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        Vector256<float> squares = state1 + (pushed * pushed);
        // sigma = (sqrt(n + g^2) - sqrt(n)) / alpha
        Vector256<float> root = Vector256.Sqrt(squares);
        Vector256<float> sigma = (root - Vector256.Sqrt(state1)) * form.InverseAlpha;
        // z = z + g - sigma w, n = n + g^2
        state0 = state0 + pushed - (sigma * values);
        state1 = squares;
        values = form.Weight(state0, form.Denominator(root));
    }
}

/// <summary>
/// Sets the weight of <see cref="FtrlStep"/>: n stays, and z becomes the one for which the closed form gives the weight, so that the
/// next gradient moves it from there.
/// </summary>
internal readonly struct FtrlAssignStep(FtrlForm form) : IElementwiseStep
{
    public static int Planes => 2;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        // w = -(z - sign(z) l1) / d  and sign(z) = -sign(w) give  z = -(w d + sign(w) l1)
        Vector256<float> z = -((pushed * form.Denominator(Vector256.Sqrt(state1))) + Vector256.CopySign(form.L1, pushed));
        Vector256<float> isZero = Vector256.Equals(pushed, Vector256<float>.Zero);
        state0 = Vector256.ConditionalSelect(isZero, Vector256<float>.Zero, z);
        values = pushed;
    }
}

/// <summary>The closed form of algorithm 1 that turns z and n into a weight, with the rule's parameters in every lane.</summary>
internal readonly struct FtrlForm(float alpha, float beta, float l1, float l2)
{
    private readonly Vector256<float> _beta = Vector256.Create(beta);
    private readonly Vector256<float> _l2 = Vector256.Create(l2);

    // Rounded once here: a multiply by it costs a fifth of a division, and every processor gets the same number.
    public Vector256<float> InverseAlpha { get; } = Vector256.Create(1 / alpha);

    public Vector256<float> L1 { get; } = Vector256.Create(l1);

    /// <summary>d = (beta + sqrt(n)) / alpha + l2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<float> Denominator(Vector256<float> root) => ((_beta + root) * InverseAlpha) + _l2;

    /// <summary>w = 0 where |z| is at most l1, else -(z - sign(z) l1) / d.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<float> Weight(Vector256<float> z, Vector256<float> denominator)
    {
        Vector256<float> weight = (Vector256.CopySign(L1, z) - z) / denominator;
        return Vector256.ConditionalSelect(Vector256.LessThanOrEqual(Vector256.Abs(z), L1), Vector256<float>.Zero, weight);
    }
}
