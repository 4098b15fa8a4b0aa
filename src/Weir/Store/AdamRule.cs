using System.Runtime.Intrinsics;

namespace Weir.Store;

/// <summary>
/// Adam, Kingma and Ba 2015, algorithm 1, each row with its own step count. Plane 0 holds the first moment m, plane 1 the second moment
/// v; two scalars a row hold the bias corrections 1 - beta1^t and 1 - beta2^t.
/// </summary>
/// <remarks>
/// With c = 1 - beta^t the next correction is c' = beta c + (1 - beta), the recurrence of a moment whose gradient is always 1. It needs
/// no power function, which no standard makes equal on two processors, begins at 0 like all state, and adds only numbers of one sign,
/// where 1 - beta^t from a kept power would lose three digits while beta^t is near 1.
/// </remarks>
internal sealed class AdamRule(float alpha, float beta1, float beta2, float epsilon) : IUpdateRule
{
    /// <inheritdoc/>
    public int Planes => 2;

    /// <inheritdoc/>
    public int Scalars => 2;

    /// <inheritdoc/>
    public void Apply(Span<float> values, Span<float> state, ReadOnlySpan<float> gradients, int width)
    {
        int floats = values.Length, rows = floats / width;
        Span<float> first = state[..floats], second = state.Slice(floats, floats);
        Span<float> correction1 = state.Slice(2 * floats, rows), correction2 = state.Slice((2 * floats) + rows, rows);
        for (int row = 0; row < rows; row++)
        {
            // 1 - beta^t = beta (1 - beta^{t-1}) + (1 - beta)
            correction1[row] = (beta1 * correction1[row]) + (1 - beta1);
            correction2[row] = (beta2 * correction2[row]) + (1 - beta2);
            AdamStep step = new(alpha, beta1, beta2, epsilon, correction1[row], correction2[row]);
            int at = row * width;
            Elementwise.Run(step, values.Slice(at, width), first.Slice(at, width), second.Slice(at, width), gradients.Slice(at, width));
        }
    }

    /// <summary>Sets the values and forgets the moments and the step count: they described the way to other values.</summary>
    public void Assign(Span<float> values, Span<float> state, ReadOnlySpan<float> assigned, int width)
    {
        assigned.CopyTo(values);
        state.Clear();
    }

    private readonly struct AdamStep(float alpha, float beta1, float beta2, float epsilon, float correction1, float correction2)
        : IElementwiseStep
    {
        private readonly Vector256<float> _alpha = Vector256.Create(alpha);
        private readonly Vector256<float> _beta1 = Vector256.Create(beta1);
        private readonly Vector256<float> _beta2 = Vector256.Create(beta2);
        private readonly Vector256<float> _rest1 = Vector256.Create(1 - beta1);
        private readonly Vector256<float> _rest2 = Vector256.Create(1 - beta2);
        private readonly Vector256<float> _epsilon = Vector256.Create(epsilon);
        private readonly Vector256<float> _correction1 = Vector256.Create(correction1);
        private readonly Vector256<float> _correction2 = Vector256.Create(correction2);

        public static int Planes => 2;

        public void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed)
        {
            // m_t = beta1 m_{t-1} + (1 - beta1) g
            state0 = (_beta1 * state0) + (_rest1 * pushed);
            // v_t = beta2 v_{t-1} + (1 - beta2) g^2
            state1 = (_beta2 * state1) + (_rest2 * (pushed * pushed));
            // w_t = w_{t-1} - alpha m^ / (sqrt(v^) + epsilon), m^ = m_t / (1 - beta1^t), v^ = v_t / (1 - beta2^t)
            Vector256<float> root = Vector256.Sqrt(state1 / _correction2);
            values -= _alpha * (state0 / _correction1) / (root + _epsilon);
        }
    }
}
