using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// Arithmetic over runs of floats (BLAS level 1, papers PS-1). Sums are kept in double precision, in an order that depends on the length alone, so that every run
/// of the same floats gives the same bits. No multiplication is fused with an addition: machines that can and that cannot agree.
/// </summary>
internal static class RowKernels
{
    /// <summary>y = own y + factor x.</summary>
    public static void Linear(Span<float> y, ReadOnlySpan<float> x, float factor, float own) => Elementwise.Run(new LinearStep(factor, own), y, [], [], x);

    /// <summary>y = own y.</summary>
    public static void Scale(Span<float> y, float own) => Elementwise.Run(new LinearStep(0, own), y, [], [], y);

    /// <summary>y = y x.</summary>
    public static void Multiply(Span<float> y, ReadOnlySpan<float> x) => Elementwise.Run(default(MultiplyStep), y, [], [], x);

    /// <summary>Sum of x.</summary>
    public static double Sum(ReadOnlySpan<float> x) => Reduce<Identity>(x, x);

    /// <summary>Sum of |x|.</summary>
    public static double SumOfMagnitudes(ReadOnlySpan<float> x) => Reduce<Magnitude>(x, x);

    /// <summary>Sum of x y; both equally long.</summary>
    public static double Dot(ReadOnlySpan<float> x, ReadOnlySpan<float> y) => Reduce<Product>(x, y);

    /// <summary>The largest of x; minus infinity where there is none.</summary>
    public static double Maximum(ReadOnlySpan<float> x)
    {
        float largest = float.NegativeInfinity;
        foreach (float value in x)
        {
            largest = Math.Max(largest, value);
        }

        return largest;
    }

    /// <summary>The largest of |x|; 0 where there is none.</summary>
    public static double MaximumMagnitude(ReadOnlySpan<float> x)
    {
        float largest = 0;
        foreach (float value in x)
        {
            largest = Math.Max(largest, Math.Abs(value));
        }

        return largest;
    }

    // Four sums of every fourth term, so that one addition does not wait for the one before it.
    private static double Reduce<TTerm>(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
        where TTerm : struct, ITerm
    {
        if (x.Length != y.Length)
        {
            throw new ArgumentException("both must have equally many floats", nameof(y));
        }

        ref float first = ref MemoryMarshal.GetReference(x), second = ref MemoryMarshal.GetReference(y);
        Vector256<double> sums = default;
        int whole = x.Length - (x.Length % Vector128<float>.Count);
        for (int i = 0; i < whole; i += Vector128<float>.Count)
        {
            sums += TTerm.Of(Widened(Vector128.LoadUnsafe(ref first, (nuint)i)), Widened(Vector128.LoadUnsafe(ref second, (nuint)i)));
        }

        double sum = Vector256.Sum(sums);
        for (int i = whole; i < x.Length; i++)
        {
            sum += TTerm.Of(Vector256.CreateScalar((double)x[i]), Vector256.CreateScalar((double)y[i])).ToScalar();
        }

        return sum;
    }

    private static Vector256<double> Widened(Vector128<float> floats)
    {
        (Vector128<double> lower, Vector128<double> upper) = Vector128.Widen(floats);
        return Vector256.Create(lower, upper);
    }

    private interface ITerm
    {
        static abstract Vector256<double> Of(Vector256<double> x, Vector256<double> y);
    }

    private readonly struct Identity : ITerm
    {
        public static Vector256<double> Of(Vector256<double> x, Vector256<double> y) => x;
    }

    private readonly struct Magnitude : ITerm
    {
        public static Vector256<double> Of(Vector256<double> x, Vector256<double> y) => Vector256.Abs(x);
    }

    private readonly struct Product : ITerm
    {
        public static Vector256<double> Of(Vector256<double> x, Vector256<double> y) => x * y;
    }

    private readonly struct LinearStep(float factor, float own) : IElementwiseStep
    {
        private readonly Vector256<float> _factor = Vector256.Create(factor);
        private readonly Vector256<float> _own = Vector256.Create(own);

        public static int Planes => 0;

        public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) =>
            values = (_own * values) + (_factor * pushed);
    }

    private readonly struct MultiplyStep : IElementwiseStep
    {
        public static int Planes => 0;

        public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed) => values *= pushed;
    }
}
