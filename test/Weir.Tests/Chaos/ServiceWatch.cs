using System.Diagnostics;
using Weir.Keys;

namespace Weir.Tests.Chaos;

/// <summary>How long the segments of a cluster took no push around a fault, as those saw it who pushed. Thread-safe.</summary>
/// <param name="segmentBits">2^this segments.</param>
internal sealed class ServiceWatch(int segmentBits)
{
    private readonly Lock _gate = new();
    private readonly HashSet<int> _served = [];
    private long _began = long.MaxValue;
    private long _servedTicks;
    private long _longestTicks;

    /// <summary>
    /// From the fault's begin until every segment had acknowledged a push that was called after it, in milliseconds; null where one did not yet.
    /// </summary>
    public double? ServedAgainMs
    {
        get
        {
            lock (_gate)
            {
                return _served.Count == 1 << segmentBits ? Milliseconds(_servedTicks) : null;
            }
        }
    }

    /// <summary>The longest that a push acknowledged since the fault's begin took, from its call, in milliseconds: the longest time in which a segment took none.</summary>
    public double LongestPushMs
    {
        get
        {
            lock (_gate)
            {
                return Milliseconds(_longestTicks);
            }
        }
    }

    /// <summary>The fault begins.</summary>
    /// <param name="now">When, in ticks of <see cref="Stopwatch"/>.</param>
    public void Begin(long now)
    {
        lock (_gate)
        {
            _began = now;
        }
    }

    /// <summary>A push was acknowledged.</summary>
    /// <param name="keys">Its keys.</param>
    /// <param name="called">When it was called, in ticks of <see cref="Stopwatch"/>.</param>
    /// <param name="acknowledged">When its acknowledgement came, likewise.</param>
    public void Acknowledged(ReadOnlySpan<ulong> keys, long called, long acknowledged)
    {
        lock (_gate)
        {
            if (acknowledged < _began)
            {
                return;
            }

            _longestTicks = Math.Max(_longestTicks, acknowledged - called);
            if (called < _began)
            {
                return;
            }

            foreach (ulong key in keys)
            {
                _servedTicks = _served.Add(Mix.Segment(key, segmentBits)) ? acknowledged - _began : _servedTicks;
            }
        }
    }

    private static double Milliseconds(long ticks) => Math.Round(ticks * 1e3 / Stopwatch.Frequency, 1);
}
