using Weir.World;

namespace Weir.Cli.Bench;

/// <summary>
/// Ranks with Zipf's law, p(k) = (1 / k) / (1 + 1/2 + ... + 1/n) for k = 1 to n: rejection-inversion of Hörmann and Derflinger 1996
/// ("Rejection-inversion to generate variates from monotone discrete distributions", ACM TOMACS 6, 169-184), whose cost and memory do
/// not grow with n. The exponent is 1, the law's own: click logs and words lie between 0.9 and 1.1. Not thread-safe.
/// </summary>
/// <remarks>With h(x) = 1/x its integral is H(x) = ln x, and the inverse of that e^y.</remarks>
internal sealed class ZipfSampler
{
    private readonly long _ranks;
    private readonly Rng _random;
    private readonly double _least;
    private readonly double _most;
    private readonly double _accepted;

    /// <summary>A sampler of ranks up to <paramref name="ranks"/>, at least 1.</summary>
    public ZipfSampler(long ranks, Rng random)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ranks, 1);
        (_ranks, _random) = (ranks, random);
        // The first rank's bar is cut to h(1) = 1, left of where the hat's area up to 3/2 ends.
        _least = Math.Log(1.5) - 1;
        _most = Math.Log(ranks + 0.5);
        _accepted = 2 - Math.Exp(Math.Log(2.5) - (1 / 2.0));
    }

    /// <summary>The next rank, 1 to the number of ranks.</summary>
    public long Next()
    {
        while (true)
        {
            double u = _least + (_random.NextDouble() * (_most - _least));
            double x = Math.Exp(u);
            long rank = Math.Clamp((long)(x + 0.5), 1, _ranks);
            // Near below its rank a point is under the bar for certain, which spares the logarithm nearly always.
            if (rank - x <= _accepted || u >= Math.Log(rank + 0.5) - (1.0 / rank))
            {
                return rank;
            }
        }
    }
}
