using Weir.Cli.Reports;
using Weir.Client;

namespace Weir.Cli.Training;

/// <summary>How many bytes each pass of a run took: looks at what the hosts count whenever all workers have finished one. Not thread-safe.</summary>
/// <param name="hosts">They count.</param>
/// <param name="meter">Knows how far the workers are.</param>
/// <param name="passes">Passes of the run.</param>
internal sealed class PassWire(IWorkerHosts hosts, TrainingMeter meter, int passes)
{
    private readonly List<ClientCounters> _ends = [];

    /// <summary>Looks until the run is over.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        for (int pass = 1; pass < passes; pass++)
        {
            await meter.ReachedAsync(meter.Iterations * pass / passes).WaitAsync(cancellation);
            _ends.Add(hosts.Wire);
        }
    }

    /// <summary>The bytes of each pass that was finished, the last one up to now.</summary>
    public IReadOnlyList<WireOfPass> ByPass()
    {
        ClientCounters[] at = [default, .. _ends, hosts.Wire];
        return [.. Enumerable.Range(1, at.Length - 1).Select(pass => new WireOfPass(at[pass].PushBytes - at[pass - 1].PushBytes, at[pass].PullBytes - at[pass - 1].PullBytes))];
    }
}
