using Weir.Placement;

namespace Weir.Server;

/// <summary>
/// What a node tells of its map: the whole, written once a version, or what has changed since a version that the asker has. It keeps the
/// differences between the maps that it adopted last. Not thread-safe.
/// </summary>
internal sealed class MapHistory
{
    /// <summary>Bytes of differences kept: hundreds of changes of the largest map, and a quarter of a frame.</summary>
    private const int MaxKeptBytes = 256 << 10;

    /// <summary>Differences kept: whoever is further behind has missed heartbeats of some seconds.</summary>
    private const int MaxKept = 256;

    private readonly Queue<(ulong From, byte[] Bytes)> _differences = new();
    private int _keptBytes;
    private ClusterMap? _map;
    private byte[]? _whole;
    private int? _wholeBytes;

    /// <summary>The map whole.</summary>
    public byte[] Whole
    {
        get
        {
            _whole ??= MapEncoding.Encode(_map!);
            _wholeBytes = _whole.Length;
            return _whole;
        }
    }

    /// <summary>The node acts on this map from now on.</summary>
    /// <param name="map">The map.</param>
    /// <param name="read">
    /// The differences by which the node came to it from the map before, as it read them; empty where it made the map, or read it whole. Segments are served again
    /// only once their nodes act on the map, and encoding anew what was just read would make them wait.
    /// </param>
    public void Adopt(ClusterMap map, ReadOnlySpan<byte> read)
    {
        ClusterMap? older = _map;
        (_map, _whole) = (map, null);
        if (older is null)
        {
            return;
        }

        byte[] difference = read.IsEmpty ? MapDifference.Encode(older, map) : read.ToArray();
        _differences.Enqueue((older.Version, difference));
        _keptBytes += difference.Length;
        while (_keptBytes > MaxKeptBytes || _differences.Count > MaxKept)
        {
            _keptBytes -= _differences.Dequeue().Bytes.Length;
        }
    }

    /// <summary>
    /// The differences from a version on, one after the other; null where this node did not have that version, had it too long ago, or the whole
    /// map was as short when somebody asked for it last.
    /// </summary>
    public byte[]? Since(ulong version)
    {
        (ulong From, byte[] Bytes)[] since = [.. _differences.SkipWhile(d => d.From < version)];
        bool isWorthIt = since.Length > 0 && since[0].From == version && since.Sum(d => d.Bytes.Length) < (_wholeBytes ?? Whole.Length);
        return isWorthIt ? [.. since.SelectMany(d => d.Bytes)] : null;
    }
}
