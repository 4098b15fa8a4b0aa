using BenchmarkDotNet.Attributes;
using Weir.Keys;
using Weir.World;

namespace Weir.Bench;

/// <summary>The room Keys: the hash of a batch of keys beside adding them up, and the smallest clock of a group. Times are for one key.</summary>
[MemoryDiagnoser]
public class KeysBench
{
    private const int Keys = 4096;

    private readonly ulong[] _keys = new ulong[Keys];
    private readonly VectorClock _clocks = new(Keys);

    [GlobalSetup]
    public void Draw()
    {
        Rng rng = new(1);
        for (int i = 0; i < Keys; i++)
        {
            _keys[i] = rng.Next();
            _clocks.Raise(i, rng.Below(1000L));
        }
    }

    [Benchmark(Baseline = true, OperationsPerInvoke = Keys)]
    public ulong Add()
    {
        ulong sum = 0;
        foreach (ulong key in _keys)
        {
            sum += key;
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Keys)]
    public ulong MixOf()
    {
        ulong sum = 0;
        foreach (ulong key in _keys)
        {
            sum += Mix.Of(key);
        }

        return sum;
    }

    [Benchmark(OperationsPerInvoke = Keys)]
    public long SmallestClock() => _clocks.Minimum;
}
