using System.Diagnostics;

namespace Weir.Cli.Bench;

/// <summary>How long requests of one kind took, and how many a second each round brought. Not thread-safe.</summary>
internal sealed class RequestTimes
{
    private readonly List<long> _ticks = [];
    private readonly List<double> _requestsPerSecond = [];

    /// <summary>Requests a second: the median of the rounds, since a round may be disturbed by what else the machine does.</summary>
    public double RequestsPerSecond => Quantile([.. _requestsPerSecond], 0.5);

    /// <summary>Adds a round.</summary>
    /// <param name="ticks">What each of its requests took, in ticks of <see cref="Stopwatch"/>.</param>
    /// <param name="elapsed">From the first request's begin to the last one's end.</param>
    public void AddRound(IReadOnlyCollection<long> ticks, TimeSpan elapsed)
    {
        _ticks.AddRange(ticks);
        _requestsPerSecond.Add(ticks.Count / elapsed.TotalSeconds);
    }

    /// <summary>The times, in microseconds, below which the given shares of all rounds' requests stay.</summary>
    public double[] Microseconds(params double[] shares)
    {
        double[] sorted = [.. _ticks.Select(ticks => ticks * 1e6 / Stopwatch.Frequency)];
        Array.Sort(sorted);
        return [.. shares.Select(share => Quantile(sorted, share))];
    }

    /// <summary>The smallest value that the share of all values does not exceed (nearest rank).</summary>
    private static double Quantile(double[] values, double share)
    {
        Array.Sort(values);
        return values[Math.Clamp((int)Math.Ceiling(share * values.Length) - 1, 0, values.Length - 1)];
    }
}
