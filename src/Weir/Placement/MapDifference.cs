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
            ManagerTerm = newer.ManagerTerm,
            ManagerNode = newer.ManagerNode,
            Replicas = newer.Replicas,
        };
        foreach (MapList list in MapParts.Lists)
        {
            newer = list.Apply(ref reader, older, newer);
            if (reader.Failed)
            {
                return null;
            }
        }

        if (ApplySegments(ref reader, older, newer) is not { } changed)
        {
            return null;
        }

        promised = reader.UInt64();
        return reader.AtEnd ? changed : null;
    }

    /// <summary>Their number, then the gaps between the segments that changed, and their chains by columns.</summary>
    private static byte[] Segments(ClusterMap older, ClusterMap newer)
    {
        int[]? moved = Moved(older.Members, newer.Members);
        List<int> changed = [];
        for (int segment = 0; segment < newer.Segments && (moved is not null || older.Chains != newer.Chains); segment++)
        {
            if (!IsSame(Carried(older.Chains[segment], moved), newer.Chains[segment]))
            {
                changed.Add(segment);
            }
        }

        if (changed.Count == 0)
        {
            return new byte[sizeof(uint)];
        }

        byte[] gaps = PackedColumn.Encode([.. changed.Select((segment, i) => (ulong)(i == 0 ? segment : segment - changed[i - 1] - 1))]);
        byte[] chains = ChainColumns.Encode([.. changed.Select(segment => newer.Chains[segment])]);
        byte[] bytes = new byte[sizeof(uint) + gaps.Length + chains.Length];
        var writer = new ByteWriter(bytes);
        writer.Int32(changed.Count);
        writer.Raw(gaps);
        writer.Raw(chains);
        return bytes;
    }

    private static ClusterMap? ApplySegments(ref ByteReader reader, ClusterMap older, ClusterMap into)
    {
        uint count = reader.UInt32();
        if (count > into.Segments)
        {
            return null;
        }

        int[]? moved = Moved(older.Members, into.Members);
        MapChain[] chains = older.Chains;
        if (moved is not null)
        {
            chains = new MapChain[older.Segments];
            for (int segment = 0; segment < chains.Length; segment++)
            {
                chains[segment] = Carried(older.Chains[segment], moved);
            }
        }

        if (count > 0)
        {
            if (PackedColumn.Read(ref reader, (int)count) is not { } gaps || Places(gaps, into.Segments) is not { } changed
                || ChainColumns.Read(ref reader, changed.Length, into.Members.Length) is not { } others)
            {
                return null;
            }

            chains = moved is null ? (MapChain[])chains.Clone() : chains;
            for (int i = 0; i < changed.Length; i++)
            {
                chains[changed[i]] = others[i];
            }
        }

        return into with { Chains = chains };
    }

    /// <summary>For each of the older members its index among the newer, <see cref="ClusterMap.Nobody"/> where it is gone; null where all stand as they did.</summary>
    private static int[]? Moved(MapMember[] older, MapMember[] newer)
    {
        if (older.Length <= newer.Length && older.AsSpan().SequenceEqual(newer.AsSpan(0, older.Length)))
        {
            return null;
        }

        Dictionary<ulong, int> places = [];
        for (int i = 0; i < newer.Length; i++)
        {
            places.TryAdd(newer[i].Node, i);
        }

        return Array.ConvertAll(older, m => places.GetValueOrDefault(m.Node, ClusterMap.Nobody));
    }

    /// <summary>The older map's chain as it would be if nothing but the members had changed: who is no member any more is left out.</summary>
    private static MapChain Carried(in MapChain chain, int[]? moved)
    {
        int kept = 0;
        bool stays = true;
        for (int place = 0; moved is not null && place < chain.Members.Length; place++)
        {
            int member = chain.Members[place].Member;
            stays &= moved[member] == member;
            kept += moved[member] == ClusterMap.Nobody ? 0 : 1;
        }

        if (stays)
        {
            return chain;
        }

        ChainMember[] members = kept == 0 ? [] : new ChainMember[kept];
        int next = 0;
        foreach (ChainMember member in chain.Members)
        {
            if (moved![member.Member] != ClusterMap.Nobody)
            {
                members[next++] = member with { Member = moved[member.Member] };
            }
        }

        return chain with { Members = members };
    }

    private static bool IsSame(in MapChain chain, in MapChain other) =>
        chain.Epoch == other.Epoch && chain.IsDown == other.IsDown && chain.Emptied == other.Emptied && (chain.Members == other.Members || chain.Members.AsSpan().SequenceEqual(other.Members));

    /// <summary>The segments that changed; null where they go beyond the last.</summary>
    private static int[]? Places(ulong[] gaps, int segments)
    {
        var places = new int[gaps.Length];
        ulong next = 0;
        for (int i = 0; i < places.Length; i++)
        {
            if (gaps[i] >= (ulong)segments - next)
            {
                return null;
            }

            next += gaps[i];
            places[i] = (int)next++;
        }

        return places;
    }
}
