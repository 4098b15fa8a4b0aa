using Weir.Client;
using Weir.Keys;
using Weir.Register;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// The faults of a run's safety phase, drawn from its seed: never more at a time than the cluster promises to survive (promise G2), and half of
/// them put off until a chain is being changed. Not thread-safe.
/// </summary>
internal sealed class FaultPlay(SimCluster cluster, SwarmOptions options, ClusterProbe probe, ScheduleWatch watch, RunTally tally, Rng rng)
{
    private readonly List<Task> _ends = [];
    private readonly HashSet<WeirClient> _cutOff = [];
    private readonly HashSet<int> _drained = [];
    private readonly List<(string What, Task Answer)> _asked = [];
    private int _joined;
    private int _hosts;

    private DiskFaults Disks => field ??= new DiskFaults(cluster, options, probe, tally, this, rng);

    private WholeStop Whole => field ??= new WholeStop(cluster, options, probe, tally, this, Disks, rng);

    /// <summary>Who may die or be cut off, by name.</summary>
    public Func<IReadOnlyList<WeirClient>> Mortal { get; set; } = () => [];

    /// <summary>Who asks for what is done by plan; null for nobody yet.</summary>
    public WeirClient? Operator { get; set; }

    /// <summary>The jobs whose workers may join and leave.</summary>
    public IReadOnlyList<TrainingWorkload> Jobs { get; set; } = [];

    /// <summary>Has one more process host workers of a job.</summary>
    public Func<TrainingWorkload, Task> HostComes { get; set; } = _ => Task.CompletedTask;

    /// <summary>Whether a server is leaving for good, and can: somebody else stays.</summary>
    public bool MustLeave(int server) => probe.Leaving.Contains(server) && cluster.Runs(server) && Enumerable.Range(0, cluster.Nodes.Count).Any(IsStaying);

    /// <summary>What was asked for by plan and has no answer yet.</summary>
    public IEnumerable<string> Unanswered => _asked.Where(a => !a.Answer.IsCompletedSuccessfully).Select(a => a.What);

    /// <summary>Throws what a request has failed with.</summary>
    public void ThrowIfFailed() => _asked.Find(a => a.Answer.IsFaulted).Answer?.GetAwaiter().GetResult();

    /// <summary>A process died: whoever waits for it need not.</summary>
    public Action<WeirClient> ProcessDied { get; set; } = _ => { };

    /// <summary>What took place, for people.</summary>
    public Action<string> Trail { get; set; } = _ => { };

    /// <summary>A head or a follower died or was counted gone, so that parts held there went with it.</summary>
    public bool HasLostServer { get; set; }

    /// <summary>Processes that may have been counted gone while they lived.</summary>
    public bool HasLostProcess { get; private set; }

    /// <summary>Workers may have been given to a process that came: for the iteration that they were in, as after a death (design R21).</summary>
    public bool HasMovedWorkers { get; private set; }

    /// <summary>Draws faults until the time is over, then waits until those that pass have passed.</summary>
    public async Task RunAsync(Instant until)
    {
        FaultKind[] kinds = [.. options.Kinds.Where(k => k is not (FaultKind.SlowDisk or FaultKind.RestartAtOnce or FaultKind.RestartLater or FaultKind.TornWrite or FaultKind.WholeStop))];
        if (options.Has(FaultKind.SlowDisk))
        {
            Disks.Slow();
        }

        while (kinds.Length > 0 && cluster.Scheduler.Now < until)
        {
            await cluster.Scheduler.Delay(20 + rng.Below(250L), CancellationToken.None);
            await ChangingAsync(until);
            if (Whole.IsDue && rng.Chance(1, 3))
            {
                await Whole.PlayAsync();
            }
            else
            {
                Play(kinds[rng.Below(kinds.Length)]);
            }

            RestartStopped();
            Disks.CountSlow();
        }

        while (cluster.Scheduler.Now < until)
        {
            await cluster.Scheduler.Delay(20, CancellationToken.None);
            RestartStopped();
            Disks.CountSlow();
        }

        await Task.WhenAll(_ends);
    }

