using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Bench;

/// <summary>
/// The room Wire: what the encodings of keys and values cost beside copying the same 64 KiB. 8,192 keys of one segment of 1,024 (a request of
/// eight million), whose gaps take 45 bits; the same number of small ids; and 16,384 floats of which none, half or nine tenths are zero.
/// </summary>
[ShortRunJob]
[MinColumn]
public class EncodingBench
{
    private const int Count = 8192;
    private const int SegmentBits = 10;
    private const int Segment = 5;

    private readonly KeyRange _range = KeyRange.OfSegment(Segment, SegmentBits);
    private readonly ulong[] _keys = new ulong[Count];
    private readonly ulong[] _read = new ulong[Count];
    private readonly byte[] _packed = new byte[Count * sizeof(ulong)];
    private readonly float[] _work = new float[2 * Count];
    private ulong[] _ids = [];
    private byte[] _packedKeys = [];
    private byte[] _packedIds = [];
    private float[] _dense = [];
    private float[] _half = [];
    private float[] _tenth = [];
    private byte[] _halfShrunk = [];
    private byte[] _tenthShrunk = [];
    private byte[] _inTwoBytes = [];
    private byte[] _inAByte = [];

    [GlobalSetup]
    public void Draw()
    {
        var random = new Random(1);
        foreach (ref ulong mix in _keys.AsSpan())
        {
            mix = _range.First + ((ulong)random.NextInt64() >> (SegmentBits - 1));
        }

        Array.Sort(_keys);
        Mix.Inverse(_keys);
        _ids = [.. Enumerable.Range(0, Count << (SegmentBits + 1)).Select(id => (ulong)id).Where(id => Mix.Segment(id, SegmentBits) == Segment).Take(Count).OrderBy(Mix.Of)];
        _packedKeys = Packed(_keys);
        _packedIds = Packed(_ids);
        (_dense, _half, _tenth) = (Values(0), Values(50), Values(90));
        (_halfShrunk, _tenthShrunk) = (Shrunk(_half), Shrunk(_tenth));
        (_inTwoBytes, _inAByte) = (Shrunk(_dense, ValueFilters.BFloat16), Shrunk(_dense, ValueFilters.Int8));

        float[] Values(int zeroPercent) =>
            [.. Enumerable.Range(0, 2 * Count).Select(_ => random.Next(100) < zeroPercent ? 0 : random.NextSingle() + 1)];
    }

    [Benchmark(Baseline = true)]
    public void CopyKeys() => MemoryMarshal.AsBytes(_keys.AsSpan()).CopyTo(_packed);

    [Benchmark]
    public int PackHashedKeys() => (int)PackedKeys.Write(_keys, _range, _packed, out _);

    [Benchmark]
    public bool UnpackHashedKeys() => PackedKeys.TryReadDelta(_packedKeys, _range, _read);

    [Benchmark]
    public int PackSmallKeys() => (int)PackedKeys.Write(_ids, _range, _packed, out _);

    [Benchmark]
    public bool UnpackSmallKeys() => PackedKeys.TryReadPacked(_packedIds, _read);

    [Benchmark]
    public UInt128 HashKeys() => KeyList.HashOf(_keys, 7);

    /// <summary>Part of each of the next three, as values are shrunk in place.</summary>
    [Benchmark]
    public void CopyValues() => _half.CopyTo(_work, 0);

    [Benchmark]
    public int ShrinkNoZeros() => Shrink(_dense);

    [Benchmark]
    public int ShrinkHalfZeros() => Shrink(_half);

    [Benchmark]
    public int ShrinkNineTenths() => Shrink(_tenth);

    [Benchmark]
    public bool ExpandHalfZeros() => ValueEncodings.TryRead(ValueEncoding.ZeroBitmap, _halfShrunk, _work);

    [Benchmark]
    public bool ExpandNineTenths() => ValueEncodings.TryRead(ValueEncoding.ZeroBitmap, _tenthShrunk, _work);

    [Benchmark]
    public int RoundToTwoBytes() => Shrink(_dense, ValueFilters.BFloat16);

    [Benchmark]
    public int RoundToAByte() => Shrink(_dense, ValueFilters.Int8);

    [Benchmark]
    public bool ExpandTwoBytes() => ValueEncodings.TryRead(ValueEncoding.BFloat16, _inTwoBytes, _work);

    [Benchmark]
    public bool ExpandAByte() => ValueEncodings.TryRead(ValueEncoding.Int8, _inAByte, _work);

    private byte[] Packed(ulong[] keys)
    {
        PackedKeys.Write(keys, _range, _packed, out int bytes);
        return _packed[..bytes];
    }

    private byte[] Shrunk(float[] values, ValueFilters filters = ValueFilters.ZeroBitmap)
    {
        int bytes = Shrink(values, filters);
        return MemoryMarshal.AsBytes(_work.AsSpan())[..bytes].ToArray();
    }

    private int Shrink(float[] values, ValueFilters filters = ValueFilters.ZeroBitmap)
    {
        values.CopyTo(_work, 0);
        return ValueEncodings.Shrink(_work, filters, 1, out _);
    }
}
