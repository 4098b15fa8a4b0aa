using System.Text;
using Weir.Functions;
using Weir.Placement;
using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>What one server node is told at its start. Immutable.</summary>
internal sealed record ServerOptions
{
    /// <summary>The node's id: random, not zero, kept for its life.</summary>
    public required ulong Node { get; init; }

    /// <summary>Random at each start: a node that came back without its memory is another (design R5). One that goes on after it was counted gone draws others itself.</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>Where others reach it.</summary>
    public required string Address { get; init; }

    /// <summary>Any member of the cluster to join; null for the first node, which creates the map.</summary>
    public string? Join { get; init; }

    /// <summary>The cluster's number, which the first node gives it; others learn it.</summary>
    public ulong Cluster { get; init; }

    /// <summary>2^this segments; the first node decides. Default 10, a thousand: enough for ten nodes by the rule of 100 a node.</summary>
    public int SegmentBits { get; init; } = 10;

    /// <summary>How many members a chain has beside its head; the first node decides. Default 0: a single copy.</summary>
    public int Replicas { get; init; }

    /// <summary>Its share of segments against others', in percent.</summary>
    public uint WeightPercent { get; init; } = 100;

    /// <summary>The failure domain; empty means that the node is its own.</summary>
    public string Zone { get; init; } = "";

    /// <summary>Bytes of native memory that rows, state and index may take. Default 1 TiB: the machine is the limit.</summary>
    public long MemoryLimitBytes { get; init; } = 1L << 40;

    /// <summary>Where rows and indexes live; null for the C library. A host gives what has huge pages.</summary>
    public IMemory? Memory { get; init; }

    /// <summary>Shown in status; 0 where there is no operating system process of its own.</summary>
    public uint ProcessId { get; init; }

    /// <summary>
    /// The addresses of the register's acceptors: 1, 3 or 5, the same in the same order at every node. Empty: a first node hosts the only one
    /// itself and remembers in memory only, another reads them in the map.
    /// </summary>
    public IReadOnlyList<string> Acceptors { get; init; } = [];

    /// <summary>The acceptor that this node hosts, under its own address; null for none.</summary>
    public AcceptorOptions? Acceptor { get; init; }

    /// <summary>The node's journal, for durable tables; null for none.</summary>
    public IJournal? Journal { get; init; }

    /// <summary>Sees each operation of the node on the register begin and end, in its place: a simulation checks the history. Default: nobody looks.</summary>
    public Func<IRegister, IRegister>? RegisterSeen { get; init; }

    /// <summary>Functions of users that clients may call, each under a name of its own. Default: none.</summary>
    public IReadOnlyList<IServerFunction> Functions { get; init; } = [];

    /// <summary>Measures them. Default: no time passes, as in a simulation.</summary>
    public IFunctionTimer FunctionTimer { get; init; } = UntimedFunctions.Instance;

    public ServerLimits Limits { get; init; } = new();

    /// <summary>All faults at once; empty where there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        List<string> faults = [];
        if (SegmentBits is < ClusterMap.MinSegmentBits or > ClusterMap.MaxSegmentBits)
        {
            faults.Add($"SegmentBits is {SegmentBits}; it must be {ClusterMap.MinSegmentBits} to {ClusterMap.MaxSegmentBits} (64 to 131,072 segments)");
        }

        if (Replicas is < 0 or > MapSoundness.MaxReplicas)
        {
            faults.Add($"Replicas is {Replicas}; it must be 0 to {MapSoundness.MaxReplicas}");
        }

        if (Node == 0)
        {
            faults.Add("Node is 0; it must be a random number");
        }

        if (MemoryLimitBytes < 1 << 20)
        {
            faults.Add($"MemoryLimitBytes is {MemoryLimitBytes}; it must be at least 1 MiB");
        }

        if (WeightPercent is 0 or > Ring.MaxWeightPercent)
        {
            faults.Add($"WeightPercent is {WeightPercent}; it must be 1 to {Ring.MaxWeightPercent}");
        }

