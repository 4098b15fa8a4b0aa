using System.IO.Hashing;
using System.Runtime.InteropServices;
using Weir.Keys;

namespace Weir.Placement;

/// <summary>
/// The bytes of a map, as they stand in the register and cross the wire: the head, the lists, then a column for each number that segments have.
/// Layout in docs/protocol.md. Pure functions.
/// </summary>
internal static class MapEncoding
{
    /// <summary>
    /// The most bytes of a map, 960 KiB: with what a register puts before it a map fits one frame of 1 MiB and a request to etcd, which takes
    /// 1.5 MiB unless told otherwise. 1,000 nodes with 2^17 segments in chains of three stay below (docs/decisions/0050).
    /// </summary>
    public const int MaxBytes = 960 << 10;

    /// <summary>The bytes of the head: cluster, generation, segmentBits, version and the next numbers.</summary>
    public const int HeadBytes = 40;

    // The longest form of a column: what it takes without any saving.
    private const int ColumnHeadBytes = 6;

    public static byte[] Encode(ClusterMap map)
    {
        byte[][] columns = Columns(map);
        byte[] bytes = new byte[ListBytes(map) + columns.Sum(c => c.Length)];
        var writer = new ByteWriter(bytes);
        WriteHeadAndLists(ref writer, map);
        foreach (byte[] column in columns)
        {
            writer.Raw(column);
        }

        return bytes;
    }

    /// <summary>The bytes that <see cref="Encode"/> gives for a map.</summary>
    public static int Size(ClusterMap map) => ListBytes(map) + Columns(map).Sum(c => c.Length);

    /// <summary>Whether a map may stand in the register: it has at most <see cref="MaxBytes"/>.</summary>
    /// <param name="map">The map.</param>
    /// <param name="bytes">Its bytes; where it fits by far, what they may come to at most, which is quicker to say.</param>
    public static bool Fits(ClusterMap map, out int bytes)
    {
        bytes = ListBytes(map) + (MapParts.Columns.Length * (ColumnHeadBytes + (map.Segments * sizeof(uint))));
        if (bytes > MaxBytes)
        {
            bytes = Size(map);
        }

        return bytes <= MaxBytes;
    }

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
        }

        foreach (MapColumn column in MapParts.Columns)
        {
            if (reader.Failed || PackedColumn.Read(ref reader, read.Segments) is not { } numbers || !IsSound(column, numbers, read.Members.Length))
            {
                return false;
            }

            read = column.Set(read, numbers);
        }

        map = read;
        return reader.AtEnd && MapSoundness.IsSound(map);
    }

    /// <summary>A number that tells maps of one version apart if there should be two: XxHash3 of head and lists, and of the columns as u32 each.</summary>
    public static ulong Fingerprint(ClusterMap map)
    {
        byte[] lists = new byte[ListBytes(map)];
        var writer = new ByteWriter(lists);
        WriteHeadAndLists(ref writer, map);
        var hash = new XxHash3();
        hash.Append(lists);
        foreach (MapColumn column in MapParts.Columns)
        {
            hash.Append(MemoryMarshal.AsBytes(column.Get(map).AsSpan()));
        }

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
    }

    /// <summary>A map with a head and nothing else; null where the number of segments is out of range.</summary>
    public static ClusterMap? ReadHead(ref ByteReader reader)
    {
        ulong cluster = reader.UInt64();
        uint generation = reader.UInt32();
        uint segmentBits = reader.UInt32();
        ulong version = reader.UInt64(), nextSession = reader.UInt64();
        uint nextTable = reader.UInt32(), nextGroup = reader.UInt32();
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
                Heads = [],
                Epochs = [],
            };
    }

    /// <summary>Whether numbers of a column may stand in a map of so many members.</summary>
    public static bool IsSound(MapColumn column, ReadOnlySpan<uint> numbers, int members) =>
        !column.NamesMembers || !numbers.ContainsAnyExceptInRange(0u, (uint)members);

    private static void WriteHeadAndLists(ref ByteWriter writer, ClusterMap map)
    {
        WriteHead(ref writer, map);
        foreach (MapList list in MapParts.Lists)
        {
            list.Write(ref writer, map);
        }
    }

    private static int ListBytes(ClusterMap map) => HeadBytes + MapParts.Lists.Sum(l => l.Bytes(map));

    private static byte[][] Columns(ClusterMap map) => Array.ConvertAll(MapParts.Columns, c => PackedColumn.Encode(c.Get(map)));
}
