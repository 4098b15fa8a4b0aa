using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// Classical momentum: the heavy ball of Polyak 1964 as Sutskever, Martens, Dahl and Hinton 2013 write it (equations 1 and 2). Plane 0
/// holds the velocity v.
/// </summary>
internal readonly struct MomentumStep(float alpha, float mu) : IElementwiseStep
{
    private readonly Vector256<float> _alpha = Vector256.Create(alpha);
    private readonly Vector256<float> _mu = Vector256.Create(mu);

    public static int Planes => 1;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        // v_{t+1} = mu v_t - alpha g
        state0 = (_mu * state0) - (_alpha * pushed);
        // w_{t+1} = w_t + v_{t+1}
        values += state0;
    }
}

/// <summary>Sets the values and stops them: the velocity described the way to other values.</summary>
internal readonly struct StopAndAssignStep : IElementwiseStep
{
    public static int Planes => 1;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        values = pushed;
        state0 = Vector256<float>.Zero;
    }
}
