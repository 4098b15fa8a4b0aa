using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>w = w + v.</summary>
internal readonly struct AddStep : IElementwiseStep
{
    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) =>
        values += pushed;
}

/// <summary>w = v. Also the assignment of every rule whose state stays true whatever the value is: Adagrad keeps its sum.</summary>
internal readonly struct AssignStep : IElementwiseStep
{
    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) =>
        values = pushed;
}

/// <summary>Gradient descent: w = w - alpha g.</summary>
internal readonly struct SgdStep(float alpha) : IElementwiseStep
{
    private readonly Vector256<float> _alpha = Vector256.Create(alpha);

    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) =>
        values -= _alpha * pushed;
}
