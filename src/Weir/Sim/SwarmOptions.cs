using System.Globalization;
using Weir.Placement;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// What one run of a cluster is: everything is drawn from its seed, so that a batch tries many kinds of clusters and faults together and apart
/// (swarm testing, after Groce et al. 2012, as TigerBeetle's simulator does it). Immutable; <see cref="ToString"/> prints it for people.
/// </summary>
internal sealed record SwarmOptions
{
    /// <summary>One seed in so many plays a named schedule on purpose.</summary>
    private const int DirectedOneIn = 8;

    /// <summary>One of the others in so many has checkpoints.</summary>
    private const int CheckpointsOneIn = 6;

    /// <summary>One of them in so many has its tokens in a committed table; half of those in which all servers stop.</summary>
    private const int CommittedOneIn = 4;

    /// <summary>One seed in so many has durable tables.</summary>
    private const int DurableOneIn = 6;

    /// <summary>Those that do not come by themselves often enough.</summary>
    public static readonly NamedSchedule[] Directed =
    [
        NamedSchedule.AppendUnreadByCutOffTail, NamedSchedule.TwoMembersKilled, NamedSchedule.SwapAfterResume, NamedSchedule.LateSlice,
        NamedSchedule.DeathAmidSent, NamedSchedule.HeadDeathAfterClock, NamedSchedule.RegisterLostAfterSwap, NamedSchedule.KillBeforeAcknowledge,
        NamedSchedule.SealWithoutManager,
    ];

    public required ulong Seed { get; init; }

    public required int Servers { get; init; }

    public required int Replicas { get; init; }

    /// <summary>1, 3 or 5, on the disks of the first servers.</summary>
    public required int Acceptors { get; init; }

    public required int SegmentBits { get; init; }

    /// <summary>Silence after which a server is gone, in milliseconds.</summary>
    public required long NodeTimeoutMs { get; init; }

    /// <summary>What the network does to frames during the safety phase.</summary>
    public required SimFaults Network { get; init; }

    /// <summary>The other kinds of faults that the run may have.</summary>
    public required FaultKind[] Kinds { get; init; }

    /// <summary>Clients that push tokens in no order, set and delete.</summary>
    public required int Pushers { get; init; }

    /// <summary>Workers of a job with delay 0 on an aggregating table; 0 for no such job.</summary>
    public required int AggregatingWorkers { get; init; }

    /// <summary>Workers of a job under <see cref="Bound"/>; 0 for no such job.</summary>
    public required int BoundedWorkers { get; init; }

    /// <summary>The delay bound of that job; null for none.</summary>
    public required int? Bound { get; init; }

    /// <summary>Processes that host each job's workers.</summary>
    public required int Hosts { get; init; }

    public required int Iterations { get; init; }

    /// <summary>How long the faults last, in simulated milliseconds.</summary>
    public required long SafetyMs { get; init; }

    /// <summary>Whether servers that are dead at the end of the faults stay so.</summary>
    public required bool LeavesDead { get; init; }

    /// <summary>A named schedule that the run plays on purpose; null for chance alone.</summary>
    public required NamedSchedule? Plays { get; init; }

    /// <summary>Whether checkpoints are saved, and what becomes of the last.</summary>
    public CheckpointUse Checkpoints { get; init; }

    /// <summary>What its durable tables are; null where it has none, and no server a journal.</summary>
    public JournalDraw? Journal { get; init; }

    /// <summary>Whether the table of tokens is committed, and who pushes them reads them back all the while.</summary>
    public bool ReadsCommitted { get; init; }

    public bool Has(FaultKind kind) => Array.IndexOf(Kinds, kind) >= 0;

    /// <summary>
    /// A process may be silent for so long, or seem so to all that decide, that its sessions end. Where servers are waited for longer than processes, those
    /// that come back find the manager later than that.
    /// </summary>
    public bool MayEndSessions => Replicas == 0 || Checkpoints != CheckpointUse.None || Array.Exists(Kinds, k => k is FaultKind.ProcessDeath or FaultKind.ClientPartition or FaultKind.Partition or FaultKind.OneWayPartition or FaultKind.PairPartition or FaultKind.Pause or FaultKind.RegisterAway);

