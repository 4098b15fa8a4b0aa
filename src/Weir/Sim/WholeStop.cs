using Weir.World;

namespace Weir.Sim;

/// <summary>
/// The stop of a whole cluster, as by a loss of power (design R23): all servers die within a moment or a failure timeout, what they were writing is torn, and
/// they are started again in an order of their own. One of them may be away for longer, or for good, or have lost its disk, where the others have all
/// that was acknowledged. Not thread-safe.
/// </summary>
internal sealed class WholeStop(SimCluster cluster, SwarmOptions options, ClusterProbe probe, RunTally tally, FaultPlay faults, DiskFaults disks, Rng rng)
{
    private const int MostStops = 2;

    private int _stops;

    /// <summary>Whether a run has another to come.</summary>
    public bool IsDue => options.Has(FaultKind.WholeStop) && _stops < MostStops;

    /// <summary>Plays one, until all but one of the servers are started again.</summary>
    public async Task PlayAsync()
    {
        // Who leaves by plan is not started again, and has yet to hand over what it holds, even if it stands still just now (seed 14701).
        if (!IsDue || !probe.RegisterStandsWithout() || probe.Leaving.Any(server => !cluster.Servers[server].IsDead))
        {
            return;
        }

        _stops++;
        tally.Hit(FaultKind.WholeStop, probe.IsChanging);
        int away = rng.Chance(1, 3) ? rng.Below(cluster.Nodes.Count) : -1;
        bool mayBeLost = away >= 0 && cluster.Runs(away) && probe.MayLose(away) && (away >= options.Acceptors || (options.Acceptors > 1 && probe.RegisterStandsWithout(away)));
        faults.Trail("all servers stop");
        List<int> stopped = await KillAllAsync(away);
        bool isAtOnce = rng.Chance(1, 2);
        await cluster.Scheduler.Delay(isAtOnce ? 0 : rng.Below(2 * options.NodeTimeoutMs), CancellationToken.None);
        long gapMs = rng.Below(3) switch { 0 => 1, 1 => 50, _ => options.NodeTimeoutMs };
        foreach (int server in stopped.Where(s => s != away).OrderBy(_ => rng.Next()).ToArray())
        {
            faults.Restart(server, isAtOnce ? FaultKind.RestartAtOnce : FaultKind.RestartLater, disks.StartOf(server));
            await cluster.Scheduler.Delay(rng.Below(gapMs), CancellationToken.None);
        }

        if (stopped.Contains(away))
        {
            Return(away, mayBeLost);
        }
    }

    private async Task<List<int>> KillAllAsync(int first)
    {
        bool isAtOnce = rng.Chance(1, 2);
        long gapMs = isAtOnce ? 0 : Math.Max(1, rng.Below(options.NodeTimeoutMs) / cluster.Nodes.Count);
        List<int> stopped = [];

        // Who may not come back goes first: what others acknowledge without it they have, and it may not.
        foreach (int server in Enumerable.Range(0, cluster.Nodes.Count).OrderBy(s => s == first ? 0 : 1 + (rng.Next() >> 1)).ToArray())
        {
            Kill(server);
            if (!isAtOnce)
            {
                await cluster.Scheduler.Delay(rng.Below(gapMs), CancellationToken.None);
            }
        }

        // Some may have been started again meanwhile, or have joined.
        for (int server = 0; server < cluster.Nodes.Count; server++)
        {
            Kill(server);
        }

        return stopped;

        void Kill(int server)
        {
            if (!cluster.Servers[server].IsDead)
            {
                faults.Die(server);
                stopped.Add(server);
            }
        }
    }

    /// <summary>One comes back later than it is waited for, with its disk or another, or not before the faults are over.</summary>
    private void Return(int server, bool mayBeLost)
    {
        int how = mayBeLost ? rng.Below(3) : 0;
        if (how == 1)
        {
            faults.Trail($"server:{server} stays away");
            return;
        }

        if (how == 2)
        {
            tally.Hit(FaultKind.LostDisk, probe.IsChanging);
            disks.Lose(server);
        }

        faults.After(options.NodeTimeoutMs + rng.Below(3 * options.NodeTimeoutMs), () => faults.Restart(server, FaultKind.RestartLater, disks.StartOf(server)));
    }
}
