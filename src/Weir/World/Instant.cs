namespace Weir.World;

/// <summary>
/// A moment on a monotonic clock, in microseconds since an arbitrary start. Core code is told the time; it never asks for it.
/// </summary>
internal readonly record struct Instant(long Microseconds) : IComparable<Instant>
{
    /// <summary>A moment that never comes.</summary>
    public static readonly Instant Never = new(long.MaxValue);

    public Instant AfterMs(long milliseconds) => new(Microseconds + (milliseconds * 1000));

    public Instant AfterUs(long microseconds) => new(Microseconds + microseconds);

    public long MsSince(Instant earlier) => (Microseconds - earlier.Microseconds) / 1000;

    public int CompareTo(Instant other) => Microseconds.CompareTo(other.Microseconds);

    public static bool operator <(Instant a, Instant b) => a.Microseconds < b.Microseconds;

    public static bool operator >(Instant a, Instant b) => a.Microseconds > b.Microseconds;

    public static bool operator <=(Instant a, Instant b) => a.Microseconds <= b.Microseconds;

    public static bool operator >=(Instant a, Instant b) => a.Microseconds >= b.Microseconds;

    public static Instant Earlier(Instant a, Instant b) => a < b ? a : b;
}