    /// <summary>Counts what the network and the disks did.</summary>
    public void CountFrames(SimTally before, SimTally now, bool isChanging)
    {
        Count(FaultKind.Loss, before.Lost, now.Lost);
        Count(FaultKind.Duplicate, before.Duplicated, now.Duplicated);
        Count(FaultKind.Reorder, before.Reordered, now.Reordered);
        Count(FaultKind.NoRoom, before.Full, now.Full);
        Count(FaultKind.Delay, before.Slowed, now.Slowed);

        void Count(FaultKind kind, long old, long many)
        {
            if (many > old)
            {
                tally.Hit(kind, isChanging, many - old);
            }
        }
    }

    /// <summary>A server's memory goes, if the cluster survives that.</summary>
    /// <returns>Whether it died.</returns>
    public bool Kill(int server, bool mayComeBack = true)
    {
        bool isAcceptor = server < options.Acceptors;
        if (!cluster.Runs(server) || !probe.MayLose(server) || (isAcceptor && (options.Acceptors == 1 || !probe.RegisterStandsWithout(server))))
        {
            return false;
        }

        Die(server);
        if (mayComeBack)
        {
            ComeBack(server);
        }

        return true;
    }

    /// <summary>A server dies, whatever that does.</summary>
    public void Die(int server)
    {
        int manager = probe.Manager();
        watch.Dies(server, manager);
        bool isChanging = probe.IsChanging;
        tally.Hit(FaultKind.Crash, isChanging);
        if (server == manager)
        {
            tally.Hit(FaultKind.ManagerDeath, isChanging);
        }

        if (Disks.IsWriting(server))
        {
            tally.Hit(FaultKind.TornWrite, isChanging);
        }

        HasLostServer = true;
        probe.Disturb(server);
        Trail($"server:{server} dies{(server == manager ? ", the manager" : "")}");
        cluster.KillServer(server);
    }

    /// <summary>A process dies.</summary>
    public void Kill(WeirClient process, bool vanishes = false)
    {
        SimPort port = cluster.Clients[process];
        watch.Dies(port);
        tally.Hit(FaultKind.ProcessDeath, probe.IsChanging);
        HasLostProcess = true;
        Trail($"{port.Address} dies");
        port.IsVanished = vanishes;
        cluster.Kill(process);
        ProcessDied(process);
    }

    /// <summary>Cuts a server off from all others in the directions given, or heals it.</summary>
    public void CutOff(int server, bool from, bool to)
    {
        for (int other = 0; other < cluster.Nodes.Count; other++)
        {
            if (other != server)
            {
                cluster.CutServers(server, other, from);
                cluster.CutServers(other, server, to);
            }
        }

        probe.Disturb(server);
        HasLostServer |= from || to;
    }

    /// <summary>A server stands still for a while.</summary>
    public void Pause(int server, long ms)
    {
        Trail($"server:{server} stands still for {ms} ms");
        HasLostServer = true;
        probe.Disturb(server);
        cluster.StopServer(server);
        After(ms, () =>
        {
            probe.Disturb(server);
            cluster.ContinueServer(server);
        });
    }

    /// <summary>So many acceptors that the others are no majority stand still for a while.</summary>
    public void LoseRegister(long ms)
    {
        int[] running = [.. Enumerable.Range(0, options.Acceptors).Where(cluster.Runs)];
        int most = (options.Acceptors + 1) / 2;
        if (running.Length < most)
        {
            return;
        }

        watch.RegisterLost();
        tally.Hit(FaultKind.RegisterAway, probe.IsChanging);
        Trail("the register is lost");
        foreach (int acceptor in running.Take(most))
        {
            Pause(acceptor, ms);
        }
    }

    /// <summary>One more server joins.</summary>
    /// <param name="isFault">False where it only is to bring about a change of chains.</param>
    public void Join(bool isFault = true)
    {
        if (_joined >= 2 || cluster.Nodes.Count >= 9)
        {
            return;
        }

        _joined++;
        bool wasChanging = probe.IsChanging;
        Trail($"server:{cluster.Nodes.Count} joins");
        cluster.AddServer();
        if (isFault)
        {
            tally.Hit(FaultKind.Join, wasChanging);
        }
    }

