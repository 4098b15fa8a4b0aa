using Weir.Client;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Tests.Learn;

public sealed class LogisticLoopTests
{
    private static readonly ClickLog Small = new(5, 1030, 10);
    private static readonly DataSummary SmallSummary = Small.Train.Scan();

    [Fact]
    public void Each_worker_pulls_pushes_and_clocks_every_iteration_and_the_last_batch_may_be_empty()
    {
        // 1,030 rows in batches of 100 are 11 blocks: worker 2 of 3 has none in the fourth round.
        var cluster = new ReferenceCluster(UpdateRule.Sgd(0.001f), 3, aggregate: true);
        var steps = new List<TrainingStep>();
        cluster.Train(new LogisticOptions { BatchRows = 100, Passes = 2, DelayBound = 0 }, Small.Train, SmallSummary, steps.Add);
        Assert.Equal(3 * 2 * 4, steps.Count);
        Assert.Equal(2 * 1030, steps.Sum(step => step.Rows));
        Assert.All(steps, step => Assert.Equal(8, step.Iterations));
        Assert.Equal([0, 0], steps.Where(step => step.Worker == 2 && step.Iteration % 4 == 0).Select(step => step.Rows));
        Assert.Equal(24, cluster.Trace.Count(line => line.StartsWith("clock", StringComparison.Ordinal)));
        Assert.Equal(22, cluster.Trace.Count(line => line.StartsWith("push", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData(0, "pull 0 1 0|push 0 1|clock 0 1|pull 0 2 0|push 0 2|clock 0 2|pull 0 3 0")]
    [InlineData(1, "pull 0 1 1|pull 0 1 0|push 0 1|clock 0 1|pull 0 2 0|push 0 2|clock 0 2")]
    [InlineData(3, "pull 0 1 3|pull 0 1 2|push 0 1|clock 0 1|pull 0 2 2|push 0 2|clock 0 2")]
    [InlineData(null, "pull 0 1 none|pull 0 1 none|push 0 1|clock 0 1|pull 0 2 none|push 0 2|clock 0 2")]
    public void The_next_batch_is_pulled_before_this_one_is_pushed_where_the_bound_allows_it_and_never_beyond_the_bound(int? bound, string start)
    {
        var cluster = new ReferenceCluster(UpdateRule.Sgd(0.001f), 2, aggregate: bound == 0);
        cluster.Train(new LogisticOptions { BatchRows = 100, Passes = 1, DelayBound = bound }, Small.Train, SmallSummary);
        Assert.Equal(start, string.Join('|', cluster.Trace.Where(line => line.Contains(" 0 ", StringComparison.Ordinal)).Take(7)));
    }

    [Fact]
    public void A_worker_that_is_hosted_anew_goes_on_with_the_batch_after_its_clock_and_ends_at_the_same_weights()
    {
        var options = new LogisticOptions { BatchRows = 100, Passes = 3, DelayBound = 0 };
        var undisturbed = new ReferenceCluster(options.ToUpdateRule(), 2, aggregate: true);
        LinearModel expected = undisturbed.Train(options, Small.Train, SmallSummary);

        var disturbed = new ReferenceCluster(options.ToUpdateRule(), 2, aggregate: true);
        var loop = new LogisticLoop(options, Small.Train, SmallSummary);
        SingleThread.Run(async () =>
        {
            using var death = new CancellationTokenSource();
            Task other = loop.RunAsync(disturbed.Worker(1), cancellation: CancellationToken.None);

            // Worker 0's host dies in its eighth iteration, in the second pass, after it has been told of the seventh.
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => loop.RunAsync(disturbed.Worker(0), step =>
            {
                if (step.Iteration == 7)
                {
                    death.Cancel();
                }
            }, cancellation: death.Token));
            Assert.Equal(7, disturbed.Worker(0).Clock);
            await Task.WhenAll(other, loop.RunAsync(disturbed.Worker(0), cancellation: CancellationToken.None));
        });
        LinearModel model = disturbed.Train(options, Small.Train, SmallSummary);
        Assert.Equal(expected.Keys.ToArray(), model.Keys.ToArray());
        Assert.Equal(expected.Weights.ToArray(), model.Weights.ToArray());
        Assert.NotEqual(0, model.Count);
    }

    [Fact]
    public void A_worker_whose_clock_is_at_the_end_has_nothing_to_do()
    {
        var options = new LogisticOptions { BatchRows = 100, Passes = 1 };
        var cluster = new ReferenceCluster(options.ToUpdateRule(), 2, aggregate: false);
        cluster.Train(options, Small.Train, SmallSummary);
        int before = cluster.Trace.Count;
        cluster.Train(options, Small.Train, SmallSummary);
        Assert.Equal(before, cluster.Trace.Count);
    }

    [Fact]
    public void A_failed_push_ends_the_loop_with_its_error_once_the_pull_ahead_is_over()
    {
        var options = new LogisticOptions { BatchRows = 100, DelayBound = 1 };
        var worker = new FailingWorker();
        SingleThread.Run(() => Assert.ThrowsAsync<InvalidOperationException>(() => new LogisticLoop(options, Small.Train, SmallSummary).RunAsync(worker, cancellation: TestContext.Current.CancellationToken)));
        Assert.True(worker.PullEnded);
    }

    private sealed class FailingWorker : ITrainingWorker
    {
        private int _pulls;

        public bool PullEnded { get; private set; }

        public int Index => 0;

        public WorkerSchedule Schedule { get; } = WorkerSchedule.Of(1);

        public long Clock => 0;

        public async Task<long> PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation)
        {
            if (_pulls++ == 0)
            {
                return 0;
            }

            var never = new TaskCompletionSource();
            using CancellationTokenRegistration registration = cancellation.Register(() => never.TrySetCanceled(cancellation));
            try
            {
                await never.Task;
                return 0;
            }
            finally
            {
                PullEnded = true;
            }
        }

        public Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation) =>
            Task.FromException(new InvalidOperationException("the push failed"));

        public Task<bool> ClockAsync(CancellationToken cancellation) => Task.FromResult(true);
    }
}
