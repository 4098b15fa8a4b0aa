using BenchmarkDotNet.Attributes;
using Weir.Host.Memory;
using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Bench;

/// <summary>
/// The room Store: look-ups, updates and scans of random rows of one segment, in calls of 4,096 keys, beside the same arithmetic on the
/// same rows without an index. Times are for one row.
/// </summary>
[MemoryDiagnoser]
public class StoreBench : IDisposable
{
    private const int CallKeys = 4096;
    private const int Calls = 64;

    private readonly ulong[][] _requests = new ulong[Calls][];
    private readonly uint[][] _rows = new uint[Calls][];
    private readonly ulong[] _scanned = new ulong[CallKeys];
    private readonly byte[] _found = new byte[CallKeys / 8];
    private float[] _values = [];
    private float[] _gradients = [];
    private TableRows? _table;
    private SegmentRows? _segment;
    private ulong _cursor;
    private int _call;

    [Params(1_000_000, 10_000_000)]
    public int Rows { get; set; }

    [Params(1, 16)]
    public int Width { get; set; }

    [Params(UpdateRuleKind.Add, UpdateRuleKind.Adagrad)]
    public UpdateRuleKind Rule { get; set; }

    [GlobalSetup]
    public void Fill()
    {
        UpdateRule rule = Rule == UpdateRuleKind.Add ? UpdateRule.Add : UpdateRule.Adagrad(0.1f);
        _table = new TableRows(Width, rule, 0, new MemoryBudget(long.MaxValue, new HugePageMemory()));
        _segment = _table.OpenSegment(0, 1);
        _values = new float[CallKeys * Width];
        _gradients = new float[CallKeys * Width];
        ulong[] keys = new ulong[Rows];
        Rng rng = new(1);
        for (int i = 0; i < Rows; i++)
        {
            keys[i] = Mix.Inverse(rng.Next() >> 1);
        }

        foreach (ulong[] some in keys.Chunk(CallKeys))
        {
            _segment.Apply(some, _gradients.AsSpan(0, some.Length * Width), RowOperation.Update);
        }

        Array.Fill(_gradients, 0.01f);
        for (int call = 0; call < Calls; call++)
        {
            _requests[call] = [.. Enumerable.Range(0, CallKeys).Select(_ => keys[rng.Below(Rows)])];
            _rows[call] = [.. Enumerable.Range(0, CallKeys).Select(_ => (uint)rng.Below(Rows))];
        }
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _table?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = CallKeys)]
    public void UpdateWithoutAnIndex() => _table!.Runs.Apply(_rows[Next()], _gradients, RowOperation.Update);

    [Benchmark(OperationsPerInvoke = CallKeys)]
    public bool Update() => _segment!.Apply(_requests[Next()], _gradients, RowOperation.Update) == StoreResult.Ok;

    [Benchmark(OperationsPerInvoke = CallKeys)]
    public int LookUp() => _segment!.ReadFound(_requests[Next()], _values, _found);

    [Benchmark(OperationsPerInvoke = CallKeys)]
    public int Scan()
    {
        int rows = 0;
        while (rows < CallKeys)
        {
            rows += _segment!.Scan(_cursor, _scanned.AsSpan(0, CallKeys - rows), _values, out _cursor, out _);
        }

        return rows;
    }

    private int Next() => _call = (_call + 1) % Calls;
}
