using Weir.Client;
using Weir.Keys;
using Weir.Learn.Logistic;
using Weir.Store;

namespace Weir.Tests.Learn;

/// <summary>
/// A parameter server of one worker that is exactly as late as the delay bound allows: in iteration t a pull contains the steps before
/// t - delay and none after. The steps are the store's own rule.
/// </summary>
internal sealed class DelayedServer(UpdateRule rule, int delay, long iterations) : ITrainingWorker
{
    private readonly IUpdateRule _rule = UpdateRules.Create(rule);
    private readonly Dictionary<ulong, float[]> _rows = [];
    private readonly Queue<(long Iteration, ulong[] Keys, float[] Values, TaskCompletionSource Done)> _pending = new();
    private readonly Queue<(long Iteration, TaskCompletionSource<bool> Done)> _clocks = new();
    private long _iteration = 1;

    public int Index => 0;

    public WorkerSchedule Schedule { get; } = WorkerSchedule.Of(1);

    public long Clock { get; private set; }

    /// <summary>Called after each iteration's step with the weights by key.</summary>
    public Action<long, IReadOnlyDictionary<ulong, float[]>>? Stepped { get; init; }

    /// <summary>Floats pushed.</summary>
    public long Pushed { get; private set; }

    public Task<long> PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation)
    {
        Assert.Equal(delay, delayBound);
        for (int at = 0; at < keys.Length; at++)
        {
            _rows.GetValueOrDefault(keys.Span[at], [0, 0]).CopyTo(values.Span[(2 * at)..]);
        }

        return Task.FromResult(Math.Max(0, _iteration - 1 - delay));
    }

    public Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation)
    {
        var done = new TaskCompletionSource();
        Pushed += values.Length;
        _pending.Enqueue((_iteration, keys.ToArray(), values.ToArray(), done));
        return done.Task;
    }

    public Task<bool> ClockAsync(CancellationToken cancellation)
    {
        var done = new TaskCompletionSource<bool>();
        _clocks.Enqueue((_iteration, done));
        long last = _iteration == iterations ? iterations : _iteration - delay;
        _iteration++;
        while (_clocks.TryPeek(out var ended) && ended.Iteration <= last)
        {
            while (_pending.TryPeek(out var push) && push.Iteration <= ended.Iteration)
            {
                Step(push.Keys, push.Values);
                _pending.Dequeue();
                push.Done.SetResult();
            }

            _clocks.Dequeue();
            Clock = ended.Iteration;
            ended.Done.SetResult(true);
            Stepped?.Invoke(ended.Iteration, _rows);
        }

        return done.Task;
    }

    private void Step(ulong[] keys, float[] values)
    {
        for (int at = 0; at < keys.Length; at++)
        {
            if (!_rows.TryGetValue(keys[at], out float[]? row))
            {
                _rows.Add(keys[at], row = new float[2]);
            }

            _rule.Apply(row, [], values.AsSpan(2 * at, 2), 2);
        }
    }
}
