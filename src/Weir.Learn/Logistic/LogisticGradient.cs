using Weir.Learn.Metrics;

namespace Weir.Learn.Logistic;

/// <summary>
/// The arithmetic of logistic regression over a batch whose keys are numbered: pure functions over spans. Sums are taken in double, row
/// by row and non-zero by non-zero, so that equal inputs give equal bits.
/// </summary>
internal static class LogisticGradient
{
    /// <summary>The number under which a batch with an intercept has it: the first.</summary>
    public const int InterceptNumber = 0;

    /// <summary>The margin w.x of one row.</summary>
    /// <param name="numbers">For each non-zero the number of its key.</param>
    /// <param name="values">For each non-zero its value.</param>
    /// <param name="weights">By number.</param>
    public static double Margin(ReadOnlySpan<int> numbers, ReadOnlySpan<float> values, ReadOnlySpan<float> weights)
    {
        double margin = 0;
        for (int index = 0; index < numbers.Length; index++)
        {
            margin += (double)weights[numbers[index]] * values[index];
        }

        return margin;
    }

    /// <summary>
    /// The sum over the rows of the gradient of the log-loss, by key: g_k = sum_r (sigmoid(w.x_r) - y_r) x_rk (McMahan et al. 2013,
    /// algorithm 1: g_i = (p_t - y_t) x_i).
    /// </summary>
    /// <param name="offsets">Rows + 1 positions in <paramref name="numbers"/>.</param>
    /// <param name="numbers">For each non-zero the number of its key.</param>
    /// <param name="values">For each non-zero its value.</param>
    /// <param name="labels">0 or 1 for each row.</param>
    /// <param name="weights">By number.</param>
    /// <param name="intercept">Whether every row has a further non-zero of value 1 under <see cref="InterceptNumber"/>.</param>
    /// <param name="gradient">By number, as long as <paramref name="weights"/>; overwritten.</param>
    /// <returns>The sum of the rows' log-losses in nats under the weights given.</returns>
    public static double Compute(
        ReadOnlySpan<int> offsets,
        ReadOnlySpan<int> numbers,
        ReadOnlySpan<float> values,
        ReadOnlySpan<float> labels,
        ReadOnlySpan<float> weights,
        bool intercept,
        Span<double> gradient)
    {
        gradient.Clear();
        double loss = 0;
        for (int row = 0; row < labels.Length; row++)
        {
            int start = offsets[row];
            ReadOnlySpan<int> rowNumbers = numbers[start..offsets[row + 1]];
            ReadOnlySpan<float> rowValues = values.Slice(start, rowNumbers.Length);
            double margin = Margin(rowNumbers, rowValues, weights) + (intercept ? weights[InterceptNumber] : 0);
            double error = LogisticFunction.Sigmoid(margin) - labels[row];
            loss += LogisticFunction.Loss(margin, labels[row]);
            for (int index = 0; index < rowNumbers.Length; index++)
            {
                gradient[rowNumbers[index]] += error * rowValues[index];
            }

            if (intercept)
            {
                gradient[InterceptNumber] += error;
            }
        }

        return loss;
    }
}
