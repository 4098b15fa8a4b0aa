namespace Weir.Keys;

/// <summary>
/// The clocks of one group of workers, kept as maxima (design R26): facts that may come in any order, from anyone, any number of times.
/// A finished worker holds nobody back. Not thread-safe.
/// </summary>
internal sealed class VectorClock(int workers)
{
    private const long Finished = long.MaxValue;

    private readonly long[] _clocks = new long[workers];
    private readonly bool[] _finished = new bool[workers];

    public int Workers => _clocks.Length;

    public long this[int worker] => _clocks[worker];

    /// <summary>Takes over a clock; true where it was news.</summary>
    public bool Raise(int worker, long clock)
    {
        if (clock <= _clocks[worker])
        {
            return false;
        }

        _clocks[worker] = clock;
        return true;
    }

    /// <summary>The worker has done all that it will ever do.</summary>
    public void Finish(int worker) => _finished[worker] = true;

    public bool IsFinished(int worker) => _finished[worker];

    /// <summary>The smallest clock of those still at work; long.MaxValue where all have finished.</summary>
    public long Minimum => MinimumOf(_clocks);

    /// <summary>The smallest of per-worker values that are at least the clocks, over those still at work.</summary>
    public long MinimumOf(ReadOnlySpan<long> values)
    {
        long minimum = Finished;
        for (int worker = 0; worker < _clocks.Length; worker++)
        {
            if (!_finished[worker])
            {
                minimum = Math.Min(minimum, Math.Max(values[worker], _clocks[worker]));
            }
        }

        return minimum;
    }

    /// <summary>The worker furthest behind among those still at work, or -1.</summary>
    public int Slowest()
    {
        int slowest = -1;
        for (int worker = 0; worker < _clocks.Length; worker++)
        {
            if (!_finished[worker] && (slowest < 0 || _clocks[worker] < _clocks[slowest]))
            {
                slowest = worker;
            }
        }

        return slowest;
    }
}
