using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Engines;
using Weir.Client;
using Weir.Host;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Bench;

/// <summary>
/// Weir.Learn: the main job, three passes over the click log by FTRL, on an embedded cluster of two servers with two workers as
/// <c>weir train</c> runs it, beside the same arithmetic on the same batches in one loop of one thread that keeps its weights in a dictionary
/// and arrays: what a program without a parameter server does. The whole job is timed, reading included.
/// </summary>
[SimpleJob(RunStrategy.Monitoring, warmupCount: 2, iterationCount: 7)]
public class TrainingBench
{
    private readonly LogisticOptions _options = new();
    private readonly ISparseSource _rows = new ClickLog().Train;
    private DataSummary _summary = null!;
    private int _batchRows;

    [GlobalSetup]
    public void Scan()
    {
        _summary = _rows.Scan();
        _batchRows = LogisticOptions.DefaultBatchRows(_summary.Rows);
    }

    /// <returns>The sum of the log-losses, so that nothing is optimized away.</returns>
    [Benchmark(Baseline = true)]
    public double OneLoop()
    {
        var weights = new LocalWeights(_options);
        var batch = new NumberedBatch(_options.EffectiveInterceptKey);
        long perPass = _summary.BatchesPerPass(1, _batchRows);
        using var batches = new BatchSequence(_rows, _batchRows);
        double loss = 0;
        for (long iteration = 0; iteration < _options.Passes * perPass; iteration++)
        {
            batches.Read(iteration % perPass, 1, batch);
            weights.Read(batch.Keys.Span, batch.Weights.Span);
            loss += batch.ComputeGradient();
            weights.Update(batch.Gradient.Span);
        }

        return loss;
    }

    [Benchmark]
    public Task<double> EmbeddedCluster() => TrainAsync(servers: 2, workers: 2);

    [Benchmark]
    public Task<double> EmbeddedClusterOfOneWithOneWorker() => TrainAsync(servers: 1, workers: 1);

    private async Task<double> TrainAsync(int servers, int workers)
    {
        double loss = 0;
        var gate = new Lock();
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = servers });
        await using WeirClient client = await cluster.ConnectAsync();
        Job job = await client.OpenJobAsync(new JobOptions { Name = "train", Workers = workers });
        var training = new LogisticTraining(_options, _rows, _summary);
        WeirTable table = await client.OpenTableAsync(training.Table("weights", job));
        await client.HostWorkersAsync(job, (worker, cancellation) => training.RunAsync(
            worker,
            table,
            step =>
            {
                lock (gate)
                {
                    loss += step.LossSum;
                }
            },
            cancellation));
        return loss;
    }

    /// <summary>FTRL-proximal (McMahan et al. 2013, algorithm 1) on arrays, found through a dictionary.</summary>
    private sealed class LocalWeights(LogisticOptions options)
    {
        private readonly Dictionary<ulong, int> _rows = [];
        private readonly List<int> _found = [];
        private float[] _w = new float[1 << 20];
        private float[] _z = new float[1 << 20];
        private float[] _n = new float[1 << 20];

        public void Read(ReadOnlySpan<ulong> keys, Span<float> weights)
        {
            _found.Clear();
            for (int i = 0; i < keys.Length; i++)
            {
                if (!_rows.TryGetValue(keys[i], out int row))
                {
                    row = _rows.Count;
                    _rows.Add(keys[i], row);
                    if (row == _w.Length)
                    {
                        Array.Resize(ref _w, row * 2);
                        Array.Resize(ref _z, row * 2);
                        Array.Resize(ref _n, row * 2);
                    }
                }

                _found.Add(row);
                weights[i] = _w[row];
            }
        }

        public void Update(ReadOnlySpan<float> gradient)
        {
            (float alpha, float beta, float l1, float l2) = (options.EffectiveAlpha, options.EffectiveBeta, options.EffectiveL1, options.EffectiveL2);
            for (int i = 0; i < gradient.Length; i++)
            {
                int row = _found[i];
                float g = gradient[i];
                float root = MathF.Sqrt(_n[row] + (g * g));
                // sigma = (sqrt(n + g^2) - sqrt(n)) / alpha;  z = z + g - sigma w;  n = n + g^2
                _z[row] += g - ((root - MathF.Sqrt(_n[row])) / alpha * _w[row]);
                _n[row] += g * g;
                // w = 0 where |z| is at most l1, else -(z - sign(z) l1) / ((beta + sqrt(n)) / alpha + l2)
                _w[row] = MathF.Abs(_z[row]) <= l1 ? 0 : (MathF.CopySign(l1, _z[row]) - _z[row]) / (((beta + root) / alpha) + l2);
            }
        }
    }
}
