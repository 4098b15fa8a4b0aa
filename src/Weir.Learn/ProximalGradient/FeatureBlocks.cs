using Weir.Learn.Data;

namespace Weir.Learn.ProximalGradient;

/// <summary>
/// Which block of the features a key belongs to, and which block an iteration works on: functions of the seed, so that all workers agree
/// without a word (Li et al. 2014, OSDI, algorithm 3: the scheduler partitions the features and picks one range an iteration). Immutable
/// and thread-safe.
/// </summary>
/// <param name="blocks">How many there are, at least 1.</param>
/// <param name="seed">Draws the order.</param>
internal sealed class FeatureBlocks(int blocks, ulong seed)
{
    // Not the seed: a key's block depends on the key alone.
    private const ulong KeyStream = 0x62_6C_6F_63_6B_73;

    /// <summary>How many blocks there are.</summary>
    public int Count => blocks;

    /// <summary>No block comes a second time within so many iterations after it: as long as the delay is not above it, what is on the way is of other blocks.</summary>
    public int Spacing => blocks / 2;

    /// <summary>The block of a key: its hash cut into equal ranges.</summary>
    public int Of(ulong key) => (int)Math.BigMul(CounterRandom.Finalize(key ^ KeyStream), (ulong)blocks, out _);

    /// <summary>
    /// The block of an iteration. A pass goes through all blocks: first, in an order of its own, one half of them, then the others. The
    /// halves are drawn once, so that a block that ends its half of one pass and begins it in the next still rests for the other half.
    /// </summary>
    /// <param name="iteration">From 1 on.</param>
    public int At(long iteration)
    {
        long pass = (iteration - 1) / blocks;
        int position = (int)((iteration - 1) % blocks);
        int[] order = Shuffled(blocks, 0);
        int half = blocks / 2;
        bool first = position < half;
        Span<int> own = first ? order.AsSpan(0, half) : order.AsSpan(half);
        int[] turn = Shuffled(own.Length, (ulong)((2 * pass) + (first ? 1 : 2)));
        return own[turn[first ? position : position - half]];
    }

    /// <summary>0 up to the count - 1 in a drawn order (Fisher and Yates).</summary>
    private int[] Shuffled(int count, ulong draw)
    {
        int[] order = new int[count];
        var random = new CounterRandom(seed, KeyStream, draw);
        for (int last = 0; last < count; last++)
        {
            int at = (int)Math.BigMul(random.Next(), (ulong)last + 1, out _);
            order[last] = order[at];
            order[at] = last;
        }

        return order;
    }
}
