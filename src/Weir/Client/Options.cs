using Weir.Keys;

namespace Weir.Client;

/// <summary>How a client behaves. Immutable; every time is in milliseconds.</summary>
public sealed record ClientOptions
{
    /// <summary>A name for people: status shows it beside the workers that the process hosts.</summary>
    public string Name { get; init; } = "client";

    /// <summary>
    /// The namespace that the client works in (papers PS-6): names of tables, jobs, vectors, matrices and tasks' nodes are names there, and nothing else is seen by name. Clients of one namespace
    /// share what is in it, as trainers and readers do. 1 to 64 letters, digits, '.', '-' or '_', beginning with a letter or digit; empty, the default, for the default namespace. It is there once
    /// something in it is opened. It keeps apart who gets along, and is no protection against somebody who makes up numbers of tables.
    /// </summary>
    public string Namespace { get; init; } = "";

    /// <summary>After how long a call fails with <see cref="Status.DeadlineExceeded"/> unless it names its own deadline. Default 5 minutes: far
    /// beyond any takeover, short enough that nothing hangs for ever.</summary>
    public long DeadlineMs { get; init; } = 300_000;

    /// <summary>How long to look for the cluster when connecting. Default 10 s.</summary>
    public long ConnectMs { get; init; } = 10_000;

    /// <summary>How long a host of workers waits for the other processes that the job needs to begin. Default 60 s: a process starts in a few.</summary>
    public long StartMs { get; init; } = 60_000;

    /// <summary>How long a node may be out of reach before calls that need it fail. Default 8 s: longer than the cluster takes to notice itself.</summary>
    public long UnreachableMs { get; init; } = 8_000;

    /// <summary>After how long an unanswered request is sent again. Default 1 s: TCP loses nothing while it stands, so this is for links that broke.</summary>
    public long RetryMs { get; init; } = 1_000;

    /// <summary>The pause before a request is sent again that was answered Busy, Full, Moving or Behind. Default 20 ms.</summary>
    public long BackoffMs { get; init; } = 20;

    /// <summary>Between heartbeats of a process that holds sessions. Default 500 ms: ten fit into the failure timeout.</summary>
    public long HeartbeatMs { get; init; } = 500;

    /// <summary>Push frames in flight to one node; more wait. Default 16, each at most 1 MiB: a window of 16 MiB covers 10 Gbit/s at 10 ms.</summary>
    public int WindowFrames { get; init; } = 16;

    /// <summary>Bytes of pushes not yet acknowledged that a client keeps; beyond, calls wait for room. Default 256 MiB.</summary>
    public long PendingBytes { get; init; } = 256L << 20;

    /// <summary>What makes requests and answers shorter; a table may be opened with others (<see cref="TableOptions.Filters"/>). Default none.</summary>
    public Filters Filters { get; init; } = Filters.None;

    /// <summary>All faults at once; empty where there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        List<string> faults = [.. FilterForms.Faults(Filters, nameof(Filters))];
        if (QualifiedName.NamespaceFault(Namespace) is { } fault)
        {
            faults.Add($"{nameof(Namespace)}: {fault}");
        }

        foreach ((string name, long value) in (ReadOnlySpan<(string, long)>)[
            (nameof(DeadlineMs), DeadlineMs), (nameof(ConnectMs), ConnectMs), (nameof(StartMs), StartMs), (nameof(UnreachableMs), UnreachableMs), (nameof(RetryMs), RetryMs),
            (nameof(BackoffMs), BackoffMs), (nameof(HeartbeatMs), HeartbeatMs), (nameof(WindowFrames), WindowFrames)])
        {
            if (value <= 0)
            {
                faults.Add($"{name} is {value}; it must be above 0");
            }
        }

        if (PendingBytes < 1 << 20)
        {
            faults.Add($"{nameof(PendingBytes)} is {PendingBytes}; it must be at least 1 MiB, the size of a frame");
        }

        return faults;
    }
}

