using Weir.Client;

namespace Weir.Cli.Training;

/// <summary>The process or processes that host a job's workers.</summary>
internal interface IWorkerHosts
{
    /// <summary>What they sent and received so far.</summary>
    ClientCounters Wire { get; }

    /// <summary>What they are, for people.</summary>
    string Description { get; }

    /// <summary>Hosts the workers until all have finished.</summary>
    Task RunAsync(CancellationToken cancellation);

    /// <summary>The job has so many workers by now: some joined.</summary>
    void Joined(int workers);

    /// <summary>Lets the workers through the first <paramref name="pauses"/> pauses.</summary>
    void Lift(int pauses);
}
