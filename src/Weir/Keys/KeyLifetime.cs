namespace Weir.Keys;

/// <summary>
/// When a key of a table gets its row and when it loses it again, as a table declares it and the map carries it. Immutable and compared
/// by value.
/// </summary>
internal sealed record KeyLifetime
{
    /// <summary>The most pushes that a key may need: what counts them has a byte for each and is wrong by a few.</summary>
    public const int MostSightings = 100;

    /// <summary>The bytes of a lifetime in the map: two numbers of 4.</summary>
    public const int EncodedBytes = 8;

    private const uint Never = 0;

    /// <exception cref="ArgumentOutOfRangeException">A number is out of its range; the argument is named.</exception>
    public KeyLifetime(int? expireAfterClocks, int admitAfterSightings)
    {
        if (expireAfterClocks is < 1)
        {
            throw new ArgumentOutOfRangeException(nameof(expireAfterClocks), expireAfterClocks, "must be at least 1, or null for rows that stay");
        }

        if (admitAfterSightings is < 1 or > MostSightings)
        {
            throw new ArgumentOutOfRangeException(nameof(admitAfterSightings), admitAfterSightings, $"must be 1 to {MostSightings}");
        }

        (ExpireAfterClocks, AdmitAfterSightings) = (expireAfterClocks, admitAfterSightings);
    }

    /// <summary>A row at the first push, and for ever.</summary>
    public static KeyLifetime Default { get; } = new(null, 1);

    /// <summary>A row is old once the smallest clock of the table's group is more than this above the row's last push; null: never.</summary>
    public int? ExpireAfterClocks { get; }

    /// <summary>With which push an absent key gets its row; the ones before have no effect.</summary>
    public int AdmitAfterSightings { get; }

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint?)ExpireAfterClocks ?? Never);
        writer.UInt32((uint)AdmitAfterSightings);
    }

    /// <summary>Reads foreign bytes; false where a number is out of its range.</summary>
    public static bool TryRead(ref ByteReader reader, out KeyLifetime lifetime)
    {
        uint expire = reader.UInt32(), admit = reader.UInt32();
        lifetime = Default;
        if (reader.Failed || expire > int.MaxValue || admit is < 1 or > MostSightings)
        {
            return false;
        }

        lifetime = new KeyLifetime(expire == Never ? null : (int)expire, (int)admit);
        return true;
    }
}
