using System.Runtime.CompilerServices;

namespace Weir.Learn.Data;

/// <summary>
/// A counter-based generator: the draws of row i are computed from (seed, i) alone, so shards need no skipping and every platform draws
/// the same. The stream is splitmix64 (Steele, Lea and Flood 2014) from a start that mixes seed, stream and row. Not for secrets.
/// </summary>
internal struct CounterRandom
{
    private const ulong Golden = 0x9E3779B97F4A7C15UL;

    private ulong _state;

    public CounterRandom(ulong seed, ulong stream, ulong counter) => _state = Finalize(Finalize(Finalize(seed + Golden) + stream) + counter);

    /// <summary>The next 64 uniform bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ulong Next() => Finalize(_state += Golden);

    /// <summary>A uniform number in [0, 1) with 53 bits.</summary>
    public double NextDouble() => (Next() >> 11) * (1.0 / (1UL << 53));

    /// <summary>The finalizer of splitmix64, a bijection.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Finalize(ulong value)
    {
        ulong z = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
