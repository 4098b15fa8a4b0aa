using Weir.Client;

namespace Weir.Learn.Logistic;

/// <summary>A worker of a job and its table as a training loop sees them. Not thread-safe.</summary>
internal sealed class TableWorker(Worker worker, WeirTable table) : ITrainingWorker
{
    private Task _held = Task.CompletedTask;

    public int Index => worker.Index;

    public int Count => worker.Count;

    public long Clock => worker.Clock;

    public Task PullAsync(ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation) =>
        worker.PullAsync(table, keys, values, delayBound, cancellation);

    public Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation)
    {
        Task push = worker.PushAsync(table, keys, values, cancellation);
        if (!table.Aggregate)
        {
            return push;
        }

        // Acknowledged when the iteration closes, which this worker's clock is needed for (design R19): it is awaited there, and the loop
        // touches the memory only after it.
        _held = push;
        return Task.CompletedTask;
    }

    public async Task ClockAsync(CancellationToken cancellation)
    {
        await worker.ClockAsync(cancellation);
        await _held;
    }
}
