using BenchmarkDotNet.Attributes;
using Weir.Wire;

namespace Weir.Bench;

/// <summary>The room Wire: what a frame costs beyond its body's fields, at the size of a heartbeat, a small push and the largest frame.</summary>
[MemoryDiagnoser]
public class FrameHeaderBench
{
    private byte[] _frame = [];

    [Params(64, 16 << 10, (1 << 20) - FrameHeader.Size)]
    public int BodyBytes { get; set; }

    [GlobalSetup]
    public void FillFrame()
    {
        _frame = new byte[FrameHeader.Size + BodyBytes];
        new Random(1).NextBytes(_frame);
        Seal();
    }

    [Benchmark]
    public void Seal() => new FrameHeader { Kind = FrameKind.Push, RequestId = 1, Session = 1 }.Seal(_frame);

    [Benchmark]
    public bool ReadAndCheck() =>
        FrameHeader.TryRead(_frame, out FrameHeader header) == HeaderFault.None && header.BodyIsWhole(_frame.AsSpan(FrameHeader.Size));
}
