namespace Weir.Learn.Logistic;

/// <summary>How long a worker computed and waited in one iteration: what the paper calls computing and idle time (Li et al. 2014, OSDI, figures 10 and 13). Not thread-safe.</summary>
/// <param name="worker">Tells the time.</param>
internal sealed class StepTime(ITrainingWorker worker)
{
    private TimeSpan _computed;
    private TimeSpan _waited;

    public double ComputeSeconds => _computed.TotalSeconds;

    public double WaitSeconds => _waited.TotalSeconds;

    public void Compute(Action? work)
    {
        TimeSpan begun = worker.Elapsed;
        work?.Invoke();
        _computed += worker.Elapsed - begun;
    }

    public async Task<T> WaitAsync<T>(Task<T> task)
    {
        if (task.IsCompleted)
        {
            return await task;
        }

        TimeSpan begun = worker.Elapsed;
        try
        {
            return await task;
        }
        finally
        {
            _waited += worker.Elapsed - begun;
        }
    }
}
