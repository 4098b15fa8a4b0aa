using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Bench;

/// <summary>
/// The room Wire: what the encodings of keys and values cost beside copying the same bytes. 8,192 keys of one segment of 1,024 (a request of
/// eight million), whose gaps take 45 bits; the same number of small ids; and 64 KiB of floats, of which some percent are zero.
/// </summary>
[ShortRunJob]
public class EncodingBench
{
    private const int Count = 8192;
    private const int SegmentBits = 10;
    private const int Floats = 16_384;

    private readonly KeyRange _range = KeyRange.OfSegment(5, SegmentBits);
    private readonly ulong[] _keys = new ulong[Count];
    private readonly ulong[] _ids = new ulong[Count];
    private readonly ulong[] _read = new ulong[Count];
    private readonly byte[] _packed = new byte[Count * sizeof(ulong)];
    private readonly byte[] _encodedKeys = new byte[Count * sizeof(ulong)];
    private readonly byte[] _encodedIds = new byte[Count * sizeof(ulong)];
    private readonly float[] _values = new float[Floats];
    private readonly float[] _work = new float[Floats];
    private int _keyBytes, _idBytes;
    private byte[] _shrunk = [];

    [Params(90)]
    public int ZeroPercent { get; set; }

    [GlobalSetup]
    public void Draw()
    {
        var random = new Random(1);
        ulong[] mixed = new ulong[Count];
        foreach (ref ulong mix in mixed.AsSpan())
        {
            mix = _range.First + ((ulong)random.NextInt64() >> (SegmentBits - 1));
        }

        Array.Sort(mixed);
        for (int i = 0; i < Count; i++)
        {
            _keys[i] = Mix.Inverse(mixed[i]);
        }

        Enumerable.Range(0, 64 << SegmentBits << 8).Select(id => (ulong)id).Where(id => Mix.Segment(id, SegmentBits) == 5)
            .Take(Count).OrderBy(Mix.Of).ToArray().CopyTo(_ids, 0);
        PackedKeys.Write(_keys, _range, _encodedKeys, out _keyBytes);
        PackedKeys.Write(_ids, _range, _encodedIds, out _idBytes);
        foreach (ref float value in _values.AsSpan())
        {
            value = random.Next(100) < ZeroPercent ? 0 : random.NextSingle() - 0.5f;
        }

        _values.CopyTo(_work, 0);
        _shrunk = MemoryMarshal.AsBytes(_work.AsSpan())[..ZeroBitmap.Shrink(_work)].ToArray();
    }

    /// <summary>The baseline of the keys: their 64 KiB copied.</summary>
    [Benchmark(Baseline = true)]
    public void CopyKeys() => MemoryMarshal.AsBytes(_keys.AsSpan()).CopyTo(_packed);

    [Benchmark]
    public int PackHashedKeys()
    {
        PackedKeys.Write(_keys, _range, _packed, out int bytes);
        return bytes;
    }

    [Benchmark]
    public bool UnpackHashedKeys() => PackedKeys.TryReadDelta(_encodedKeys.AsSpan(0, _keyBytes), _range, _read);

    [Benchmark]
    public int PackSmallKeys()
    {
        PackedKeys.Write(_ids, _range, _packed, out int bytes);
        return bytes;
    }

    [Benchmark]
    public bool UnpackSmallKeys() => PackedKeys.TryReadPacked(_encodedIds.AsSpan(0, _idBytes), _read);

    [Benchmark]
    public UInt128 HashKeys() => KeyList.HashOf(_keys);

    /// <summary>The baseline of the values, and part of the next: their 64 KiB copied.</summary>
    [Benchmark]
    public void CopyValues() => _values.CopyTo(_work, 0);

    [Benchmark]
    public int CopyAndShrinkValues()
    {
        _values.CopyTo(_work, 0);
        return ZeroBitmap.Shrink(_work);
    }

    /// <summary>Nothing to do where the values were not worth shrinking.</summary>
    [Benchmark]
    public bool ExpandValues() => _shrunk.Length == Floats * sizeof(float) || ZeroBitmap.TryRead(_shrunk, _work);
}
