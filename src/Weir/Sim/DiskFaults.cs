using Weir.Register;
using Weir.World;

namespace Weir.Sim;

/// <summary>What a run's disks do to its servers: they are slow, fail, tear what is being written and are lost. Not thread-safe.</summary>
internal sealed class DiskFaults(SimCluster cluster, SwarmOptions options, ClusterProbe probe, RunTally tally, FaultPlay faults, Rng rng)
{
    /// <summary>A crash now cuts off what is being written.</summary>
    public bool IsWriting(int server) => server < cluster.Disks.Count && cluster.Disks[server].Pending > 0;

    /// <summary>Writes take long from now on.</summary>
    public void Slow()
    {
        faults.Trail("the disks are slow");
        foreach (SimDisk disk in cluster.Disks)
        {
            disk.MaxWriteUs = 5_000 + rng.Below(options.NodeTimeoutMs * 100);
        }
    }

    /// <summary>Where disks are slow, that somebody waits for one is counted.</summary>
    public void CountSlow()
    {
        if (options.Has(FaultKind.SlowDisk) && cluster.Disks.Any(d => d.Pending > 0))
        {
            tally.Hit(FaultKind.SlowDisk, probe.IsChanging);
        }
    }

    /// <summary>A server dies and loses its disk, if the cluster survives that; it is started again with an empty one.</summary>
    public void LoseWithServer(bool isChanging)
    {
        int server = rng.Below(options.Acceptors);
        if (options.Acceptors == 1 || !faults.Kill(server, mayComeBack: false))
        {
            return;
        }

        tally.Hit(FaultKind.LostDisk, isChanging);
        cluster.LoseDisk(server);
        faults.After(rng.Below(2 * options.NodeTimeoutMs), () => faults.Restart(server, FaultKind.RestartLater, AcceptorStart.Replacement));
    }

    /// <summary>The next write that ends on a disk fails, where one is under way.</summary>
    public void Fail(bool isChanging)
    {
        int server = rng.Below(options.Acceptors);
        if (options.Acceptors > 1 && cluster.Runs(server) && probe.MayLose(server) && probe.RegisterStandsWithout(server) && cluster.Disks[server].Pending > 0)
        {
            tally.Hit(FaultKind.FailingDisk, isChanging);
            faults.Trail($"a write of server:{server} fails");
            faults.HasLostServer = true;
            probe.Disturb(server);
            cluster.Disks[server].FailsNext = true;
        }
    }

    /// <summary>A server has stopped by itself: if it did for its disk, it gets another.</summary>
    /// <returns>How its acceptor is to start.</returns>
    public AcceptorStart ReplaceFailed(int server)
    {
        if (!cluster.Nodes[server].HasDiskFailed)
        {
            return AcceptorStart.Again;
        }

        faults.HasLostServer = true;
        cluster.LoseDisk(server);
        return AcceptorStart.Replacement;
    }

    /// <summary>The disks are as fast as they were.</summary>
    public void Heal()
    {
        foreach (SimDisk disk in cluster.Disks)
        {
            disk.MaxWriteUs = 2_000;
        }
    }
}