/// <summary>Declares a table. The same declaration again gives the same table; another under the same name is refused.</summary>
public sealed record TableOptions
{
    /// <summary>The table's name in the client's namespace, at most 256 bytes without a '/'.</summary>
    public required string Name { get; init; }

    /// <summary>Floats a row, 1 to 65,536.</summary>
    public int Width { get; init; } = 1;

    /// <summary>What a push does to a row. Default: it is added.</summary>
    public UpdateRule Rule { get; init; } = UpdateRule.Add;

    /// <summary>What an absent row reads as, in each of its floats; also what a new row begins with. 0 for the rules Count, Union and Score, whose rows hold bits.</summary>
    public float InitialValue { get; init; }

    /// <summary>Sum the workers' pushes of an iteration and run the rule once on the sum (design R19). Needs <see cref="Job"/>, and a rule of floats: not Count, Union or Score.</summary>
    public bool Aggregate { get; init; }

    /// <summary>
    /// Pulls see acknowledged pushes alone (design R22): what was seen once is never gone again, as long as no more servers die than there are replicas.
    /// They are answered by the last server of a segment's chain, and wait a moment where that has just changed, and for its journal where the table is
    /// <see cref="Durable"/>, so that nothing that was seen is gone after a stop of all servers. Without it, the default, a pull
    /// may see a push that is not yet acknowledged, and that vanishes if the first server of the chain dies at once.
    /// <see cref="WeirClient.ScanAsync(WeirTable, CancellationToken)"/> reads the first server in either case.
    /// </summary>
    public bool Committed { get; init; }

    /// <summary>The job whose workers' clocks govern pulls of the table; null for none.</summary>
    public Job? Job { get; init; }

    /// <summary>The vector or matrix that the rows are blocks of.</summary>
    internal TableDimensions Dimensions { get; init; }

    /// <summary>
    /// The consistency of pulls that name no delay bound of their own (OSDI'14 section 3.5, PS-14): 0 is sequential, above it every iteration before
    /// t - bound of every worker is contained, null, the default, is eventual: pulls wait for nobody. Needs <see cref="Job"/>. The table's first declaration
    /// counts; <see cref="WeirClient.SetDelayBoundAsync"/> changes it while workers run.
    /// </summary>
    public int? DelayBound { get; init; }

    /// <summary>
    /// After how many clocks without a push a row goes, at least 1; null, the default, for rows that stay. A row expires once every worker
    /// at work is more than so many iterations past the row's last push; its key then reads as absent, and its next push begins anew. When
    /// exactly, within seconds, is the servers' choice, so an aggregating table cannot have it. Needs <see cref="Job"/>. 4 bytes a row.
    /// </summary>
    public int? ExpireAfterClocks { get; init; }

    /// <summary>
    /// With which push an absent key gets its row, 1 to 100; those before have no effect. Default 1: at once. Keys seen a few times make
    /// up most of a click log and teach nothing. A push, or the sum of an iteration where the table aggregates, counts once however many
    /// workers are behind it; what was set has its row at once. Counting is approximate (count-min, Cormode and Muthukrishnan 2005): a key may
    /// come in early, never late unless it is so rare that counts were halved meanwhile, and which one does depends on the number of
    /// segments. 64 KiB for each segment.
    /// </summary>
    public int AdmitAfterSightings { get; init; } = 1;

    /// <summary>
    /// Acknowledge a push only once every server that holds its segment has it in a journal on its disk, flushed: it then survives the loss of all
    /// servers at once, for instance of power, and is there again, once, when they are started on their journals. Default false: a push survives the
    /// loss of as many servers as there are replicas, and waits for no disk. All servers of the cluster need a journal.
    /// </summary>
    public bool Durable { get; init; }

    /// <summary>
    /// What makes this client's requests for the table, and their answers, shorter; null, the default, for <see cref="ClientOptions.Filters"/>. It is no part of the table: another client opens it with its own.
    /// </summary>
    public Filters? Filters { get; init; }
}

