using Weir.Learn.Metrics;

namespace Weir.Learn.ProximalGradient;

/// <summary>
/// What a worker keeps of the model: the weights that it has pulled for its columns and the margins X w of its rows. Margins are sums of
/// whole multiples of 2^-40, each product rounded by itself, so a sum does not depend on the order or the history of its changes: a worker
/// that is hosted anew and computes its margins from the weights goes on with the bits of the one before (design R21). Margins are exact to
/// 2^-41 a non-zero, and mean nothing from 2^23 on, where the probabilities have long been 0 and 1. Not thread-safe.
/// </summary>
/// <param name="share">The worker's rows.</param>
internal sealed class BlockState(ColumnShare share)
{
    private const int FractionBits = 40;
    private const double Scale = 1L << FractionBits;

    // e^(1/2): of the logistic loss the third derivative is at most the second, so that this grows by no more while the margin moves by 1/2.
    private const double Growth = 1.6487212707001282;

    private readonly float[] _weights = new float[share.Columns];
    private readonly float[] _gradients = new float[share.Columns];
    private readonly long[] _margins = new long[share.Rows];
    private readonly double[] _errors = new double[share.Rows];

    /// <summary>The rows.</summary>
    public ColumnShare Share => share;

    /// <summary>The weight of each column as it was pulled last, 0 at first.</summary>
    public ReadOnlySpan<float> Weights => _weights;

    /// <summary>The summed gradient of each column's last step, where the servers keep it; else 0.</summary>
    public ReadOnlySpan<float> LastGradients => _gradients;

    /// <summary>The margin of a row.</summary>
    public double Margin(int row) => _margins[row] / Scale;

    /// <summary>Takes over pulled weights of a run of columns: the margins change by x (w_new - w_old).</summary>
    /// <param name="firstColumn">The first of them.</param>
    /// <param name="pulled">Two floats for each column: the weight, and the gradient of its last step.</param>
    public void Adopt(int firstColumn, ReadOnlySpan<float> pulled)
    {
        for (int at = 0; at < pulled.Length; at += 2)
        {
            Adopt(firstColumn + (at / 2), pulled[at], pulled[at + 1]);
        }
    }

    /// <summary>The same of columns that do not lie side by side.</summary>
    public void Adopt(ReadOnlySpan<int> columns, ReadOnlySpan<float> pulled)
    {
        for (int at = 0; at < columns.Length; at++)
        {
            Adopt(columns[at], pulled[2 * at], pulled[(2 * at) + 1]);
        }
    }

    /// <summary>Computes what the gradients of this iteration need: sigmoid(x.w) - y of each row.</summary>
    public void ComputeErrors()
    {
        ReadOnlySpan<float> labels = share.Labels;
        for (int row = 0; row < labels.Length; row++)
        {
            _errors[row] = LogisticFunction.Sigmoid(Margin(row)) - labels[row];
        }
    }

    /// <summary>The sum of the rows' log-losses in nats.</summary>
    public double Loss()
    {
        double loss = 0;
        for (int row = 0; row < _margins.Length; row++)
        {
            loss += LogisticFunction.Loss(Margin(row), share.Labels[row]);
        }

        return loss;
    }

    /// <summary>
    /// The derivative of the summed loss by a column's weight, g = sum_i (sigmoid(x_i.w) - y_i) x_ij (the first-order gradient of Li et al.
    /// 2014, OSDI, algorithm 3), from the errors computed last. Summed in double in the order of the rows.
    /// </summary>
    public double Gradient(int column)
    {
        ReadOnlySpan<int> rows = share.RowsOf(column);
        ReadOnlySpan<float> values = share.Values(column);
        double gradient = 0;
        for (int index = 0; index < rows.Length; index++)
        {
            gradient += _errors[rows[index]] * values[index];
        }

        return gradient;
    }

    /// <summary>
    /// An upper bound of the summed loss's second derivative by a column's weight as long as no margin moves by more than 1/2: the sum of
    /// min(1/4, e^(1/2) p (1 - p)) x^2, with the errors computed last. At least <see cref="ColumnShare.LeastCurvature"/>.
    /// </summary>
    public double LocalCurvature(int column)
    {
        ReadOnlySpan<int> rows = share.RowsOf(column);
        ReadOnlySpan<float> values = share.Values(column);
        double curvature = 0;
        for (int index = 0; index < rows.Length; index++)
        {
            // With a label of 0 or 1 the error is p or p - 1, so that p (1 - p) = |e| (1 - |e|).
            double error = Math.Abs(_errors[rows[index]]);
            curvature += Math.Min(0.25, Growth * error * (1 - error)) * values[index] * values[index];
        }

        return Math.Max(curvature, ColumnShare.LeastCurvature);
    }

    private void Adopt(int column, float after, float gradient)
    {
        float before = _weights[column];
        _gradients[column] = gradient;
        if (before == after)
        {
            return;
        }

        ReadOnlySpan<int> rows = share.RowsOf(column);
        ReadOnlySpan<float> values = share.Values(column);
        for (int index = 0; index < rows.Length; index++)
        {
            // What wraps around comes back when the weight does: sums are of whole numbers modulo 2^64.
            unchecked
            {
                _margins[rows[index]] += Product(after, values[index]) - Product(before, values[index]);
            }
        }

        _weights[column] = after;
    }

    // The product of two floats and its multiple by a power of two are exact in double: it is rounded once.
    private static long Product(float weight, float value) => (long)Math.Round((double)weight * value * Scale);
}
