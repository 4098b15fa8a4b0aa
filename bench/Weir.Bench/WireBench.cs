using BenchmarkDotNet.Attributes;
using Weir.Wire;
using Weir.World;

namespace Weir.Bench;

/// <summary>
/// The room Wire: a push of one part written into a frame, read and checked, beside copying its bytes. The header and its checksums by
/// themselves are FrameHeaderBench.
/// </summary>
[MemoryDiagnoser]
public class WireBench
{
    private readonly FramePool _pool = new();
    private OnePart _part = null!;
    private byte[] _frame = [];
    private byte[] _copy = [];

    [Params(1, 100, 10_000)]
    public int Rows { get; set; }

    [Params(1, 16)]
    public int Width { get; set; }

    [GlobalSetup]
    public void FillFrame()
    {
        _part = new OnePart(1, Rows, Width);
        FrameBuffer frame = Build();
        _frame = frame.Span.ToArray();
        _copy = new byte[_frame.Length];
        frame.Release();
    }

    [Benchmark(Baseline = true)]
    public void Copy() => _frame.CopyTo(_copy, 0);

    [Benchmark]
    public void Write() => Build().Release();

    [Benchmark]
    public bool ReadAndCheck()
    {
        bool sound = FrameHeader.TryRead(_frame, out FrameHeader header) == HeaderFault.None && header.BodyIsWhole(_frame.AsSpan(FrameHeader.Size));
        return sound && new DataRequestReader(_frame.AsSpan(FrameHeader.Size)).IsWhole(out _);
    }

    private FrameBuffer Build() => Frames.Build(_pool, new FrameHeader { Kind = FrameKind.Push, RequestId = 1, Session = 1 }, _part);
}