        if (Acceptors.Count is not (0 or 1 or 3 or 5) || Acceptors.Distinct().Count() != Acceptors.Count)
        {
            faults.Add($"Acceptors are {string.Join(", ", Acceptors)}; they must be 1, 3 or 5 different addresses, so that a majority of them is known");
        }

        if (Acceptor is not null && !Acceptors.Contains(Address))
        {
            faults.Add($"Acceptor is given, and Acceptors do not name this node's address {Address}");
        }

        if (Acceptor is { Start: AcceptorStart.Replacement } && Acceptors.Count == 1)
        {
            faults.Add("Acceptor is to replace the only one: nobody knows what that had accepted. The cluster's map is lost with it; begin a new cluster");
        }

        foreach (IServerFunction function in Functions.Where(f => string.IsNullOrEmpty(f.Name) || Encoding.UTF8.GetByteCount(f.Name) > FunctionRequest.MaxNameBytes))
        {
            faults.Add($"the function {function.GetType().FullName} is called '{function.Name}'; a name has 1 to {FunctionRequest.MaxNameBytes} bytes of UTF-8");
        }

        foreach (IGrouping<string, IServerFunction> same in Functions.GroupBy(f => f.Name, StringComparer.Ordinal).Where(g => g.Count() > 1))
        {
            faults.Add($"{string.Join(" and ", same.Select(f => $"{f.GetType().FullName} of {f.GetType().Assembly.GetName().Name}"))} are both called {same.Key}: a client could not say which it means");
        }

        if (Acceptor is not null && Cluster == 0)
        {
            faults.Add("Cluster is 0; an acceptor must be told whose it is, so that it answers no other cluster");
        }

        return faults;
    }
}

/// <summary>An acceptor of the register as its node hosts it. Immutable.</summary>
/// <param name="Disk">Where it keeps what it promised and accepted.</param>
/// <param name="Identity">Its own number among the cluster's acceptors, not zero; it stands in its records.</param>
/// <param name="Start">What is known of its past.</param>
internal sealed record AcceptorOptions(IDisk Disk, ulong Identity, AcceptorStart Start);

/// <summary>The bounds of a node's queues and waits. Each queue has one, so that no peer can grow its memory.</summary>
internal sealed record ServerLimits
{
    /// <summary>Pulls that wait for clocks, and as many whose answers wait for room on their links; beyond, Busy. Ten windows of a hundred workers.</summary>
    public int WaitingPulls { get; init; } = 4096;

    /// <summary>Bytes of frames that wait for clocks, for room on their links, or for a newer map; each of the three has so many.</summary>
    public long WaitingBytes { get; init; } = 256L << 20;

    /// <summary>How long a frame waits for the map version it names before it is answered Behind, in milliseconds.</summary>
    public long BehindWaitMs { get; init; } = 1000;

    /// <summary>How long a pull without a deadline of its own may wait, in milliseconds: ten minutes, far beyond any takeover.</summary>
    public long PullWaitMs { get; init; } = 600_000;

    /// <summary>Between heartbeats, in milliseconds: five fit into the shortest failure timeout of the design.</summary>
    public long HeartbeatMs { get; init; } = 100;

    /// <summary>The design's failure timeout on a LAN: 500 ms, with a lease of 300 ms that is renewed every 60.</summary>
    public static ServerLimits FastFailover { get; } = new() { NodeTimeoutMs = 500, HeartbeatMs = 50 };

    /// <summary>Silence after which a node is gone, in milliseconds. Longer than the design's 500 ms while a node holds the only copy: here a
    /// false alarm costs the run, not a failover.</summary>
    public long NodeTimeoutMs { get; init; } = 5000;

    /// <summary>How long the manager's lease lasts without a renewal, in milliseconds by a standby's own clock: three fifths of
    /// <see cref="NodeTimeoutMs"/>, so that a manager's successor is there before the manager itself counts as gone.</summary>
    public long LeaseTimeoutMs => NodeTimeoutMs * 3 / 5;

