namespace Weir.Learn.Metrics;

/// <summary>
/// The logistic function and its loss, computed so that no argument overflows. <see cref="Exp"/> and <see cref="Sigmoid"/> use IEEE
/// additions, multiplications and divisions in a fixed order only, so they give the same bits on every processor, which the platform's
/// own exponential does not promise. Stateless, hence safe for any number of threads.
/// </summary>
public static class LogisticFunction
{
    private const double Log2E = 1.4426950408889634;

    // ln 2 in two parts: the high one has trailing zero bits, so that its product with a small whole number is exact (Cody and Waite 1980).
    private const double Ln2High = 6.93147180369123816490e-01;
    private const double Ln2Low = 1.90821492927058770002e-10;

    // Below this the result is taken as 0: the true value is under 1e-307.
    private const double SmallestArgument = -708;
    private const double LargestArgument = 709;

    /// <summary>e to the power <paramref name="x"/>, within two units in the last place; 0 below -708, infinite above 709, NaN for NaN.</summary>
    /// <param name="x">Any number.</param>
    /// <returns>The power.</returns>
    public static double Exp(double x)
    {
        if (double.IsNaN(x))
        {
            return x;
        }

        if (x < SmallestArgument)
        {
            return 0;
        }

        if (x > LargestArgument)
        {
            return double.PositiveInfinity;
        }

        // x = k ln 2 + r with |r| <= ln 2 / 2, and e^x = 2^k e^r.
        double k = Math.Floor((x * Log2E) + 0.5);
        double r = x - (k * Ln2High) - (k * Ln2Low);

        // e^r by Horner's rule on the Taylor series; the first term left out is below r^14 / 14! < 5e-18.
        double sum = 1;
        for (int term = 13; term >= 1; term--)
        {
            sum = 1 + (r * sum * Reciprocals[term]);
        }

        return sum * BitConverter.Int64BitsToDouble(((long)k + 1023) << 52);
    }

    /// <summary>The probability 1 / (1 + e^-margin).</summary>
    /// <param name="margin">The log-odds.</param>
    /// <returns>A number in [0, 1], NaN for NaN.</returns>
    public static double Sigmoid(double margin)
    {
        // The exponential of a negative number never overflows, so each half of the line has its own form.
        if (margin >= 0)
        {
            return 1 / (1 + Exp(-margin));
        }

        double power = Exp(margin);
        return power / (1 + power);
    }

    /// <summary>
    /// The log-loss of one row in nats: -ln p for label 1, -ln(1 - p) for label 0, with p the sigmoid of the margin. Finite for every
    /// finite margin. Its last bit may differ between platforms, as the natural logarithm's does.
    /// </summary>
    /// <param name="margin">The log-odds predicted.</param>
    /// <param name="label">0 or 1.</param>
    /// <returns>The loss, at least 0.</returns>
    public static double Loss(double margin, float label)
    {
        // -ln sigmoid(m) = max(0, -m) + ln(1 + e^-|m|), with m the margin towards the true label.
        double towards = label > 0 ? margin : -margin;
        return Math.Max(0, -towards) + Math.Log(1 + Exp(-Math.Abs(margin)));
    }

    /// <summary>The log-loss in nats of a stated probability. 0 and 1 are clipped to 1e-300 so that a wrong certainty is costly but finite.</summary>
    /// <param name="probability">The probability of label 1, in [0, 1].</param>
    /// <param name="label">0 or 1.</param>
    /// <returns>The loss, at least 0.</returns>
    public static double LossOfProbability(double probability, float label) =>
        -Math.Log(Math.Max(1e-300, label > 0 ? probability : 1 - probability));

    private static ReadOnlySpan<double> Reciprocals =>
    [
        0, 1, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5, 1.0 / 6, 1.0 / 7, 1.0 / 8, 1.0 / 9, 1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13,
    ];
}