    /// <summary>Draws a run.</summary>
    public static SwarmOptions Draw(ulong seed) => DrawCheckpoints(seed).WithCommittedReads(new Rng(seed ^ 0xC0337));

    /// <summary>Draws a run without committed tables: what found-by-seed tests were drawn by before there were any.</summary>
    public static SwarmOptions DrawCheckpoints(ulong seed) => DrawDurableTables(seed).WithCheckpoints(new Rng(seed ^ 0xC4EC));

    /// <summary>Draws a run without checkpoints: what found-by-seed tests were drawn by before there were any.</summary>
    public static SwarmOptions DrawDurableTables(ulong seed) => DrawPlannedChanges(seed).WithDurableTables(new Rng(seed ^ 0xD15C));

    /// <summary>Draws a run without durable tables either.</summary>
    public static SwarmOptions DrawPlannedChanges(ulong seed) => DrawFaults(seed).WithPlannedChanges(new Rng(seed ^ 0x91A2));

    /// <summary>Draws a run in which nothing is changed by plan but that servers join and leave: what found-by-seed tests were drawn by.</summary>
    public static SwarmOptions DrawFaults(ulong seed)
    {
        var rng = new Rng(seed ^ 0x57A12);
        NamedSchedule? plays = rng.Chance(1, DirectedOneIn) ? Directed[rng.Below(Directed.Length)] : null;
        int replicas = rng.Chance(1, 8) ? 0 : 1 + rng.Below(2);
        int acceptors = rng.Below(6) switch { 0 => 1, 5 => 5, _ => 3 };
        int servers = Math.Min(8, Math.Max(Math.Max(3, acceptors), replicas + 2) + (rng.Chance(1, 3) ? rng.Below(3) : 0));
        bool aggregates = rng.Chance(1, 2), bounds = rng.Chance(1, 3);
        FaultKind[] candidates = [.. Enum.GetValues<FaultKind>().Where(k => k is > FaultKind.NoRoom and < FaultKind.Drain && (replicas > 0 || NeedsNoReplica(k)) && (acceptors > 1 || k is not (FaultKind.LostDisk or FaultKind.FailingDisk)))];
        int most = 1 + rng.Below(8);
        var drawn = new SwarmOptions
        {
            Seed = seed,
            Servers = servers,
            Replicas = replicas,
            Acceptors = acceptors,
            SegmentBits = ClusterMap.MinSegmentBits,
            NodeTimeoutMs = replicas == 0 ? 5000 : 250 + rng.Below(250L),
            Network = DrawNetwork(rng),
            Kinds = WithCrashes([.. candidates.OrderBy(_ => rng.Next()).Take(most)]),
            Pushers = aggregates || bounds ? rng.Below(3) : 1 + rng.Below(2),
            AggregatingWorkers = aggregates ? 2 + rng.Below(2) : 0,
            BoundedWorkers = bounds ? 2 + rng.Below(2) : 0,
            Bound = rng.Chance(1, 6) ? null : rng.Below(4),
            Hosts = 2,
            Iterations = 10 + rng.Below(18),
            SafetyMs = 1100 + rng.Below(1200L),
            LeavesDead = rng.Chance(1, 3),
            Plays = plays,
        };
        return plays is { } schedule ? drawn.For(schedule) : drawn;
    }

