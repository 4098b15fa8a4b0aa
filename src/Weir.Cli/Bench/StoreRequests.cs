using Weir.Keys;
using Weir.World;

namespace Weir.Cli.Bench;

/// <summary>
/// One request as a node gets it: distinct keys in the order of their hash, which is that of the segments. The row of key number i in a
/// bare array is row i.
/// </summary>
/// <param name="Keys">The keys.</param>
/// <param name="Rows">The same keys by number.</param>
/// <param name="SegmentEnds">Where the keys of each segment end.</param>
internal sealed record StoreRequest(ulong[] Keys, int[] Rows, int[] SegmentEnds);

/// <summary>Makes the requests of a benchmark of the store, the same in every run, so that runs can be compared.</summary>
internal sealed class StoreRequests(int rows, int segmentBits)
{
    private const ulong Seed = 1;

    // A prime above any number of rows, so that multiplying by it scatters the ranks over all key numbers and no two meet.
    private const ulong Scatter = 2_654_435_761;

    private readonly Rng _random = new(Seed);

    /// <summary>The key of a row: the hash is one to one, so that keys are distinct.</summary>
    public static ulong Key(int row) => Mix.Of((ulong)row, Seed);

    /// <summary>The rows of numbers from <paramref name="first"/> on.</summary>
    public StoreRequest Some(int first, int count)
    {
        int[] numbers = new int[count];
        for (int i = 0; i < count; i++)
        {
            numbers[i] = first + i;
        }

        return Request(numbers);
    }

    /// <summary>So many draws; what was drawn twice is asked for once, as a client sums what a push has twice.</summary>
    public StoreRequest Draw(int draws, KeyDistribution distribution)
    {
        var zipf = new ZipfSampler(rows, _random);
        int[] numbers = new int[draws];
        for (int i = 0; i < draws; i++)
        {
            numbers[i] = distribution == KeyDistribution.Uniform ? _random.Below(rows) : (int)((ulong)(zipf.Next() - 1) * Scatter % (ulong)rows);
        }

        return Request([.. numbers.Distinct()]);
    }

    private StoreRequest Request(int[] numbers)
    {
        ulong[] mixed = Array.ConvertAll(numbers, number => Mix.Of(Key(number)));
        Array.Sort(mixed, numbers);
        int[] ends = new int[1 << segmentBits];
        foreach (ulong hash in mixed)
        {
            ends[hash >> (64 - segmentBits)]++;
        }

        for (int segment = 1; segment < ends.Length; segment++)
        {
            ends[segment] += ends[segment - 1];
        }

        return new StoreRequest(Array.ConvertAll(mixed, Mix.Inverse), numbers, ends);
    }
}
