using Weir.Keys;

namespace Weir.Structures;

/// <summary>How many blocks a set has and how many bits of its block an item sets (Putze, Sanders and Singler 2007: a blocked Bloom filter).</summary>
/// <param name="Blocks">At least 1.</param>
/// <param name="BitsAnItem">1 to <see cref="MostBits"/>.</param>
internal readonly record struct SetShape(ulong Blocks, int BitsAnItem)
{
    /// <summary>A block is one row and one line of a processor's cache.</summary>
    public const int BlockBits = 512;

    /// <summary>More bits an item are of no use down to the smallest rate.</summary>
    public const int MostBits = 16;

    /// <summary>Floats of a block.</summary>
    public const int Width = BlockBits / 32;

    private const int PlaceBits = 9;
    private const int PlacesAHash = 64 / PlaceBits;
    private const ulong BlockSeed = 1, BitSeed = 2;

    /// <summary>The fewest blocks that hold so many items with that rate of false positives.</summary>
    public static SetShape For(long items, double falsePositiveRate)
    {
        double most = 0;
        int bits = 1;
        for (int k = 1; k <= MostBits; k++)
        {
            double[] ofLoad = FalsePositivesByLoad(k);
            double low = 0, high = MostLoad(k);
            while (high - low > 1e-4)
            {
                double middle = (low + high) / 2;
                (low, high) = Rate(ofLoad, middle) <= falsePositiveRate ? (middle, high) : (low, middle);
            }

            (most, bits) = low > most ? (low, k) : (most, bits);
        }

        // To thousandths, so that every machine has the same shape whatever its last bits are.
        return new SetShape((ulong)Math.Ceiling(items / (Math.Floor(most * 1000) / 1000)), bits);
    }

    /// <summary>The chance that an item which was never added is taken for a member once so many others were.</summary>
    public double FalsePositiveRate(long items)
    {
        double load = (double)items / Blocks;
        return load > MostLoad(BitsAnItem) ? 1 : Rate(FalsePositivesByLoad(BitsAnItem), load);
    }

    /// <summary>The row of an item.</summary>
    public ulong BlockOf(ulong item) => SharedRows.Below(Mix.Of(item, BlockSeed), Blocks);

    /// <summary>Sets the item's bits in its block.</summary>
    public void Add(ulong item, Span<ulong> block)
    {
        for (int bit = 0; bit < BitsAnItem; bit += PlacesAHash)
        {
            ulong places = Mix.Of(item, BitSeed + (ulong)bit);
            for (int i = bit; i < Math.Min(BitsAnItem, bit + PlacesAHash); i++, places >>= PlaceBits)
            {
                block[(int)(places >> 6) & 7] |= 1UL << (int)(places & 63);
            }
        }
    }

    /// <summary>Whether all of the item's bits are set.</summary>
    public bool Contains(ulong item, ReadOnlySpan<ulong> block)
    {
        Span<ulong> own = stackalloc ulong[BlockBits / 64];
        own.Clear();
        Add(item, own);
        ulong missing = 0;
        for (int i = 0; i < own.Length; i++)
        {
            missing |= own[i] & ~block[i];
        }

        return missing == 0;
    }

    // Twice what is best at a rate of a half.
    private static double MostLoad(int bitsAnItem) => 1.5 * BlockBits / bitsAnItem;

    /// <summary>
    /// Of a block with 0, 1, 2 ... items the chance that all bits of another item are set: the mean of (X / 512)^k, where X bits are set after k throws an item. From the distribution of X, since the usual
    /// formula is too small for so few bits (Bose et al. 2008, On the false-positive rate of Bloom filters).
    /// </summary>
    private static double[] FalsePositivesByLoad(int bitsAnItem)
    {
        double load = MostLoad(bitsAnItem);
        double[] rates = new double[(int)(load + (10 * Math.Sqrt(load))) + 10];
        double[] chanceOf = new double[BlockBits + 1], allSet = [.. Enumerable.Range(0, BlockBits + 1).Select(set => Math.Pow((double)set / BlockBits, bitsAnItem))];
        chanceOf[0] = 1;
        for (int items = 0; items < rates.Length; items++)
        {
            for (int set = 0; set <= BlockBits; set++)
            {
                rates[items] += chanceOf[set] * allSet[set];
            }

            for (int i = 0; i < bitsAnItem; i++)
            {
                for (int set = BlockBits; set > 0; set--)
                {
                    chanceOf[set] = (chanceOf[set] * set / BlockBits) + (chanceOf[set - 1] * (BlockBits - set + 1) / BlockBits);
                }

                chanceOf[0] = 0;
            }
        }

        return rates;
    }

    /// <summary>The mean over blocks, whose numbers of items have Poisson's distribution (Putze et al. 2007, equation 3). What lies beyond the table counts as a false positive.</summary>
    private static double Rate(double[] ofLoad, double load)
    {
        double rate = 0, logarithm = -load, covered = 0;
        for (int items = 0; items < ofLoad.Length; items++)
        {
            double chance = Math.Exp(logarithm);
            (rate, covered) = (rate + (chance * ofLoad[items]), covered + chance);
            logarithm += Math.Log(load / (items + 1));
        }

        // A sum of 1 is not to the last bit.
        return rate + Math.Max(0, 1 - covered - 1e-12);
    }
}
