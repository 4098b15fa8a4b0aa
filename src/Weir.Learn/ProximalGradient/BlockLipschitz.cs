using Weir.Learn.Data;

namespace Weir.Learn.ProximalGradient;

/// <summary>
/// The constants of the data by which the step is bounded: theorem 2 of Li et al. 2014 (OSDI, and NIPS, section 3.1) lets delayed block
/// proximal gradient converge to a stationary point where gamma is at most M / (L_var + tau L_cov + epsilon). Weights are measured in the
/// norm of the curvatures U, in which the smallest coordinate-specific rate M is 1 and the loss's second derivatives are at most those of
/// G = U^-1/2 X^T X U^-1/2 / 4. Immutable.
/// </summary>
/// <param name="Own">L_var: how fast the gradient of a block changes with the block's own weights, the largest of all blocks. Between 1 and the non-zeros of the longest row.</param>
/// <param name="Other">L_cov: how fast it changes with the weights of another block, the largest of all pairs.</param>
public sealed record BlockLipschitz(double Own, double Other)
{
    // The theorem's epsilon, against L_var: any number above 0 will do, and what it costs should not show.
    private const double Epsilon = 1e-3;

    /// <summary>Added to the largest singular values, which power iteration approaches from below.</summary>
    private const double Margin = 1.05;

    // It stops where an iteration adds less than this: with the usual gaps the rest is then well below the margin.
    private const double Settled = 1e-3;
    private const int LeastIterations = 8;
    private const int MostIterations = 100;

    // Reads of non-zeros and rows, some seconds of them; with more pairs than that L_cov is taken from L_var.
    private const double MostReads = 2e9;
    private const int IterationsOfPair = 25;

    // Random starts that differ from the trainings' draws.
    private const ulong StartStream = 0x73_74_61_72_74;

