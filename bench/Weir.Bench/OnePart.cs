using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Bench;

/// <summary>A push of one part in the first segment: what a client writes, without the client.</summary>
internal sealed class OnePart(uint table, int rows, int width) : IBody
{
    private readonly float[] _values = [.. Enumerable.Repeat(0.01f, rows * width)];

    /// <summary>Its keys, in the order of their hash.</summary>
    public ulong[] Keys { get; } = [.. FirstSegmentKeys(rows)];

    /// <summary>The part's number in its stream, and of its push.</summary>
    public uint N { get; set; } = 1;

    public int Bytes => DataRequestReader.CountsSize + Header.TotalBytes;

    private PartHeader Header => new()
    {
        Table = table,
        N = N,
        Seq = new Seq(0, N, 0),
        Rows = Keys.Length,
        KeyBytes = Keys.Length * sizeof(ulong),
        ValueBytes = _values.Length * sizeof(float),
    };

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(1);
        writer.Int32(0);
        Header.Write(ref writer);
        writer.Raw(MemoryMarshal.AsBytes(Keys.AsSpan()));
        writer.Raw(MemoryMarshal.AsBytes(_values.AsSpan()));
        writer.PadTo8();
    }

    // Hashes below 2^57 are in the first segment, however many segments there are up to 128.
    private static IEnumerable<ulong> FirstSegmentKeys(int rows)
    {
        Rng rng = new(1);
        return Enumerable.Range(0, rows).Select(_ => rng.Next() >> 7).Order().Select(Mix.Inverse);
    }
}
