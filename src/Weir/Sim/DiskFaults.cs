using Weir.Register;
using Weir.Server;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// What a run's disks do to its servers: they are slow, fail, tear what is being written and are lost. A server's acceptor and its journal may be on
/// one disk or on two. Not thread-safe.
/// </summary>
internal sealed class DiskFaults(SimCluster cluster, SwarmOptions options, ClusterProbe probe, RunTally tally, FaultPlay faults, Rng rng)
{
    /// <summary>How long a fault waits for a write that it can fail, in milliseconds: most of the time none is under way.</summary>
    private const int MostWaitMs = 400;

    private readonly HashSet<int> _forgot = [];

    /// <summary>A crash now cuts off what is being written.</summary>
    public bool IsWriting(int server) => IsWriting(server, isJournal: false) || IsWriting(server, isJournal: true);

    /// <summary>Writes take long from now on.</summary>
    public void Slow()
    {
        faults.Trail("the disks are slow");
        foreach (SimDisk disk in cluster.Disks)
        {
            disk.MaxWriteUs = SlowUs();
        }

        foreach (SimJournal journal in cluster.Journals)
        {
            journal.MaxFlushUs = SlowUs();
        }
    }

    /// <summary>Where disks are slow, that somebody waits for one is counted.</summary>
    public void CountSlow()
    {
        if (options.Has(FaultKind.SlowDisk) && Enumerable.Range(0, cluster.Nodes.Count).Any(IsWriting))
        {
            tally.Hit(FaultKind.SlowDisk, probe.IsChanging);
        }
    }

    /// <summary>A server dies and loses its disk, if the cluster survives that; it is started again with an empty one.</summary>
    public void LoseWithServer(bool isChanging)
    {
        bool haveJournals = cluster.Journals.Count > 0;
        int server = rng.Below(haveJournals ? cluster.Nodes.Count : options.Acceptors);
        if ((options.Acceptors == 1 && !haveJournals) || !faults.Kill(server, mayComeBack: false))
        {
            return;
        }

        tally.Hit(FaultKind.LostDisk, isChanging);
        Lose(server);
        faults.After(rng.Below(2 * options.NodeTimeoutMs), () => faults.Restart(server, FaultKind.RestartLater, StartOf(server)));
    }

    /// <summary>What a dead server had on its disk is lost, or on one of its two.</summary>
    public void Lose(int server)
    {
        bool hasAcceptor = server < options.Acceptors, hasJournal = server < cluster.Journals.Count;
        int which = hasAcceptor && hasJournal ? rng.Below(3) : 0;
        if (hasAcceptor && which != 1)
        {
            LoseRecords(server);
        }

        if (hasJournal && which != 2)
        {
            cluster.LoseJournal(server);
        }
    }

    /// <summary>How the acceptor of a dead server has to start: one that has lost its records, and has not yet got others, is replaced.</summary>
    public AcceptorStart StartOf(int server) =>
        _forgot.Contains(server) && !cluster.Nodes[server].HostsAcceptor ? AcceptorStart.Replacement : AcceptorStart.Again;

    /// <summary>A write of some server fails: the next that is under way when the cluster survives it. It stops for that.</summary>
    public async Task FailAsync()
    {
        bool haveJournals = cluster.Journals.Count > 0;
        int server = rng.Below(haveJournals ? cluster.Nodes.Count : options.Acceptors);
        bool isJournal = haveJournals && (server >= options.Acceptors || rng.Chance(1, 2));
        for (int waitedMs = 0; waitedMs < MostWaitMs; waitedMs++)
        {
            if (IsWriting(server, isJournal) && (probe.IsChanging || waitedMs > MostWaitMs / 2) && MayStop(server))
            {
                await FailAsync(server, isJournal);
                return;
            }

            await cluster.Scheduler.Delay(1, CancellationToken.None);
        }
    }

    /// <summary>A server has stopped by itself: if it did for its disk, it gets another.</summary>
    /// <returns>How its acceptor is to start.</returns>
    public AcceptorStart ReplaceFailed(int server)
    {
        if (cluster.Nodes[server].HasDiskFailed)
        {
            faults.HasLostServer = true;
            LoseRecords(server);
            if (server < cluster.Journals.Count && rng.Chance(1, 2))
            {
                cluster.LoseJournal(server);
            }

            return AcceptorStart.Replacement;
        }

        if (cluster.Nodes[server].State.Journal is { Fault: not null })
        {
            faults.HasLostServer = true;
            cluster.LoseJournal(server);
        }

        return StartOf(server);
    }

    /// <summary>The disks are as fast as they were.</summary>
    public void Heal()
    {
        foreach (SimDisk disk in cluster.Disks)
        {
            disk.MaxWriteUs = 2_000;
        }

        foreach (SimJournal journal in cluster.Journals)
        {
            journal.MaxFlushUs = 2_000;
        }
    }

    private long SlowUs() => 5_000 + rng.Below(options.NodeTimeoutMs * 100);

    private bool IsWriting(int server, bool isJournal) =>
        isJournal ? server < cluster.Journals.Count && cluster.Journals[server].Pending > 0 : server < cluster.Disks.Count && cluster.Disks[server].Pending > 0;

    // One that has just come back may be about to get segments by a map that nobody has read yet, and to be left alone with them (seed 19785).
    private bool MayStop(int server) =>
        probe.Failing < 0 && probe.IsWell(server) && probe.MayLose(server) && (server >= options.Acceptors || (options.Acceptors > 1 && probe.RegisterStandsWithout(server)));

    private async Task FailAsync(int server, bool isJournal)
    {
        tally.Hit(FaultKind.FailingDisk, probe.IsChanging);
        faults.Trail($"a write of server:{server} to its {(isJournal ? "journal" : "records")} fails");
        faults.HasLostServer = true;
        probe.Disturb(server);
        probe.Failing = server;
        if (isJournal)
        {
            cluster.Journals[server].Fails = true;
        }
        else
        {
            cluster.Disks[server].FailsNext = true;
        }

        // Not a moment later than the write may take: else it is another that fails, when the cluster may need this server.
        ServerNode node = cluster.Nodes[server];
        for (int waitedMs = 0; cluster.Runs(server) && ReferenceEquals(cluster.Nodes[server], node); waitedMs++)
        {
            Invariant.That(waitedMs < 1000, $"server:{server} stops when a write of its {(isJournal ? "journal" : "acceptor")} has failed (promise G13)");
            await cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        probe.Failing = -1;
    }

    private void LoseRecords(int server)
    {
        cluster.LoseDisk(server);
        _forgot.Add(server);
    }
}
