namespace Weir.Keys;

/// <summary>
/// The clocks of one group of workers, kept as maxima (design R26): facts that may come in any order, from anyone, any number of times. A
/// worker counts in the iterations that it takes part in (design R8): from its first on, before which it holds nobody back, through its last.
/// Not thread-safe.
/// </summary>
internal sealed class VectorClock(int workers)
{
    private const long Nobody = long.MaxValue;

    private long[] _clocks = new long[workers];
    private long[] _before = new long[workers];
    private long[] _last = [.. Enumerable.Repeat(Nobody, workers)];

    public int Workers => _clocks.Length;

    /// <summary>A worker's last finished iteration; one that joined begins as if it had finished all before its first.</summary>
    public long this[int worker] => Math.Max(_clocks[worker], _before[worker]);

    /// <summary>Makes room for workers that joined; until <see cref="TakesPart"/> they take part in every iteration.</summary>
    public void Grow(int workers)
    {
        int known = Workers;
        if (workers > known)
        {
            Array.Resize(ref _clocks, workers);
            Array.Resize(ref _before, workers);
            Array.Resize(ref _last, workers);
            Array.Fill(_last, Nobody, known, workers - known);
        }
    }

    /// <summary>The worker takes part in the iterations from <paramref name="first"/> through <paramref name="last"/>, long.MaxValue for no end.</summary>
    public void TakesPart(int worker, long first, long last)
    {
        _before[worker] = first - 1;
        _last[worker] = last;
    }

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

    /// <summary>Whether the worker has done all that it will ever do.</summary>
    public bool IsFinished(int worker) => this[worker] >= _last[worker];

    /// <summary>The smallest clock of those still at work; long.MaxValue where all have finished.</summary>
    public long Minimum => MinimumOf(_clocks);

    /// <summary>The largest clock; 0 where there are none.</summary>
    public long Maximum => _clocks.DefaultIfEmpty().Max();

    /// <summary>The smallest of per-worker values that are at least the clocks, over those whose value is below their last iteration.</summary>
    public long MinimumOf(ReadOnlySpan<long> values)
    {
        long minimum = Nobody;
        for (int worker = 0; worker < _clocks.Length; worker++)
        {
            long value = Math.Max(values[worker], this[worker]);
            if (value < _last[worker])
            {
                minimum = Math.Min(minimum, value);
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
            if (!IsFinished(worker) && (slowest < 0 || this[worker] < this[slowest]))
            {
                slowest = worker;
            }
        }

        return slowest;
    }
}
