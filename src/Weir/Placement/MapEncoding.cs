using System.IO.Hashing;
using Weir.Keys;

namespace Weir.Placement;

/// <summary>
/// The bytes of a map, as they stand in the register and cross the wire: the head, the lists, then the chains by columns. Layout in
/// docs/protocol.md. Pure functions.
/// </summary>
internal static class MapEncoding
{
    /// <summary>
    /// The most bytes of a map, 960 KiB: with what a register puts before it a map fits one frame of 1 MiB and a request to etcd, which takes
    /// 1.5 MiB unless told otherwise. 1,000 nodes with 2^17 segments in chains of three stay below (docs/decisions/0050).
    /// </summary>
    public const int MaxBytes = 960 << 10;

    /// <summary>The bytes of the head: from the cluster to the number of replicas.</summary>
    public const int HeadBytes = 60;

    public static byte[] Encode(ClusterMap map)
    {
        byte[] bytes = new byte[Size(map)];
        var writer = new ByteWriter(bytes);
        WriteHeadAndLists(ref writer, map);
        writer.Raw(map.ChainBytes);
        return bytes;
    }

    /// <summary>The bytes that <see cref="Encode"/> gives for a map.</summary>
    public static int Size(ClusterMap map) => ListBytes(map) + map.ChainBytes.Length;

    /// <summary>Reads foreign bytes; false where they make no sense or contradict themselves.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out ClusterMap map)
    {
        map = null!;
        var reader = new ByteReader(bytes);
        if (ReadHead(ref reader) is not { } read)
        {
            return false;
        }

        foreach (MapList list in MapParts.Lists)
        {
            read = list.Read(ref reader, read);
            if (reader.Failed)
            {
                // Each list that is read is a copy of the map: what is cut off makes none.
                return false;
            }
        }

        if (ChainColumns.Read(ref reader, read.Segments, read.Members.Length) is not { } chains || !reader.AtEnd)
        {
            return false;
        }

        map = read with { Chains = chains };
        return MapSoundness.IsSound(map);
    }

    /// <summary>A number that tells maps of one version apart if there should be two: XxHash3 of head, lists and chains.</summary>
    public static ulong Fingerprint(ClusterMap map)
    {
        byte[] lists = new byte[ListBytes(map)];
        var writer = new ByteWriter(lists);
        WriteHeadAndLists(ref writer, map);
        var hash = new XxHash3();
        hash.Append(lists);
        ChainColumns.AppendTo(hash, map.Chains);
        return hash.GetCurrentHashAsUInt64();
    }

    public static void WriteHead(ref ByteWriter writer, ClusterMap map)
    {
        writer.UInt64(map.Cluster);
        writer.UInt32(map.Generation);
        writer.UInt32((uint)map.SegmentBits);
        writer.UInt64(map.Version);
        writer.UInt64(map.NextSession);
        writer.UInt32(map.NextTable);
        writer.UInt32(map.NextGroup);
        writer.UInt64(map.ManagerTerm);
        writer.UInt64(map.ManagerNode);
        writer.Int32(map.Replicas);
    }

    /// <summary>A map with a head and nothing else; null where the number of segments is out of range.</summary>
    public static ClusterMap? ReadHead(ref ByteReader reader)
    {
        ulong cluster = reader.UInt64();
        uint generation = reader.UInt32();
        uint segmentBits = reader.UInt32();
        ulong version = reader.UInt64(), nextSession = reader.UInt64();
        uint nextTable = reader.UInt32(), nextGroup = reader.UInt32();
        ulong managerTerm = reader.UInt64(), managerNode = reader.UInt64();
        int replicas = reader.Int32();
        return segmentBits is < ClusterMap.MinSegmentBits or > ClusterMap.MaxSegmentBits
            ? null
            : new ClusterMap
            {
                Cluster = cluster,
                Generation = generation,
                SegmentBits = (int)segmentBits,
                Version = version,
                NextSession = nextSession,
                NextTable = nextTable,
                NextGroup = nextGroup,
                ManagerTerm = managerTerm,
                ManagerNode = managerNode,
                Replicas = replicas,
                Chains = [],
            };
    }

    private static void WriteHeadAndLists(ref ByteWriter writer, ClusterMap map)
    {
        WriteHead(ref writer, map);
        foreach (MapList list in MapParts.Lists)
        {
            list.Write(ref writer, map);
        }
    }

    private static int ListBytes(ClusterMap map) => HeadBytes + MapParts.Lists.Sum(l => l.Bytes(map));
}