    public override string ToString()
    {
        static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
        return $"seed {Number((long)Seed)}: servers {Servers}, replicas {Replicas}, acceptors {Acceptors}, segments {1 << SegmentBits}, node timeout {NodeTimeoutMs} ms, "
            + $"loss {Network.LossPerMille} duplicate {Network.DuplicatePerMille} reorder {Network.ReorderPerMille} no room {Network.FullPerMille} per mille, "
            + $"delay to {Network.MaxDelayUs} us, slow {Network.SlowDelayUs} us, pushers {Pushers}, aggregating workers {AggregatingWorkers}, "
            + $"bounded workers {BoundedWorkers} (bound {(Bound is { } bound ? Number(bound) : "none")}), hosts {Hosts}, iterations {Iterations}, safety {SafetyMs} ms, "
            + $"{(LeavesDead ? "dead stay dead" : "dead come back")}, faults {(Kinds.Length == 0 ? "none" : string.Join(" ", Kinds))}{(Plays is { } plays ? $", plays {plays}" : "")}"
            + (Checkpoints == CheckpointUse.None ? "" : $", checkpoints {Checkpoints}")
            + (Journal is { } journal ? $", {journal}" : "")
            + (ReadsCommitted ? ", committed tokens" : "");
    }

    /// <summary>
    /// Adds what operators do, each in a part of the seeds. It is drawn apart, so that whatever comes to be drawn here leaves the rest of a seed as it is.
    /// </summary>
    private SwarmOptions WithPlannedChanges(Rng rng)
    {
        if (Plays is not null)
        {
            return this;
        }

        bool hasJob = AggregatingWorkers + BoundedWorkers > 0;
        List<FaultKind> kinds = [.. Kinds];
        foreach (FaultKind kind in (ReadOnlySpan<FaultKind>)[FaultKind.Leave, FaultKind.Drain, FaultKind.WorkerJoin, FaultKind.WorkerLeave, FaultKind.ProcessJoin])
        {
            if (rng.Chance(1, kind is FaultKind.Leave or FaultKind.Drain ? 6 : 4) && !kinds.Contains(kind) && (kind is FaultKind.Leave or FaultKind.Drain || hasJob))
            {
                kinds.Add(kind);
            }
        }

        return this with { Kinds = [.. kinds.Order()] };
    }

    /// <summary>Adds an operator who saves checkpoints, drawn apart like the others. A stop of all servers is enough for one run.</summary>
    private SwarmOptions WithCheckpoints(Rng rng) =>
        Plays is null && !Has(FaultKind.WholeStop) && rng.Chance(1, CheckpointsOneIn) ? this with { Checkpoints = CheckpointUse.RestoredAtEnd + rng.Below(3) } : this;

    /// <summary>Has tokens in a committed table, in a part of the seeds, drawn apart like the others.</summary>
    private SwarmOptions WithCommittedReads(Rng rng) => this with { ReadsCommitted = Plays is null && Pushers > 0 && rng.Chance(1, Has(FaultKind.WholeStop) ? 2 : CommittedOneIn) };

    /// <summary>
    /// Adds journals and durable tables, in a part of the seeds, with what disks do; drawn apart as well. Where all servers may stop at once there are
    /// pushers only: clocks and the parts that a head holds are in no journal, so nobody promises that a job goes on (docs/decisions/0091).
    /// </summary>
    private SwarmOptions WithDurableTables(Rng rng)
    {
        if (Plays is not null || !rng.Chance(1, DurableOneIn))
        {
            return this;
        }

        bool stopsWhole = rng.Chance(1, 2);
        List<FaultKind> kinds = [.. Kinds];
        foreach (FaultKind kind in (ReadOnlySpan<FaultKind>)[FaultKind.Crash, FaultKind.RestartAtOnce, FaultKind.TornWrite, FaultKind.LostDisk, FaultKind.SlowDisk, FaultKind.FailingDisk])
        {
            if (rng.Chance(1, 2) && (Replicas > 0 || kind == FaultKind.SlowDisk))
            {
                kinds.Add(kind);
            }
        }

        if (stopsWhole)
        {
            kinds.RemoveAll(k => k is FaultKind.WorkerJoin or FaultKind.WorkerLeave or FaultKind.ProcessJoin);
            kinds.Add(FaultKind.WholeStop);
        }

        return this with
        {
            Kinds = WithCrashes([.. kinds]),
            Journal = new JournalDraw(HasJobs: rng.Chance(2, 3), FlushUs: rng.Chance(1, 3) ? 20_000 : 2_000, GroupMs: rng.Chance(1, 3) ? 5 : 0, Bytes: rng.Chance(1, 2) ? 4 << 10 : 256 << 20),
            Pushers = stopsWhole ? 2 : Pushers,
            AggregatingWorkers = stopsWhole ? 0 : AggregatingWorkers,
            BoundedWorkers = stopsWhole ? 0 : BoundedWorkers,
            SafetyMs = stopsWhole ? SafetyMs + 1000 : SafetyMs,
        };
    }