    /// <summary>The largest step for which the theorem promises convergence.</summary>
    /// <param name="delayBound">The delay bound tau, at least 0.</param>
    /// <returns>A number above 0.</returns>
    public double StepAt(int delayBound)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(delayBound);
        return 1 / ((Own * (1 + Epsilon)) + (delayBound * Other));
    }

    /// <summary>
    /// Computes them from the rows, all of which are in memory meanwhile: about twelve bytes a non-zero, and as much time as some hundred
    /// passes, but no more than some seconds beyond the first ten.
    /// </summary>
    /// <param name="options">Valid options; blocks, delay bound and intercept count.</param>
    /// <param name="source">The training rows.</param>
    /// <param name="cancellation">Ends it early.</param>
    /// <returns>The constants.</returns>
    /// <exception cref="DataException">The data cannot be read.</exception>
    public static BlockLipschitz Measure(ProximalGradientOptions options, ISparseSource source, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(source);
        options.Validate();
        var blocks = new FeatureBlocks(options.Blocks, options.Seed);
        ColumnShare all = ColumnShare.Read(source, 0, 1, ProximalGradientLoop.LargestBatchRows, options.EffectiveInterceptKey, blocks);
        return MeasureShare(all, blocks, options.DelayBound, cancellation);
    }

    internal static BlockLipschitz MeasureShare(ColumnShare all, FeatureBlocks blocks, int delayBound, CancellationToken cancellation)
    {
        var run = new PowerIteration(all, cancellation);
        int[] filled = [.. Enumerable.Range(0, blocks.Count).Where(block => all.Block(block).Count > 0)];
        if (filled.Length == 0)
        {
            return new BlockLipschitz(1, 0);
        }

        double[] own = new double[blocks.Count];
        foreach (int block in filled)
        {
            own[block] = Math.Min(run.Largest(block, block) * Margin, run.MostInARow(block));
        }

        double largest = own.Max();
        if (delayBound > blocks.Spacing)
        {
            // A block may come again before its last step is known.
            return new BlockLipschitz(largest, largest);
        }

        double cost = filled.Length * (double)IterationsOfPair * ((2.0 * all.Nonzeros) + ((double)filled.Length * all.Rows));
        bool each = delayBound > 0 && cost <= MostReads;
        double other = 0;
        for (int first = 0; first < filled.Length; first++)
        {
            for (int second = first + 1; second < filled.Length; second++)
            {
                // |G_bs| <= sqrt(|G_bb| |G_ss|), for G is positive semidefinite; pairs that this shows to be below others are passed over.
                double bound = Math.Sqrt(own[filled[first]] * own[filled[second]]);
                if (bound > other)
                {
                    other = Math.Max(other, each ? Math.Min(bound, run.Largest(filled[first], filled[second]) * Margin) : bound);
                }
            }
        }

        return new BlockLipschitz(largest, other);
    }

    /// <summary>The largest singular value of blocks of G by power iteration. Not thread-safe.</summary>
    private sealed class PowerIteration(ColumnShare all, CancellationToken cancellation)
    {
        private readonly double[] _rows = new double[all.Rows];

        /// <summary>The most non-zeros that a row has in a block, a bound of its L_var: (sum of k numbers)^2 is at most k times the sum of their squares.</summary>
        public int MostInARow(int block)
        {
            int[] counts = new int[all.Rows];
            (int first, int count) = all.Block(block);
            for (int column = first; column < first + count; column++)
            {
                foreach (int row in all.RowsOf(column))
                {
                    counts[row]++;
                }
            }

            return counts.Max();
        }

        /// <summary>The largest singular value of G between two blocks, from below.</summary>
        public double Largest(int block, int other)
        {
            (int first, int count) = all.Block(block);
            (int otherFirst, int otherCount) = all.Block(other);
            double[] vector = new double[otherCount], image = new double[count];
            var random = new CounterRandom(StartStream, (ulong)block, (ulong)other);
            for (int at = 0; at < vector.Length; at++)
            {
                // Where no value is negative the first singular vector is near the root of the curvatures.
                vector[at] = Math.Sqrt(all.Curvatures[otherFirst + at]) * (0.5 + random.NextDouble());
            }

            Normalize(vector);
            double before = 0;
            for (int iteration = 1; ; iteration++)
            {
                cancellation.ThrowIfCancellationRequested();
                Multiply(vector, otherFirst, image, first);
                double value = Normalize(image);
                if (value == 0 || iteration == MostIterations || (iteration >= LeastIterations && value - before <= Settled * value))
                {
                    return value;
                }

                before = value;
                Multiply(image, first, vector, otherFirst);
                Normalize(vector);
            }
        }

        /// <summary>image = U_b^-1/2 X_b^T X_s U_s^-1/2 / 4 vector.</summary>
        private void Multiply(double[] vector, int from, double[] image, int to)
        {
            Array.Clear(_rows);
            for (int at = 0; at < vector.Length; at++)
            {
                double scaled = vector[at] / (2 * Math.Sqrt(all.Curvatures[from + at]));
                ReadOnlySpan<int> rows = all.RowsOf(from + at);
                ReadOnlySpan<float> values = all.Values(from + at);
                for (int index = 0; index < rows.Length; index++)
                {
                    _rows[rows[index]] += scaled * values[index];
                }
            }

            for (int at = 0; at < image.Length; at++)
            {
                ReadOnlySpan<int> rows = all.RowsOf(to + at);
                ReadOnlySpan<float> values = all.Values(to + at);
                double sum = 0;
                for (int index = 0; index < rows.Length; index++)
                {
                    sum += _rows[rows[index]] * values[index];
                }

                image[at] = sum / (2 * Math.Sqrt(all.Curvatures[to + at]));
            }
        }

        private static double Normalize(double[] vector)
        {
            double squares = 0;
            foreach (double value in vector)
            {
                squares += value * value;
            }

            double norm = Math.Sqrt(squares);
            for (int at = 0; at < vector.Length && norm > 0; at++)
            {
                vector[at] /= norm;
            }

            return norm;
        }
    }
}