    /// <summary>Does something later, and lets the safety phase wait for it.</summary>
    public void After(long ms, Action then)
    {
        async Task EndAsync()
        {
            await cluster.Scheduler.Delay(ms, CancellationToken.None);
            then();
        }

        _ends.Add(EndAsync());
    }

    /// <summary>At the end of the faults: who stopped by itself or died is started again, unless the dead stay dead.</summary>
    public void Heal()
    {
        RestartStopped();
        for (int server = 0; server < cluster.Nodes.Count; server++)
        {
            bool isDead = cluster.Servers[server].IsDead;
            if (isDead && !probe.Leaving.Contains(server) && !options.LeavesDead)
            {
                Restart(server, FaultKind.RestartLater);
            }

            cluster.Servers[server].IsSlow = false;
        }

        Disks.Heal();
    }

    /// <summary>A node that has stopped by itself is started again, as by whoever looks after it.</summary>
    public void RestartStopped()
    {
        for (int server = 0; server < cluster.Nodes.Count; server++)
        {
            if (cluster.Nodes[server].StopReason is { } reason && cluster.Servers[server].IsDead && !probe.Leaving.Contains(server))
            {
                Trail($"server:{server} stopped: {reason}");
                AcceptorStart start = Disks.ReplaceFailed(server);
                probe.Disturb(server);
                cluster.RestartServer(server, start);
            }
        }
    }

    /// <summary>Most faults wait for a chain to be changed, for a while; where nothing changes, a server may join for it.</summary>
    private async Task ChangingAsync(Instant until)
    {
        if (options.Replicas > 0 && rng.Chance(4, 5))
        {
            if (!probe.IsChanging && rng.Chance(1, 2))
            {
                Join(isFault: false);
            }

            for (int step = 0; step < 40 && !probe.IsChanging && cluster.Scheduler.Now < until; step++)
            {
                await cluster.Scheduler.Delay(10, CancellationToken.None);
            }
        }
    }

    private void Play(FaultKind kind)
    {
        if (probe.Failing >= 0 && kind is (FaultKind.Pause or FaultKind.Partition or FaultKind.OneWayPartition or FaultKind.PairPartition or FaultKind.RegisterAway))
        {
            // Its memory goes when the write ends that is to fail, which may be late: until then nobody is silenced who would have to have what it held.
            return;
        }

        int server = rng.Below(cluster.Nodes.Count);
        bool isChanging = probe.IsChanging;
        switch (kind)
        {
            case FaultKind.Crash:
                Kill(server);
                break;
            case FaultKind.ManagerDeath when probe.Manager() is >= 0 and int manager:
                Kill(manager);
                break;
            case FaultKind.LostDisk:
                Disks.LoseWithServer(isChanging);
                break;
            case FaultKind.FailingDisk:
                _ends.Add(Disks.FailAsync());
                break;
            case FaultKind.Pause when MayBeSilent(server):
                tally.Hit(FaultKind.Pause, isChanging);
                Pause(server, SilenceMs());
                break;
            case FaultKind.Partition or FaultKind.OneWayPartition when MayBeSilent(server):
                Partition(server, kind, isChanging);
                break;
            case FaultKind.PairPartition:
                CutPair(server, (server + 1 + rng.Below(cluster.Nodes.Count - 1)) % cluster.Nodes.Count, isChanging);
                break;
            case FaultKind.ClientPartition:
                CutClient(isChanging);
                break;
            case FaultKind.ProcessDeath when Mortal() is { Count: > 0 } mortal:
                Kill(mortal[rng.Below(mortal.Count)]);
                break;
            case FaultKind.Join:
                Join();
                break;
            case FaultKind.Leave:
                Leave(server, isChanging);
                break;
            case FaultKind.Drain:
                Drain(server, isChanging);
                break;
            case FaultKind.WorkerJoin or FaultKind.WorkerLeave or FaultKind.ProcessJoin:
                ChangeWorkers(kind, isChanging);
                break;
            case FaultKind.RegisterAway:
                LoseRegister(SilenceMs());
                break;
            default:
                break;
        }
    }

