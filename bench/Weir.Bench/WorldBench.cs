using BenchmarkDotNet.Attributes;
using Weir.World;

namespace Weir.Bench;

/// <summary>The room World: what a frame's memory costs from the pool, beside a new array of the same size.</summary>
[MemoryDiagnoser]
public class WorldBench
{
    private readonly FramePool _pool = new();

    [Params(256, 64 << 10, FramePool.MaxFrameBytes)]
    public int FrameBytes { get; set; }

    [Benchmark(Baseline = true)]
    public byte[] NewArray() => new byte[FrameBytes];

    [Benchmark]
    public void RentAndRelease() => _pool.Rent(FrameBytes).Release();
}