    /// <summary>Restarts and torn writes come with crashes.</summary>
    private static FaultKind[] WithCrashes(FaultKind[] kinds) =>
        [.. (kinds.Any(k => k is FaultKind.RestartAtOnce or FaultKind.RestartLater or FaultKind.TornWrite) ? kinds.Append(FaultKind.Crash) : kinds).Distinct().Order()];

    private static bool NeedsNoReplica(FaultKind kind) => kind is FaultKind.ClientPartition or FaultKind.SlowDisk or FaultKind.ProcessDeath or FaultKind.Join
        or FaultKind.PairPartition;

    private static SimFaults DrawNetwork(Rng rng) => new()
    {
        LossPerMille = rng.Chance(1, 2) ? rng.Below(60) : 0,
        DuplicatePerMille = rng.Chance(1, 2) ? rng.Below(60) : 0,
        ReorderPerMille = rng.Chance(1, 2) ? rng.Below(100) : 0,
        FullPerMille = rng.Chance(1, 4) ? 100 : 0,
        MaxDelayUs = 300 + (rng.Chance(1, 3) ? rng.Below(5_000L) : 0),
        SlowDelayUs = rng.Chance(1, 2) ? 1000 + rng.Below(20_000L) : 0,
    };

    /// <summary>What a schedule needs to be possible.</summary>
    private SwarmOptions For(NamedSchedule schedule) => schedule switch
    {
        NamedSchedule.AppendUnreadByCutOffTail => this with { Replicas = 1, Acceptors = 3, Servers = 4, NodeTimeoutMs = 400, Pushers = 2, Kinds = [] },
        NamedSchedule.TwoMembersKilled => this with { Replicas = 2, Acceptors = 1, Servers = Math.Max(5, Servers), NodeTimeoutMs = 400, Kinds = [] },
        NamedSchedule.SwapAfterResume => this with { Replicas = 1, Acceptors = 3, Servers = 4, NodeTimeoutMs = 300, Kinds = [], Pushers = 2, SafetyMs = 3500 },
        NamedSchedule.LateSlice => this with { Replicas = 1, SafetyMs = 3000, Servers = Math.Max(3, Servers), Kinds = [FaultKind.Join], Pushers = Math.Max(1, Pushers) },
        NamedSchedule.DeathAmidSent => this with { AggregatingWorkers = 3 },
        NamedSchedule.HeadDeathAfterClock => this with { Replicas = 1, Acceptors = 1, Servers = Math.Max(4, Servers), NodeTimeoutMs = 400, AggregatingWorkers = 3, Kinds = [] },
        NamedSchedule.RegisterLostAfterSwap => this with { Acceptors = 3 },
        NamedSchedule.KillBeforeAcknowledge => this with { Replicas = 1, Acceptors = 1, Servers = Math.Max(4, Servers), NodeTimeoutMs = 400, Pushers = Math.Max(1, Pushers), Kinds = [] },
        NamedSchedule.SealWithoutManager => this with { Replicas = 1, Acceptors = 3, Servers = 4, NodeTimeoutMs = 400, Kinds = [FaultKind.Join], Pushers = Math.Max(1, Pushers) },
        _ => this,
    };
}