    private long SilenceMs() => rng.Chance(1, 3) ? rng.Below(options.NodeTimeoutMs) : options.NodeTimeoutMs + rng.Below(3 * options.NodeTimeoutMs);

    /// <summary>A server whose silence costs at most a failover: with a single copy it would cost rows.</summary>
    private bool MayBeSilent(int server) => options.Replicas > 0 && cluster.Runs(server);

    private void ComeBack(int server)
    {
        bool atOnce = options.Has(FaultKind.RestartAtOnce);
        if (atOnce && (!options.Has(FaultKind.RestartLater) || rng.Chance(1, 2)))
        {
            Restart(server, FaultKind.RestartAtOnce);
        }
        else if (options.Has(FaultKind.RestartLater) || (server < options.Acceptors && rng.Chance(1, 2)))
        {
            After(rng.Below(4 * options.NodeTimeoutMs), () => Restart(server, FaultKind.RestartLater));
        }
    }

    /// <summary>A server that is dead is started again, unless it was to go.</summary>
    public void Restart(int server, FaultKind kind, AcceptorStart start = AcceptorStart.Again)
    {
        if (!cluster.Servers[server].IsDead || probe.Leaving.Contains(server))
        {
            return;
        }

        tally.Hit(kind, probe.IsChanging);
        Trail($"server:{server} is started again");
        probe.Disturb(server);
        cluster.RestartServer(server, start);
    }

    private void Partition(int server, FaultKind kind, bool isChanging)
    {
        bool from = kind == FaultKind.Partition || rng.Chance(1, 2), to = kind == FaultKind.Partition || !from;
        long ms = SilenceMs();
        tally.Hit(kind, isChanging);
        Trail($"server:{server} is cut off ({(from ? "unheard" : "")}{(to ? " deaf" : "")}) for {ms} ms");
        CutOff(server, from, to);
        After(ms, () => CutOff(server, false, false));
    }

    private void CutPair(int one, int other, bool isChanging)
    {
        long ms = options.Replicas == 0 ? rng.Below(options.NodeTimeoutMs / 4) : SilenceMs();
        tally.Hit(FaultKind.PairPartition, isChanging);
        Trail($"server:{one} and server:{other} are cut off from one another for {ms} ms");
        Cut(true);
        After(ms, () => Cut(false));

        void Cut(bool isCut)
        {
            cluster.CutServers(one, other, isCut);
            cluster.CutServers(other, one, isCut);
            probe.Disturb(one);
            probe.Disturb(other);
            HasLostServer |= isCut;
        }
    }

    private void CutClient(bool isChanging)
    {
        WeirClient[] living = [.. cluster.Clients.Where(c => !c.Value.IsDead && !_cutOff.Contains(c.Key)).Select(c => c.Key)];
        if (living.Length == 0)
        {
            return;
        }

        WeirClient client = living[rng.Below(living.Length)];
        bool toServer = rng.Chance(2, 3), toProcess = !toServer || rng.Chance(1, 2);
        int[] servers = rng.Chance(1, 2) ? [rng.Below(cluster.Nodes.Count)] : [.. Enumerable.Range(0, cluster.Nodes.Count)];
        long ms = SilenceMs();
        tally.Hit(FaultKind.ClientPartition, isChanging);
        HasLostProcess = true;
        _cutOff.Add(client);
        Trail($"{cluster.Clients[client].Address} is cut off from {servers.Length} servers for {ms} ms");
        Array.ForEach(servers, s => cluster.Cut(client, s, toServer, toProcess));
        After(ms, () =>
        {
            Array.ForEach(servers, s => cluster.Cut(client, s, false, false));
            _cutOff.Remove(client);
        });
    }

    /// <summary>Whether a server may be taken away by plan: enough others stay for all copies, and for the register.</summary>
    private bool MayGo(int server)
    {
        int staying = Enumerable.Range(0, cluster.Nodes.Count).Count(other => other != server && IsStaying(other));
        return IsStaying(server) && staying > options.Replicas && (server >= options.Acceptors || (options.Acceptors > 1 && probe.RegisterStandsWithout(server)));
    }

