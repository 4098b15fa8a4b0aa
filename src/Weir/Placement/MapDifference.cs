using Weir.Keys;

namespace Weir.Placement;

/// <summary>
/// What changed from one version of the map to a later one: so that a reader that has a map need not read a whole one. A difference may follow
/// another; a reader begins with the one that starts at its own version. Layout in docs/protocol.md. Pure functions.
/// </summary>
internal static class MapDifference
{
    private const int HeadBytes = sizeof(uint) + sizeof(ulong);

    /// <summary>The bytes of the difference between two maps of one cluster.</summary>
    public static byte[] Encode(ClusterMap older, ClusterMap newer)
    {
        byte[][] lists = Array.ConvertAll(MapParts.Lists, l => l.Difference(older, newer));
        byte[] segments = Segments(older, newer);
        byte[] bytes = new byte[HeadBytes + MapEncoding.HeadBytes + lists.Sum(l => l.Length) + segments.Length + sizeof(ulong)];
        var writer = new ByteWriter(bytes);
        writer.Int32(bytes.Length - sizeof(uint));
        writer.UInt64(older.Version);
        MapEncoding.WriteHead(ref writer, newer);
        foreach (byte[] list in lists)
        {
            writer.Raw(list);
        }

        writer.Raw(segments);
        writer.UInt64(MapEncoding.Fingerprint(newer));
        return bytes;
    }

    /// <summary>Applies foreign bytes, one difference or several in order, to a map.</summary>
    /// <param name="older">What the reader has. Differences that lead up to it are passed over.</param>
    /// <param name="bytes">The differences.</param>
    /// <param name="newer">The map after the last one.</param>
    /// <returns>False where the bytes make no sense, none starts at the reader's version, or what comes of them is not what their writer had: the
    /// reader asks for the whole map.</returns>
    public static bool TryApply(ClusterMap older, ReadOnlySpan<byte> bytes, out ClusterMap newer)
    {
        newer = older;
        ulong promised = 0;
        var reader = new ByteReader(bytes);
        while (reader.Left > 0)
        {
            var difference = new ByteReader(reader.Take(reader.Int32()));
            ulong from = difference.UInt64();
            if (reader.Failed || from > newer.Version)
            {
                return false;
            }

            if (from == newer.Version)
            {
                if (Apply(ref difference, newer, out promised) is not { } next)
                {
                    return false;
                }

                newer = next;
            }
        }

        return newer.Version > older.Version && MapEncoding.Fingerprint(newer) == promised && MapSoundness.IsSound(newer);
    }

    private static ClusterMap? Apply(ref ByteReader reader, ClusterMap older, out ulong promised)
    {
        promised = 0;
        if (MapEncoding.ReadHead(ref reader) is not { } newer || newer.Cluster != older.Cluster || newer.SegmentBits != older.SegmentBits || newer.Version <= older.Version)
        {
            return null;
        }

        newer = older with
        {
            Generation = newer.Generation,
            Version = newer.Version,
            NextSession = newer.NextSession,
            NextTable = newer.NextTable,
            NextGroup = newer.NextGroup,
        };
        foreach (MapList list in MapParts.Lists)
        {
            newer = list.Apply(ref reader, older, newer);
        }

        if (reader.Failed || ApplySegments(ref reader, older, newer) is not { } changed)
        {
            return null;
        }

        promised = reader.UInt64();
        return reader.AtEnd ? changed : null;
    }

    /// <summary>Their number, then the gaps between the segments that changed, and their numbers in each column.</summary>
    private static byte[] Segments(ClusterMap older, ClusterMap newer)
    {
        uint[][] before = Array.ConvertAll(MapParts.Columns, c => c.Carried(older, newer.Members));
        uint[][] after = Array.ConvertAll(MapParts.Columns, c => c.Get(newer));
        List<int> changed = [];
        for (int segment = 0; segment < newer.Segments; segment++)
        {
            bool isSame = true;
            for (int column = 0; column < after.Length; column++)
            {
                isSame &= before[column][segment] == after[column][segment];
            }

            if (!isSame)
            {
                changed.Add(segment);
            }
        }

        if (changed.Count == 0)
        {
            return new byte[sizeof(uint)];
        }

        uint[] gaps = [.. changed.Select((segment, i) => (uint)(i == 0 ? segment : segment - changed[i - 1] - 1))];
        byte[][] parts = [PackedColumn.Encode(gaps), .. after.Select(numbers => PackedColumn.Encode([.. changed.Select(segment => numbers[segment])]))];
        byte[] bytes = new byte[sizeof(uint) + parts.Sum(p => p.Length)];
        var writer = new ByteWriter(bytes);
        writer.Int32(changed.Count);
        foreach (byte[] part in parts)
        {
            writer.Raw(part);
        }

        return bytes;
    }

    private static ClusterMap? ApplySegments(ref ByteReader reader, ClusterMap older, ClusterMap into)
    {
        uint count = reader.UInt32();
        if (count > into.Segments)
        {
            return null;
        }

        int[]? changed = count == 0 ? [] : Places(PackedColumn.Read(ref reader, (int)count), into.Segments);
        bool stays = changed is [] && older.Members.AsSpan().SequenceEqual(into.Members);
        foreach (MapColumn column in stays ? [] : MapParts.Columns)
        {
            if (changed is null || Replaced(ref reader, column.Carried(older, into.Members), changed) is not { } numbers || !MapEncoding.IsSound(column, numbers, into.Members.Length))
            {
                return null;
            }

            into = column.Set(into, numbers);
        }

        return into;
    }

    /// <summary>The segments that changed; null where they go beyond the last.</summary>
    private static int[]? Places(uint[]? gaps, int segments)
    {
        var places = new int[gaps?.Length ?? 0];
        long next = 0;
        for (int i = 0; i < places.Length; i++)
        {
            next += gaps![i];
            if (next >= segments)
            {
                return null;
            }

            places[i] = (int)next++;
        }

        return gaps is null ? null : places;
    }

    private static uint[]? Replaced(ref ByteReader reader, uint[] numbers, int[] places)
    {
        if (places.Length == 0)
        {
            return numbers;
        }

        if (PackedColumn.Read(ref reader, places.Length) is not { } others)
        {
            return null;
        }

        numbers = (uint[])numbers.Clone();
        for (int i = 0; i < places.Length; i++)
        {
            numbers[places[i]] = others[i];
        }

        return numbers;
    }
}
