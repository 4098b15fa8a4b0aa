using Weir.Client;
using Weir.Host;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Tests.Learn;

/// <summary>The loops on a real cluster in this process.</summary>
public sealed class ClusterTrainingTests
{
    [Fact]
    public async Task Two_workers_learn_a_click_log_on_two_servers_and_the_model_is_that_of_the_reference()
    {
        CancellationToken cancellation = TestContext.Current.CancellationToken;
        var log = new ClickLog(1, 20_000, 5_000);
        DataSummary summary = log.Train.Scan(cancellation);
        var options = new LogisticOptions { DelayBound = 0, Passes = 2, BatchRows = 1000 };
        LinearModel expected = new ReferenceCluster(options.ToUpdateRule(), 2, aggregate: true).Train(options, log.Train, summary);

        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync(cancellation: cancellation);
        var training = new LogisticTraining(options, log.Train, summary);
        Job job = await client.OpenJobAsync(new JobOptions { Name = "clicks", Workers = 2 }, cancellation);
        WeirTable table = await client.OpenTableAsync(training.Table("weights", job), cancellation);
        int steps = 0;
        await client.HostWorkersAsync(job, (worker, stop) => training.RunAsync(worker, table, _ => Interlocked.Increment(ref steps), stop), cancellation);
        Assert.Equal(2 * training.Iterations(WorkerSchedule.Of(2)), steps);

        (LinearModel model, long rows) = await training.ReadModelAsync(client, table, cancellation);
        Assert.Equal(expected.Keys.ToArray(), model.Keys.ToArray());
        for (int index = 0; index < model.Count; index++)
        {
            Assert.Equal(expected.Weights[index], model.Weights[index], 1e-4f);
        }

        Assert.InRange(rows, model.Count, long.MaxValue);
        BinaryQuality pulled = await Evaluation.MeasureAsync(log.Test, LogisticTraining.Lookup(client, table), model.InterceptKey, cancellation);
        Assert.Equal(await Evaluation.MeasureAsync(log.Test, model.LookupAsync, model.InterceptKey, cancellation), pulled);
    }
}
