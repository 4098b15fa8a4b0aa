namespace Weir.World;

/// <summary>
/// The one source of chance in the core: xoshiro256** (Blackman and Vigna 2018), seeded through splitmix64.
/// The same seed gives the same numbers on every platform and version, which <c>System.Random</c> does not promise.
/// Not thread-safe.
/// </summary>
internal sealed class Rng
{
    private ulong _a, _b, _c, _d;

    public Rng(ulong seed)
    {
        _a = SplitMix(ref seed);
        _b = SplitMix(ref seed);
        _c = SplitMix(ref seed);
        _d = SplitMix(ref seed);
    }

    public ulong Next()
    {
        ulong result = ulong.RotateLeft(_b * 5, 7) * 9;
        ulong t = _b << 17;
        _c ^= _a;
        _d ^= _b;
        _b ^= _c;
        _a ^= _d;
        _c ^= t;
        _d = ulong.RotateLeft(_d, 45);
        return result;
    }

    /// <summary>A whole number in [0, bound). The bias of the multiply is below bound / 2^64.</summary>
    public long Below(long bound)
    {
        Invariant.That(bound > 0, "Rng.Below needs a positive bound");
        return (long)Math.BigMul(Next(), (ulong)bound, out _);
    }

    public int Below(int bound) => (int)Below((long)bound);

    /// <summary>A double in [0, 1) with 53 random bits.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>True with probability numerator / denominator: whole numbers, so that a run replays to the bit.</summary>
    public bool Chance(int numerator, int denominator) => Below(denominator) < numerator;

    private static ulong SplitMix(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15UL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
