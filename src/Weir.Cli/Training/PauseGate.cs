namespace Weir.Cli.Training;

/// <summary>
/// Where workers wait while the model is measured: at the n-th pause until so many have been lifted. Thread-safe.
/// </summary>
internal sealed class PauseGate
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _lifted;

    /// <summary>Lets everybody through the first <paramref name="pauses"/> pauses.</summary>
    public void Lift(int pauses)
    {
        lock (_lock)
        {
            if (pauses > _lifted)
            {
                _lifted = pauses;
                _changed.SetResult();
                _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }

    /// <summary>Waits until pause number <paramref name="pause"/>, counted from 0, has been lifted.</summary>
    public async Task PassAsync(int pause, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (pause < _lifted)
                {
                    return;
                }

                changed = _changed.Task;
            }

            await changed.WaitAsync(cancellation);
        }
    }
}
