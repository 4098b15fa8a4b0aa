using System.Runtime.InteropServices;
using Weir.Client;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Tests.Learn;

/// <summary>
/// A parameter server in a dictionary, on one thread, that is as slow as the delay bound allows: a pull sees the pushes of the iterations
/// that it must see and, but for what others made visible, none above. With <c>aggregate</c> an iteration's pushes are summed by worker
/// and go through the rule once. The rules are written from the papers' equations.
/// </summary>
internal sealed class ReferenceCluster(UpdateRule rule, int workers, bool aggregate)
{
    private readonly Dictionary<ulong, Row> _rows = [];
    private readonly SortedDictionary<(long Iteration, int Worker), (ulong[] Keys, float[] Values)> _pending = [];
    private readonly long[] _clocks = new long[workers];
    private readonly long[] _ended = new long[workers];
    private readonly List<(long Iteration, TaskCompletionSource Done)> _open = [];
    private readonly List<(long Clock, TaskCompletionSource Done)> _waiting = [];
    private long _applied;

    /// <summary>What happened, in order: "pull worker iteration bound", "push worker iteration", "clock worker iteration".</summary>
    public List<string> Trace { get; } = [];

    public int Rows => _rows.Count;

    public ITrainingWorker Worker(int index) => new Hosted(this, index);

    /// <summary>Trains with one loop a worker, then applies what is left.</summary>
    public LinearModel Train(LogisticOptions options, ISparseSource source, DataSummary summary, Action<TrainingStep>? report = null)
    {
        var loop = new LogisticLoop(options, source, summary);
        SingleThread.Run(() => Task.WhenAll(Enumerable.Range(0, workers).Select(index => loop.RunAsync(Worker(index), report))));
        Apply(long.MaxValue);
        return Model(options.EffectiveInterceptKey);
    }

    public LinearModel Model(ulong? interceptKey) =>
        LinearModel.Create([.. _rows.Keys], [.. _rows.Values.Select(row => row.Weight)], interceptKey);

    private void Apply(long upTo)
    {
        foreach (IGrouping<long, KeyValuePair<(long Iteration, int Worker), (ulong[] Keys, float[] Values)>> iteration in
            _pending.Where(push => push.Key.Iteration <= upTo).GroupBy(push => push.Key.Iteration).ToList())
        {
            var sums = new Dictionary<ulong, float>();
            foreach (var (identity, push) in iteration)
            {
                for (int at = 0; at < push.Keys.Length; at++)
                {
                    if (aggregate)
                    {
                        CollectionsMarshal.GetValueRefOrAddDefault(sums, push.Keys[at], out _) += push.Values[at];
                    }
                    else
                    {
                        Update(push.Keys[at], push.Values[at]);
                    }
                }

                _pending.Remove(identity);
            }

            foreach (var (key, sum) in sums)
            {
                Update(key, sum);
            }
        }

        _applied = Math.Max(_applied, upTo);
    }

    // The push to an aggregating table is acknowledged when every worker has ended the iteration, and so is its clock.
    private async Task ClosedAsync(long iteration)
    {
        await Task.Yield();
        if (aggregate && _ended.Min() < iteration)
        {
            var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _open.Add((iteration, done));
            await done.Task;
        }
    }

    private static void Release(List<(long Needed, TaskCompletionSource Done)> waiting, long reached)
    {
        foreach ((_, TaskCompletionSource done) in waiting.Where(one => one.Needed <= reached))
        {
            done.TrySetResult();
        }

        waiting.RemoveAll(one => one.Needed <= reached);
    }

