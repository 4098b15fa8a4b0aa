using System.IO.Hashing;
using Weir.Keys;
using Weir.Placement;

namespace Weir.Checkpoints;

/// <summary>One file of a checkpoint.</summary>
/// <param name="Bytes">Its length.</param>
/// <param name="Blocks">Blocks in it.</param>
internal readonly record struct ManifestFile(int Bytes, int Blocks);

/// <summary>A worker's clock as it was when the checkpoint began: nothing through it is missing (design R24).</summary>
internal readonly record struct RecordedClock(uint Group, uint Worker, long Clock);

/// <summary>
/// What a checkpoint consists of, written last: without it there is none. It names the files, the walk of each segment that counts, the map with tables
/// and jobs, and the clocks that workers go on from. Layout in docs/checkpoints.md. Immutable.
/// </summary>
internal sealed record Manifest
{
    /// <summary>The object of a checkpoint that is its manifest.</summary>
    public const string Name = "manifest";

    private const ulong Magic = 0x54504B4352494557; // "WEIRCKPT" in the order of the bytes
    private const uint Format = 3;
    private const int ChecksumBytes = sizeof(ulong);

    /// <summary>The checkpoint's own number, which stands in each of its blocks.</summary>
    public required ulong Id { get; init; }

    /// <summary>Rows in it, over all tables.</summary>
    public long Rows { get; init; }

    public ManifestFile[] Files { get; init; } = [];

    /// <summary>Of each segment the attempt whose blocks count; what others left behind is passed over.</summary>
    public uint[] Attempts { get; init; } = [];

    /// <summary>Of each segment the number of blocks that count.</summary>
    public uint[] Slices { get; init; } = [];

    public RecordedClock[] Clocks { get; init; } = [];

    /// <summary>Of each group with aggregating tables the iteration through which they are.</summary>
    public MapCut[] Cuts { get; init; } = [];

    /// <summary>Tables, jobs and the next numbers; members and chains are of no consequence.</summary>
    public required ClusterMap Map { get; init; }

    /// <summary>Bytes of all files.</summary>
    public long Bytes => Files.Sum(f => (long)f.Bytes);

    /// <summary>The object that a file is.</summary>
    public static string FileName(int file) => $"blocks-{file:D5}";

    public byte[] Encode()
    {
        byte[] map = MapEncoding.Encode(Map);
        byte[] bytes = new byte[56 + (Files.Length * 8) + (Attempts.Length * 8) + (Clocks.Length * 16) + (Cuts.Length * 12) + map.Length + ChecksumBytes];
        var writer = new ByteWriter(bytes);
        writer.UInt64(Magic);
        writer.UInt32(Format);
        writer.Int32(bytes.Length);
        writer.UInt64(Id);
        writer.Int64(Rows);
        writer.Int32(Files.Length);
        writer.Int32(Attempts.Length);
        writer.Int32(Clocks.Length);
        writer.Int32(Cuts.Length);
        writer.Int32(map.Length);
        writer.Int32(0);
        foreach (ManifestFile file in Files)
        {
            writer.Int32(file.Bytes);
            writer.Int32(file.Blocks);
        }

        for (int segment = 0; segment < Attempts.Length; segment++)
        {
            writer.UInt32(Attempts[segment]);
            writer.UInt32(Slices[segment]);
        }

        foreach (RecordedClock clock in Clocks)
        {
            writer.UInt32(clock.Group);
            writer.UInt32(clock.Worker);
            writer.Int64(clock.Clock);
        }

        foreach (MapCut cut in Cuts)
        {
            writer.UInt32(cut.Group);
            writer.Int64(cut.Iteration);
        }

        writer.Raw(map);
        writer.UInt64(XxHash3.HashToUInt64(bytes.AsSpan(0, bytes.Length - ChecksumBytes)));
        return bytes;
    }

    /// <summary>Reads foreign bytes.</summary>
    /// <returns>What is wrong with them, as people read it; null where they are sound.</returns>
    public static string? TryDecode(ReadOnlySpan<byte> bytes, out Manifest manifest)
    {
        manifest = null!;
        var reader = new ByteReader(bytes);
        if (reader.UInt64() != Magic)
        {
            return "is not the manifest of a checkpoint";
        }

        if (reader.UInt32() is var format && format != Format)
        {
            return $"has format {format}; this version reads {Format}";
        }

        int length = reader.Int32();
        if (length > bytes.Length)
        {
            return $"is truncated: {bytes.Length} of {length} bytes are there";
        }

        if (length < bytes.Length || length < ChecksumBytes || XxHash3.HashToUInt64(bytes[..^ChecksumBytes]) != new ByteReader(bytes[^ChecksumBytes..]).UInt64())
        {
            return "is damaged: it is not as it was written";
        }

        ulong id = reader.UInt64();
        long rows = reader.Int64();
        int files = reader.Count(8), segments = reader.Int32(), clocks = reader.Int32(), cuts = reader.Int32(), mapBytes = reader.Int32();
        reader.UInt32();
        if (reader.Failed || segments < 0 || clocks < 0 || cuts < 0 || (files * 8L) + (segments * 8L) + (clocks * 16L) + (cuts * 12L) + mapBytes + ChecksumBytes != reader.Left)
        {
            return "is damaged: its lengths contradict each other";
        }

        manifest = Lists(ref reader, id, rows, (files, segments, clocks, cuts));
        if (!MapEncoding.TryDecode(reader.Take(mapBytes), out ClusterMap map) || map.Segments != segments)
        {
            return "is damaged: its map makes no sense";
        }

        manifest = manifest with { Map = map };
        return null;
    }

    private static Manifest Lists(ref ByteReader reader, ulong id, long rows, (int Files, int Segments, int Clocks, int Cuts) counts)
    {
        var manifest = new Manifest
        {
            Id = id,
            Rows = rows,
            Map = null!,
            Files = new ManifestFile[counts.Files],
            Attempts = new uint[counts.Segments],
            Slices = new uint[counts.Segments],
            Clocks = new RecordedClock[counts.Clocks],
            Cuts = new MapCut[counts.Cuts],
        };
        for (int i = 0; i < counts.Files; i++)
        {
            manifest.Files[i] = new ManifestFile(reader.Int32(), reader.Int32());
        }

        for (int i = 0; i < counts.Segments; i++)
        {
            (manifest.Attempts[i], manifest.Slices[i]) = (reader.UInt32(), reader.UInt32());
        }

        for (int i = 0; i < counts.Clocks; i++)
        {
            manifest.Clocks[i] = new RecordedClock(reader.UInt32(), reader.UInt32(), reader.Int64());
        }

        for (int i = 0; i < counts.Cuts; i++)
        {
            manifest.Cuts[i] = new MapCut(reader.UInt32(), reader.Int64());
        }

        return manifest;
    }
}