    /// <summary>Between renewals of the manager's lease, in milliseconds: five fit into the lease, and none is needed sooner than a heartbeat.</summary>
    public long LeaseRenewMs => Math.Clamp(LeaseTimeoutMs / 5, 1, 100);

    /// <summary>Ticks come every 10 ms: after a longer gap than this, in milliseconds, the node itself was stopped, and what others sent meanwhile
    /// is still unread.</summary>
    public long AsleepMs => Math.Clamp(NodeTimeoutMs / 10, 1, 500);

    /// <summary>Silence after which a process that hosts workers is gone, in milliseconds (design R6).</summary>
    public long ProcessTimeoutMs { get; init; } = 5000;

    /// <summary>Bytes of held contributions a node keeps for aggregating tables; beyond, early ones are refused with Busy.</summary>
    public long HeldBytes { get; init; } = 1L << 30;

    /// <summary>How long a neighbour in a chain may leave something unanswered before it is sent again, in milliseconds.</summary>
    public long ResendMs { get; init; } = 100;

    /// <summary>Answers of one segment that wait for its tail; beyond, Busy. Each keeps a part's outcome, some hundred bytes.</summary>
    public int WaitingReplies { get; init; } = 65_536;

    /// <summary>Bytes of log entries that those below may still need; beyond, Busy. Default 256 MiB: far more than is on its way while a chain
    /// is well, a second's worth of pushes while it is mended.</summary>
    public long LogBytes { get; init; } = 256L << 20;

    /// <summary>How long a group of journal entries waits for more before it is flushed where the disk is idle, in milliseconds. Default 0: what comes
    /// during one flush is the next group anyway, and waiting for company only pays where a flush costs more than it.</summary>
    public long JournalGroupMs { get; init; }

    /// <summary>Bytes at which a group is flushed without waiting for more. Default 1 MiB: there a flush costs little beside the writing.</summary>
    public int JournalGroupBytes { get; init; } = 1 << 20;

    /// <summary>Bytes that may wait for the journal's disk; beyond, Busy. Default 64 MiB: what a slow disk writes in a second.</summary>
    public long JournalUnflushedBytes { get; init; } = 64L << 20;

    /// <summary>The journal's length, in bytes, below which no segment is written anew to shorten it; above, it may have twice what its segments
    /// take. Default 256 MiB: read in a second or two at a start.</summary>
    public long JournalBytes { get; init; } = 256L << 20;

    /// <summary>How long a flush of the journal may take before the node counts its disk as gone and stops, in milliseconds. Default 30 s: no disk
    /// that works takes as long.</summary>
    public long JournalTimeoutMs { get; init; } = 30_000;

    /// <summary>How long the complete members of a segment that stopped all at once are waited for, in milliseconds, when one of them is back with its
    /// journal; each has all that was acknowledged. Default 10 s: servers that are started together come within it, and one whose
    /// disk is lost holds nobody up for longer.</summary>
    public long RecoveryWaitMs { get; init; } = 10_000;

    /// <summary>Bytes of key lists that a node keeps for clients that refer to them; the least recently used go first. Default 256 MiB: 32 million
    /// keys, several batches of every worker; only clients that ask for it take any.</summary>
    public long KeyListBytes { get; init; } = 256L << 20;

    /// <summary>How long a function of a user may take for the rows of one part, in milliseconds; looked at between runs of rows, and then the part fails. All functions between two ticks have as much, so that two such
    /// times are the longest that a node is deaf. Default 100 ms: a fifth of the shortest failure timeout, and time for millions of floats.</summary>
    public long FunctionBudgetMs { get; init; } = 100;

    /// <summary>The widest row: with its key it must fit a frame.</summary>
    public int MaxWidth { get; init; } = 65_536;

    public int MaxTables { get; init; } = 10_000;

    /// <summary>Namespaces with a quota: their names stand in the map.</summary>
    public int MaxNamespaces { get; init; } = 1_000;

    public int MaxWorkers { get; init; } = 100_000;

    public int MaxNameBytes { get; init; } = 256;
}