    private bool IsStaying(int server) =>
        cluster.Runs(server) && !probe.Leaving.Contains(server) && !_drained.Contains(server) && probe.Newest?.Member((ulong)server + 1)?.Incarnation == cluster.Nodes[server].Incarnation;

    /// <summary>A server hands over what it holds, says goodbye and is gone, however long that takes.</summary>
    private void Leave(int server, bool isChanging)
    {
        if (!MayGo(server))
        {
            return;
        }

        tally.Hit(FaultKind.Leave, isChanging);
        HasLostServer = true;
        probe.Leaving.Add(server);
        Trail($"server:{server} leaves");
        cluster.LeaveServer(server);
    }

    /// <summary>An operator has a server drained, and decides later what becomes of it.</summary>
    private void Drain(int server, bool isChanging)
    {
        if (Operator is not { } client || !MayGo(server))
        {
            return;
        }

        tally.Hit(FaultKind.Drain, isChanging);
        HasLostServer = true;
        _drained.Add(server);
        ulong incarnation = cluster.Nodes[server].Incarnation;
        Trail($"server:{server} is drained");
        // One with an acceptor is not forgotten: that it goes for good is for a planned leave to try, of one at a time.
        int then = rng.Below(server < options.Acceptors ? 2 : 3);
        var drainingEnds = new CancellationTokenSource();
        Task<bool> draining = TryAsync(() => cluster.DrainServerAsync(client, server, drainingEnds.Token));
        After(rng.Below(1500L), () => _asked.Add(($"server:{server} to be drained", then switch
        {
            0 => UndrainAsync(),
            1 => draining,
            _ => ForgetAsync(),
        })));

        async Task UndrainAsync()
        {
            // The same operator ends the request to drain: one that waits on drains a server that is started again meanwhile, which it then may not (seed 380508).
            drainingEnds.Cancel();
            Trail($"server:{server} is to have segments again");
            if (await TryAsync(() => client.UndrainServerAsync(cluster.Servers[server].Address)))
            {
                _drained.Remove(server);
            }
        }

        async Task ForgetAsync()
        {
            if (await draining)
            {
                // One that was started again meanwhile is another server, and may come in (seed 702724). So may one that was cut off before it read that it is drained (seed 383686).
                if (cluster.Nodes[server] is var node && node.Incarnation == incarnation && node.Map?.Member(node.Id) is not { IsDraining: false })
                {
                    probe.Leaving.Add(server);
                }

                Trail($"server:{server} is forgotten");
                if (!await TryAsync(() => client.ForgetServerAsync(cluster.Servers[server].Address)))
                {
                    probe.Leaving.Remove(server);
                }
            }
        }
    }

    /// <summary>True where what was asked for was done; false where it was refused, as the server is gone or nobody else is left.</summary>
    private static async Task<bool> TryAsync(Func<Task> request)
    {
        try
        {
            await request();
            return true;
        }
        catch (WeirException refused) when (refused.Status is Status.Conflict)
        {
            return false;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>A job's workers are to be others.</summary>
    private void ChangeWorkers(FaultKind kind, bool isChanging)
    {
        TrainingWorkload[] going = [.. Jobs.Where(j => !j.HasEnded)];
        if (going.Length == 0 || Operator is not { } client)
        {
            return;
        }

        TrainingWorkload job = going[rng.Below(going.Length)];
        if (kind == FaultKind.ProcessJoin)
        {
            if (_hosts++ >= 2)
            {
                return;
            }

            Trail("a process comes to host workers");
            HasMovedWorkers = true;
            _asked.Add(("a process to host workers", HostComes(job)));
        }
        else if (kind == FaultKind.WorkerJoin)
        {
            Trail("workers are to join");
            if (!job.Join(client))
            {
                return;
            }
        }
        else
        {
            Trail("a worker is to leave");
            job.Leave(client);
        }

        tally.Hit(kind, isChanging);
    }
}
