using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using Weir.Client;

namespace Weir.Bench;

/// <summary>
/// The room Client: a call's keys cut and sorted into parts, and a push's rows brought into their order, beside copying the same keys and
/// rows as they are. Times are for one key.
/// </summary>
[MemoryDiagnoser]
public class ClientBench
{
    private const int CallKeys = 100_000;
    private const int SegmentBits = 7;

    private readonly ulong[] _keys = new ulong[CallKeys];
    private readonly ulong[] _copiedKeys = new ulong[CallKeys];
    private float[] _values = [];
    private float[] _gathered = [];
    private KeySlices? _slices;

    [Params(1, 16)]
    public int Width { get; set; }

    [GlobalSetup]
    public void Draw()
    {
        new Random(1).NextBytes(MemoryMarshal.AsBytes(_keys.AsSpan()));
        _values = new float[CallKeys * Width];
        _gathered = new float[CallKeys * Width];
        _slices = KeySlices.Cut(_keys);
    }

    [GlobalCleanup]
    public void Return() => _slices?.Dispose();

    [Benchmark(Baseline = true, OperationsPerInvoke = CallKeys)]
    public void CopyKeysAndRows()
    {
        _keys.CopyTo(_copiedKeys, 0);
        _values.CopyTo(_gathered, 0);
    }

    [Benchmark(OperationsPerInvoke = CallKeys)]
    public int Cut()
    {
        using var slices = KeySlices.Cut(_keys);
        int parts = 0;
        for (int row = 0; row < slices.Rows; row = slices.EndOfSegment(row, SegmentBits))
        {
            parts++;
        }

        return parts;
    }

    [Benchmark(OperationsPerInvoke = CallKeys)]
    public void GatherRows() => _slices!.GatherRows(_values, Width, UpdateRule.Add, 0, _slices.Rows, _gathered);
}