    private void Update(ulong key, float gradient)
    {
        ref Row row = ref CollectionsMarshal.GetValueRefOrAddDefault(_rows, key, out _);
        switch (rule.Kind)
        {
            case UpdateRuleKind.Ftrl:
                // McMahan et al. 2013, algorithm 1.
                float sigma = (MathF.Sqrt(row.N + (gradient * gradient)) - MathF.Sqrt(row.N)) / rule.A;
                row.Z += gradient - (sigma * row.Weight);
                row.N += gradient * gradient;
                row.Weight = MathF.Abs(row.Z) <= rule.C
                    ? 0
                    : -(row.Z - (MathF.Sign(row.Z) * rule.C)) / (((rule.B + MathF.Sqrt(row.N)) / rule.A) + rule.D);
                break;
            case UpdateRuleKind.Adagrad:
                // Duchi, Hazan and Singer 2011.
                row.N += gradient * gradient;
                row.Weight -= gradient == 0 ? 0 : rule.A * gradient / (MathF.Sqrt(row.N) + rule.B);
                break;
            case UpdateRuleKind.Adam:
                // Kingma and Ba 2015, algorithm 1.
                row.Steps++;
                row.Z = (rule.B * row.Z) + ((1 - rule.B) * gradient);
                row.N = (rule.C * row.N) + ((1 - rule.C) * gradient * gradient);
                row.Weight -= rule.A * (row.Z / (1 - MathF.Pow(rule.B, row.Steps))) / (MathF.Sqrt(row.N / (1 - MathF.Pow(rule.C, row.Steps))) + rule.D);
                break;
            case UpdateRuleKind.Momentum:
                // Sutskever et al. 2013, equations 1 and 2.
                row.Z = (rule.B * row.Z) - (rule.A * gradient);
                row.Weight += row.Z;
                break;
            case UpdateRuleKind.ProximalSgd:
                // Duchi and Singer 2009, equations 2 and 3.
                float moved = row.Weight - (rule.A * gradient);
                row.Weight = MathF.Sign(moved) * MathF.Max(0, MathF.Abs(moved) - (rule.A * rule.B)) / (1 + (rule.A * rule.C));
                break;
            case UpdateRuleKind.Sgd:
                row.Weight -= rule.A * gradient;
                break;
            default:
                throw new NotSupportedException($"{rule.Kind} is no rule of learning");
        }
    }

    private struct Row
    {
        public float Weight;
        public float Z;
        public float N;
        public int Steps;
    }

    private sealed class Hosted(ReferenceCluster cluster, int index) : ITrainingWorker
    {
        private long _iteration = cluster._clocks[index] + 1;

        public int Index => index;

        public WorkerSchedule Schedule { get; } = WorkerSchedule.Of(cluster._clocks.Length);

        public long Clock => cluster._clocks[index];

        public async Task<long> PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation)
        {
            cluster.Trace.Add($"pull {index} {_iteration} {delayBound?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "none"}");
            long needed = _iteration - delayBound - 1 ?? 0;
            if (cluster._clocks.Min() < needed)
            {
                var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                cluster._waiting.Add((needed, done));
                using CancellationTokenRegistration registration = cancellation.Register(() => done.TrySetCanceled(cancellation));
                await done.Task;
            }
            else
            {
                await Task.Yield();
            }

            // Without a bound nothing need be visible; the reference shows what is two iterations old.
            cluster.Apply(delayBound is null ? cluster._clocks.Min() - 2 : needed);
            for (int at = 0; at < keys.Length; at++)
            {
                values.Span[at] = cluster._rows.GetValueOrDefault(keys.Span[at]).Weight;
            }

            return cluster._clocks.Min();
        }

        public async Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation)
        {
            cancellation.ThrowIfCancellationRequested();
            Assert.Equal(keys.Length, new HashSet<ulong>(keys.ToArray()).Count);
            cluster.Trace.Add($"push {index} {_iteration}");
            cluster._pending[(_iteration, index)] = (keys.ToArray(), values.ToArray());
            await cluster.ClosedAsync(_iteration);
        }

        public async Task<bool> ClockAsync(CancellationToken cancellation)
        {
            cluster.Trace.Add($"clock {index} {_iteration}");
            long ended = _iteration++;
            cluster._ended[index] = ended;
            Release(cluster._open, cluster._ended.Min());
            await cluster.ClosedAsync(ended);
            cluster._clocks[index] = ended;
            Release(cluster._waiting, cluster._clocks.Min());
            await Task.Yield();
            return true;
        }
    }
}
