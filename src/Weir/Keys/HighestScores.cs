namespace Weir.Keys;

/// <summary>
/// The keys with the highest scores among those offered: of equal scores the smaller key stands higher, so that the outcome depends neither on the order of the offers nor on how they were divided.
/// Not thread-safe.
/// </summary>
/// <param name="most">How many are kept, at least 1.</param>
internal sealed class HighestScores(int most)
{
    // The one that stands lowest is the first to go.
    private readonly PriorityQueue<ulong, (double Score, ulong Key)> _kept = new(Comparer<(double Score, ulong Key)>.Create(Compare));

    /// <summary>How many are kept.</summary>
    public int Most => most;

    /// <summary>A key with a score below this is not among the highest, whatever is offered yet; minus infinity while any is.</summary>
    public double Floor => _kept.Count == most && _kept.TryPeek(out _, out (double Score, ulong Key) lowest) ? lowest.Score : double.NegativeInfinity;

    /// <summary>Offers a key with its score, which is a number. A key is offered once.</summary>
    public void Offer(ulong key, double score)
    {
        if (_kept.Count < most)
        {
            _kept.Enqueue(key, (score, key));
        }
        else if (score >= Floor)
        {
            _kept.EnqueueDequeue(key, (score, key));
        }
    }

    /// <summary>What is kept, the highest first.</summary>
    public (ulong Key, double Score)[] Descending()
    {
        (double Score, ulong Key)[] kept = [.. _kept.UnorderedItems.Select(item => item.Priority)];
        Array.Sort(kept, (one, other) => Compare(other, one));
        return [.. kept.Select(one => (one.Key, one.Score))];
    }

    private static int Compare((double Score, ulong Key) one, (double Score, ulong Key) other) =>
        one.Score != other.Score ? one.Score.CompareTo(other.Score) : other.Key.CompareTo(one.Key);
}
