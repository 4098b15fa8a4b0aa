using Microsoft.Extensions.Logging.Abstractions;
using Weir.Cli.Reports;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Cli.Bench;

/// <summary>What a training is run on in this process.</summary>
/// <param name="Servers">Servers.</param>
/// <param name="SegmentBits">2^this segments.</param>
/// <param name="Workers">Workers.</param>
internal readonly record struct BenchedCluster(int Servers, int SegmentBits, int Workers);

/// <summary>How a training went.</summary>
/// <param name="Seconds">Until all workers had finished.</param>
/// <param name="Test">The model's quality on the test rows.</param>
/// <param name="Wire">What the workers sent and received.</param>
/// <param name="ByPass">That of each pass.</param>
/// <param name="ComputeSeconds">Seconds in which workers computed, added up.</param>
/// <param name="WaitSeconds">Seconds in which they waited.</param>
/// <param name="Course">The mean log-loss of the latest rows before their update, by the second at which it was looked at.</param>
internal sealed record TrainingOutcome(
    double Seconds, BinaryQuality Test, ClientCounters Wire, IReadOnlyList<WireOfPass> ByPass, double ComputeSeconds, double WaitSeconds, IReadOnlyList<(double Seconds, double Loss)> Course);

/// <summary>A training in a cluster of this process's own, measured.</summary>
internal static class BenchedTraining
{
    private const int LookMs = 20;

    // All passes are over: what looks at the last one's end has only to be scheduled.
    private const int CountMs = 5000;

    /// <summary>Runs it to the end.</summary>
    /// <param name="data">The rows, test rows among them.</param>
    /// <param name="options">How it learns.</param>
    /// <param name="on">The cluster.</param>
    /// <param name="wire">The client's filters.</param>
    /// <param name="afterStep">Called after each iteration of a worker, which waits for it; null for nothing.</param>
    /// <param name="cancellation">Ends it.</param>
    public static async Task<TrainingOutcome> RunAsync(
        TrainingData data, LogisticOptions options, BenchedCluster on, Filters wire, Action<WorkerStep>? afterStep, CancellationToken cancellation)
    {
        var training = new LogisticTraining(options, data.Train, data.Summary);
        await using var cluster = new EmbeddedServers(on.Servers, on.SegmentBits, replicas: 0, NullLoggerFactory.Instance);
        await using WeirClient client = await cluster.ConnectAsync(wire, cancellation);
        const string Name = "bench";
        Job job = await client.OpenJobAsync(new JobOptions { Name = Name, Workers = on.Workers }, cancellation);
        WeirTable table = await client.OpenTableAsync(training.Table(Name, job), cancellation);
        var meter = new TrainingMeter(training, on.Workers);
        var gate = new PauseGate();
        var workers = new HostedWorkers(training, table, [], gate, step =>
        {
            meter.Add(step, Environment.ProcessId);
            afterStep?.Invoke(step);
        });
        var hosts = new LocalHost(client, job, workers, gate);
        var bytes = new PassWire(hosts, meter, options.Passes);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        meter.Start();
        Task counting = bytes.RunAsync(end.Token);
        Task run = hosts.RunAsync(cancellation);
        List<(double Seconds, double Loss)> course = [];
        while (await Task.WhenAny(run, Task.Delay(LookMs, cancellation)) != run)
        {
            course.Add((meter.Seconds, meter.Now().Loss));
        }

        await run;
        meter.Stop();
        course.Add((meter.Seconds, meter.Now().Loss));
        await Task.WhenAny(counting, Task.Delay(CountMs, cancellation));
        ClientCounters counters = client.Counters;
        IReadOnlyList<WireOfPass> byPass = bytes.ByPass();
        await end.CancelAsync();
        await Task.WhenAny(counting);
        (LinearModel model, _) = await training.ReadModelAsync(client, table, cancellation);
        BinaryQuality quality = await Evaluation.MeasureAsync(data.Test!, model.LookupAsync, model.InterceptKey, cancellation);
        IEnumerable<(double Compute, double Wait)> times = Enumerable.Range(0, on.Workers).Select(worker => meter.Worker(worker)).Select(told => (told.ComputeSeconds, told.WaitSeconds));
        return new TrainingOutcome(meter.Seconds, quality, counters, byPass, times.Sum(t => t.Compute), times.Sum(t => t.Wait), course);
    }
}
