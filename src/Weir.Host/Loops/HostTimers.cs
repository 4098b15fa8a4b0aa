using System.Diagnostics;
using Weir.World;

namespace Weir.Host.Loops;

/// <summary>The machine's own monotonic clock and timers. Thread-safe.</summary>
internal sealed class HostTimers : ITimers
{
    private readonly long _start = Stopwatch.GetTimestamp();

    /// <summary>Microseconds since this object was made: a wall clock that is set back does not move it.</summary>
    public Instant Now => new(Stopwatch.GetElapsedTime(_start).Ticks / TimeSpan.TicksPerMicrosecond);

    /// <inheritdoc/>
    public Task Delay(long milliseconds, CancellationToken cancellation) =>
        // Task.Delay takes at most about 49 days; whoever waits longer asks again.
        Task.Delay(TimeSpan.FromMilliseconds(Math.Clamp(milliseconds, 0, int.MaxValue)), cancellation);
}
