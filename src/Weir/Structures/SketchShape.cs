using System.Numerics;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>
/// A count-min sketch (Cormode and Muthukrishnan 2005; Li et al. 2014 (OSDI), algorithm 4) whose counters of an item all lie in one row: the row is chosen by one hash, and in it one counter of each of its lanes.
/// </summary>
/// <remarks>
/// With R rows and d lanes of w counters, the estimate of an item is more than epsilon of all counts too large with chance at most T_d(1 / (R epsilon)) / w^d, however the counts are distributed, where
/// T_d(x) = S(d,1) x + ... + S(d,d) x^d with Stirling's numbers of the second kind. For let other items have the parts p_i of all counts, and let q_i = min(p_i, epsilon). Lane j is too large by epsilon just where
/// Y_j, the sum of q_i over the items in the same row and counter, is epsilon or more; so by Markov's inequality the chance that all are is at most E[Y_1 ... Y_d] / epsilon^d. A term of that product has m distinct items,
/// which lie in the row with chance R^-m and in the counters with w^-d; and the sum of q_i^n is at most epsilon^(n-1). Summed over the ways to divide d lanes among m items this is the bound.
/// </remarks>
/// <param name="Rows">At least 1.</param>
/// <param name="Depth">Lanes: the counters of an item.</param>
/// <param name="Counters">Counters of a row, a power of two.</param>
internal readonly record struct SketchShape(ulong Rows, int Depth, int Counters)
{
    private const ulong RowSeed = 3, LaneSeed = 4;

    // A longer row costs each insertion more bytes, and saves memory: so the shortest is taken that has not more counters than this times the fewest.
    private const double CountersForShortRows = 2.5;

    /// <summary>Counters of one lane.</summary>
    private int Lane => Counters / Depth;

    /// <summary>The floats of a row: each counter has 64 bits.</summary>
    public int Width => 2 * Counters;

    /// <summary>The chance that the estimate of an item is more than <paramref name="epsilon"/> of all counts too large is at most this.</summary>
    public double Delta(double epsilon) => Touchard(Depth, 1 / (Rows * epsilon)) / Math.Pow(Lane, Depth);

    /// <summary>A shape with that bound, of short rows and few counters.</summary>
    public static SketchShape For(double epsilon, double delta)
    {
        List<SketchShape> best = [];
        foreach (int counters in (ReadOnlySpan<int>)[16, 32, 64])
        {
            SketchShape least = Fewest(counters, 1, epsilon, delta);
            for (int depth = 2; depth <= counters / 2; depth *= 2)
            {
                SketchShape shape = Fewest(counters, depth, epsilon, delta);
                least = shape.Rows < least.Rows ? shape : least;
            }

            best.Add(least);
        }

        double fewest = best.Min(shape => (double)shape.Rows * shape.Counters);
        return best.First(shape => (double)shape.Rows * shape.Counters <= CountersForShortRows * fewest);
    }

    /// <summary>The row of an item.</summary>
    public ulong RowOf(ulong item) => SharedRows.Below(Mix.Of(item, RowSeed), Rows);

    /// <summary>Adds to the item's counters in its row.</summary>
    public void Add(ulong item, long count, Span<long> row)
    {
        ulong places = Mix.Of(item, LaneSeed);
        int lane = Lane, bits = BitOperations.TrailingZeroCount(lane);
        for (int at = 0; at < row.Length; at += lane, places >>= bits)
        {
            row[at + (int)(places & (ulong)(lane - 1))] += count;
        }
    }

    /// <summary>The smallest of the item's counters: each has its count, and those of the others that share it.</summary>
    public long Estimate(ulong item, ReadOnlySpan<long> row)
    {
        ulong places = Mix.Of(item, LaneSeed);
        int lane = Lane, bits = BitOperations.TrailingZeroCount(lane);
        long least = long.MaxValue;
        for (int at = 0; at < row.Length; at += lane, places >>= bits)
        {
            least = Math.Min(least, row[at + (int)(places & (ulong)(lane - 1))]);
        }

        return least;
    }

    /// <summary>The fewest rows of so many counters that have the bound with so many lanes.</summary>
    private static SketchShape Fewest(int counters, int depth, double epsilon, double delta)
    {
        // T_d grows: the largest load 1 / (R epsilon) at which the bound holds, between 0 and w.
        double most = delta * Math.Pow((double)counters / depth, depth), low = 0, high = (double)counters / depth;
        for (int step = 0; step < 60; step++)
        {
            double middle = (low + high) / 2;
            (low, high) = Touchard(depth, middle) <= most ? (middle, high) : (low, middle);
        }

        // To four digits, so that every machine has the same shape whatever its last bits are.
        double unit = Math.Pow(10, Math.Floor(Math.Log10(low)) - 3);
        return new SketchShape((ulong)Math.Ceiling(1 / (epsilon * Math.Floor(low / unit) * unit)), depth, counters);
    }

    /// <summary>T_0 = 1, T_n+1(x) = x (C(n,0) T_0(x) + ... + C(n,n) T_n(x)): the d-th moment of Poisson's distribution with mean x.</summary>
    private static double Touchard(int degree, double x)
    {
        Span<double> values = stackalloc double[degree + 1];
        values[0] = 1;
        for (int n = 0; n < degree; n++)
        {
            double binomial = 1, sum = 0;
            for (int k = 0; k <= n; k++)
            {
                sum += binomial * values[k];
                binomial = binomial * (n - k) / (k + 1);
            }

            values[n + 1] = x * sum;
        }

        return values[degree];
    }
}
