using Weir.Client;

namespace Weir.Cli.Training;

/// <summary>Hosts the workers in this process.</summary>
internal sealed class LocalHost(WeirClient client, Job job, HostedWorkers workers, PauseGate gate) : IWorkerHosts
{
    public ClientCounters Wire => client.Counters;

    public string Description => job.Workers == 1 ? "1 worker in this process" : $"{job.Workers} workers in this process";

    public Task RunAsync(CancellationToken cancellation) => client.HostWorkersAsync(job, workers.RunAsync, cancellation);

    public void Joined(int workers)
    {
        // This process hosts them with the others.
    }

    public void Lift(int pauses) => gate.Lift(pauses);
}
