using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>Four signed 64-bit integers in the lanes of eight floats: w = w + v, which wraps around.</summary>
internal readonly struct CountStep : IElementwiseStep
{
    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) =>
        values = (values.AsInt64() + pushed.AsInt64()).AsSingle();
}

/// <summary>Sets of bits: w = w or v.</summary>
internal readonly struct UnionStep : IElementwiseStep
{
    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) =>
        values = (values.AsUInt32() | pushed.AsUInt32()).AsSingle();
}

/// <summary>Four doubles in the lanes of eight floats: w = w + v, and the largest finite number where that is beyond it.</summary>
internal readonly struct ScoreStep : IElementwiseStep
{
    public static int Planes => 0;

    public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
    {
        // Both are finite, so the sum may be infinite but is a number: scores stay comparable.
        Vector256<double> sum = values.AsDouble() + pushed.AsDouble();
        values = Vector256.Min(Vector256.Max(sum, Vector256.Create(double.MinValue)), Vector256.Create(double.MaxValue)).AsSingle();
    }
}
