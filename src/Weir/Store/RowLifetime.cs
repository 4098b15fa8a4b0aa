using System.Numerics;

namespace Weir.Store;

/// <summary>
/// How the rows of a table come and go by themselves: when an absent key gets a row, and whether rows know when they were last pushed.
/// Immutable.
/// </summary>
internal sealed record RowLifetime
{
    /// <summary>A row at the first push, and for ever.</summary>
    public static RowLifetime Default { get; } = new();

    /// <summary>
    /// Each row keeps the clock of its last push, 4 bytes, so that <c>SegmentRows.FindOlderThan</c> finds the old ones. Default false:
    /// most tables never forget.
    /// </summary>
    public bool KeepsLastClock { get; init; }

    /// <summary>
    /// A key gets its row with this many pushes, 1 to 100; the ones before have no effect. Default 1: every key has a row at once.
    /// Features seen a few times make up most of a click log's keys and carry nothing.
    /// </summary>
    public int AdmitAfterSightings { get; init; } = 1;

    /// <summary>
    /// The bytes of a segment's sketch of sightings, a power of two, 64 to 4 MiB; taken from the memory limit at the first sighting.
    /// Default 64 KiB: 16,384 keys with few collisions, and 64 MiB for a thousand segments.
    /// </summary>
    public int SketchBytes { get; init; } = 64 * 1024;

    /// <summary>
    /// After so many sightings all counts are halved, so that the sketch does not fill up with what was seen long ago. With it a counter
    /// is on average below a quarter of <see cref="AdmitAfterSightings"/> of other keys' sightings.
    /// </summary>
    internal long SightingsWindow => Math.Max(1, (long)SketchBytes * AdmitAfterSightings / 32);

    /// <summary>All faults at once; empty where there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        List<string> faults = [];
        if (AdmitAfterSightings is < 1 or > 100)
        {
            faults.Add($"AdmitAfterSightings is {AdmitAfterSightings}; it must be 1 to 100");
        }

        if (SketchBytes is < 64 or > 4 << 20 || !BitOperations.IsPow2(SketchBytes))
        {
            faults.Add($"SketchBytes is {SketchBytes}; it must be a power of two, 64 to {4 << 20}");
        }

        return faults;
    }
}