/// <summary>Declares a job: a number of logical workers, hosted by however many processes there are.</summary>
public sealed record JobOptions
{
    /// <summary>The job's name, unique among running jobs of the client's namespace; at most 256 bytes without a '/'.</summary>
    public required string Name { get; init; }

    /// <summary>Logical workers, each with a share of the data and a clock of its own. More may join and some leave while it runs.</summary>
    public required int Workers { get; init; }

    /// <summary>Begin once so many processes have offered to host workers. Default 1.</summary>
    public int Hosts { get; init; } = 1;

    /// <summary>
    /// Go on without the workers of a process that dies, instead of having them hosted by another: what they would have done is not done (PS-7,
    /// "the task scheduler may go on without a failed worker"). Such a worker counts through the last iteration that it is known to have ended;
    /// nobody waits for more of it, and where a table aggregates, what it had sent of later iterations is dropped. The workers of the last
    /// process are kept for another to come. Default false.
    /// </summary>
    public bool ContinueWithout { get; init; }
}

/// <summary>A running job.</summary>
/// <param name="Group">The job's number, by which its tables name it.</param>
/// <param name="Workers">How many logical workers it opened with.</param>
public sealed record Job(uint Group, int Workers);

/// <summary>Workers that joined a running job (a planned join).</summary>
/// <param name="FirstWorker">The index of the first of them; the others follow.</param>
/// <param name="Count">How many they are.</param>
/// <param name="FirstIteration">The first iteration that they take part in.</param>
public readonly record struct JoinedWorkers(int FirstWorker, int Count, long FirstIteration);

/// <summary>What a pull brought besides the values.</summary>
/// <param name="Found">How many of the distinct keys exist; the others read as the table's initial value.</param>
/// <param name="MinimumClock">The smallest clock of the table's workers when rows were read, of those still at work: how fresh the values are. long.MaxValue where all have finished, -1 without a job.</param>
public readonly record struct PullResult(int Found, long MinimumClock);

/// <summary>Some rows of a table, as a scan brings them.</summary>
/// <param name="Keys">The rows' keys.</param>
/// <param name="Values">The rows' floats, one row after another.</param>
public readonly record struct RowBatch(ReadOnlyMemory<ulong> Keys, ReadOnlyMemory<float> Values);

/// <summary>What a client has sent and received. Bytes are of whole frames, requests and replies, headers included.</summary>
/// <param name="PushBytes">Bytes of pushes and their acknowledgements.</param>
/// <param name="PullBytes">Bytes of pulls and their answers.</param>
/// <param name="UncompressedBytes">What both would have been with every key in 8 bytes and every float in 4, of the rows that filters held back or dropped too.</param>
/// <param name="Keys">Keys sent, in pushes and pulls.</param>
/// <param name="Values">Floats pushed and pulled.</param>
/// <param name="Requests">Frames that asked for something.</param>
/// <param name="Superseded">Parts for which an older session's push stood.</param>
/// <param name="MixedPulls">Pulls answered by a segment that had closed the asker's iteration already (after a takeover; design R21).</param>
/// <param name="ByFilter">What each filter made of the bytes that it was used on, by its name; null, or without those that were not used.</param>
public readonly record struct ClientCounters(
    long PushBytes, long PullBytes, long UncompressedBytes, long Keys, long Values, long Requests, long Superseded, long MixedPulls, IReadOnlyList<FilterBytes>? ByFilter = null);

/// <summary>What a filter made of the bytes that it was used on, in both directions.</summary>
/// <param name="Filter">Its name: one of <see cref="FilterNames"/>, or of a filter of rows.</param>
/// <param name="BytesIn">Bytes that it got. Filters follow one another: rows are chosen, keys named or packed, zeros left out, floats rounded, and what is left becomes a block.</param>
/// <param name="BytesOut">Bytes that it gave in their place.</param>
public readonly record struct FilterBytes(string Filter, long BytesIn, long BytesOut);
