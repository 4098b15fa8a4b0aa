using Weir.Client;
using Weir.Selection;

namespace Weir.Learn.Logistic;

/// <summary>A worker of a cluster as a training loop sees it.</summary>
/// <param name="worker">The worker.</param>
/// <param name="table">The table that it trains.</param>
/// <param name="filtered">Its pushes through filters of rows; null sends all.</param>
internal sealed class WorkerOnTable(Worker worker, WeirTable table, FilteredPushes? filtered = null) : ITrainingWorker
{
    public int Index => worker.Index;

    public WorkerSchedule Schedule => worker.Schedule;

    public long Clock => worker.Clock;

    public TimeSpan Elapsed => worker.Elapsed;

    public async Task<long> PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation) =>
        (await worker.PullAsync(table, keys, values, delayBound, cancellation)).MinimumClock;

    public Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation) =>
        filtered?.PushAsync(keys, values, cancellation) ?? worker.PushAsync(table, keys, values, cancellation);

    public void HoldBack(bool mayHold) => filtered?.HoldBack(mayHold);

    public Task FlushAsync(CancellationToken cancellation) => filtered?.FlushAsync(cancellation) ?? Task.CompletedTask;

    public void CountFiltered(string filter, long bytesIn, long bytesOut)
    {
        worker.CountFiltered(filter, bytesIn, bytesOut);
        worker.CountUnsent(bytesIn - bytesOut);
    }

    public Task<bool> ClockAsync(CancellationToken cancellation) => worker.ClockAsync(cancellation);
}
