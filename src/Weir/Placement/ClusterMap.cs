using Weir.Keys;

namespace Weir.Placement;

/// <summary>
/// A server node as the map knows it. Another incarnation under the same id is no member (design R5). One that is draining gets no segments and
/// hands over those it has, so that it may be stopped.
/// </summary>
internal readonly record struct MapMember(ulong Node, ulong Incarnation, string Address, uint WeightPercent, string Zone, bool IsDraining = false)
{
    /// <summary>The number of its journal; 0 where it has none. Who comes back with that very journal comes back with what this member held (design R5, R23).</summary>
    public ulong Journal { get; init; }

    /// <summary>It may hold segments of durable tables.</summary>
    public bool HasJournal => Journal != 0;
}

/// <summary>A table as declared, under its name as <see cref="QualifiedName"/> has it. Group 0: no clocks govern it. Committed: it is pulled from the tails of its chains (design R22).</summary>
internal sealed record MapTable(
    uint Id, string Name, int Width, UpdateRule Rule, float InitialValue, bool Aggregate, uint Group, KeyLifetime Lifetime, bool IsCommitted = false)
{
    /// <summary>A push is acknowledged once every member of the chain has it in its journal, flushed (design R23).</summary>
    public bool Durable { get; init; }

    /// <summary>The delay bound of pulls that name none of their own (PS-14, PS-16), below 0 for none. It may change while the table stands.</summary>
    public int DelayBound { get; init; } = NoBound;

    /// <summary>As <see cref="DelayBound"/>: pulls wait for nobody.</summary>
    public const int NoBound = -1;

    /// <summary>What its rows are together, a vector for instance; none for a table of rows alone.</summary>
    public TableDimensions Dimensions { get; init; }

    /// <summary>
    /// A segment came back from journals, which hold no rows of this table: it is StateLost until it is dropped. It never becomes false again.
    /// </summary>
    public bool IsLost { get; init; }

    /// <summary>What its declaration asks for beside its name and group, for people.</summary>
    public string Shape =>
        $"{Dimensions.Describe(Rule)}width {Width}, {Rule}, initial value {InitialValue}{(Aggregate ? ", aggregating" : "")}{(IsCommitted ? ", committed" : "")}{(Durable ? ", durable" : "")}"
        + (Lifetime.AdmitAfterSightings > 1 ? $", rows with push {Lifetime.AdmitAfterSightings}" : "")
        + (Lifetime.ExpireAfterClocks is { } clocks ? $", for {clocks} clocks" : "");

    /// <summary>What whoever asks a lost table for something is told.</summary>
    public string LossText =>
        $"the rows of table {Name} are lost: it is not durable, and all servers that held a part of it stopped. Drop it and open it anew, as a durable table if it is to survive that";
}

/// <summary>
/// One logical worker of a job: who hosts it under which session (0: nobody); the first iteration that it takes part in and, once a leave was
/// planned, the last (design R8), either of them <see cref="Undecided"/> while it is announced; and, once it finished, its last iteration, or
/// <see cref="Lost"/> while its process is gone and the job, which goes on without it, has yet to decide how far it counts.
/// </summary>
internal readonly record struct MapWorker(ulong Process, ulong Session, long From, long Through, long FinishedThrough)
{
    public const long Working = -1;
    public const long Lost = -2;
    public const long Undecided = 0;
    public const long NoEnd = long.MaxValue;

    /// <summary>The nonce of the request that it joined by, so that a retry adds none, whoever joined since; 0 where the job opened with it.</summary>
    public ulong JoinedBy { get; init; }

    /// <summary>A worker of a job that opens: nobody's, from the first iteration on.</summary>
    public static readonly MapWorker Opened = new(0, 0, 1, NoEnd, Working);

    /// <summary>A worker whose join is announced.</summary>
    public static readonly MapWorker Announced = Opened with { From = Undecided };

    public bool IsFinished => FinishedThrough >= 0;

    public bool IsLost => FinishedThrough == Lost;

    /// <summary>Somebody hosts it and it has work to do.</summary>
    public bool IsHosted => Process != 0 && !IsFinished;

    /// <summary>It has work to do and nobody hosts it.</summary>
    public bool NeedsHost => Process == 0 && HasFirst && FinishedThrough == Working;

    /// <summary>Its last iteration, or how far it counts, is about to be decided.</summary>
    public bool IsChanging => !HasFirst || Through == Undecided || IsLost;

    /// <summary>False while its join is announced and nobody knows from when on.</summary>
    public bool HasFirst => From != Undecided;

    /// <summary>Its last iteration as far as is decided.</summary>
    public long Last => Through == Undecided ? NoEnd : Through;
}

/// <summary>
/// The join, leave or loss of a job's workers that is under way (design R8): the version of the map that announced it, 0 for none; and the first
/// iteration that it may take effect at.
/// </summary>
internal readonly record struct MapChange(ulong Announced, long NotBefore)
{
    /// <summary>
    /// How many iterations a host may begin after it answered and before it has read the decision (the M of R8), so that training goes on
    /// meanwhile. To agree takes a few round trips and a tick of 10 ms, hardly longer than four iterations; a larger margin would only put the
    /// change off.
    /// </summary>
    public const long MarginIterations = 4;
}

/// <summary>
/// A job, under its name as <see cref="QualifiedName"/> has it: a group of workers whose clocks govern its tables. Hosting begins once <paramref name="Hosts"/> processes have offered. With
/// <paramref name="ContinuesWithout"/> the workers of a process that dies are done, and not hosted by another (design R8).
/// </summary>
internal sealed record MapJob(uint Group, string Name, int Hosts, bool ContinuesWithout, ulong Nonce, MapChange Change, MapWorker[] Workers)
{
    /// <summary>
    /// The last iteration that anything is of in the checkpoint that the job was loaded from; 0 for none. It may lie above the clocks that its workers go on
    /// from: who took part in what is loaded is decided, so nobody joins or leaves at or below it.
    /// </summary>
    public long LoadedThrough { get; init; }
}

/// <summary>A process that hosts workers of a job (group above 0) or has sessions of its own.</summary>
internal readonly record struct MapProcess(ulong Process, ulong Incarnation, uint Group, string Name);

/// <summary>A session outside any job.</summary>
internal readonly record struct MapSession(ulong Session, ulong Process);

/// <summary>
/// One member of a segment's chain: its index among the map's members, and the version of the map that appended it, by which it claims to be
/// complete (design R9). Once the map's writer knows that it is, there is nothing left to claim and the version is 0 (docs/decisions/0050).
/// </summary>
internal readonly record struct ChainMember(int Member, ulong Appended)
{
    // The first map has version 1 and all its members are complete: no append ever has it.
    private const ulong Restarted = 1;

    /// <summary>
    /// A complete member that was started again on its journal (R5): it holds what was acknowledged of durable tables and nothing else. It takes
    /// no part in the chain until the map has it lead, or takes it out (docs/decisions/0076).
    /// </summary>
    public bool IsRestarted => Appended == Restarted;

    /// <summary>A complete member that came back with its journal.</summary>
    public static ChainMember Back(int member) => new(member, Restarted);

    /// <summary>The map's writer knew that it holds every entry that was ever acknowledged.</summary>
    public bool IsComplete => Appended == 0;

    /// <summary>A member that the map knows to be complete.</summary>
    public static ChainMember Complete(int member) => new(member, 0);
}

/// <summary>
/// Who holds a segment: the head first, then those that follow it; nobody once what it held was given up. The epoch is the version of the
/// map that last changed the order. <paramref name="IsDown"/>: no complete member is within reach, so the segment waits for one to return.
/// <paramref name="Emptied"/>: the version in which an operator gave up what it held (R6); whatever was held of it before counts for nothing. 0 is never.
/// </summary>
internal readonly record struct MapChain(ulong Epoch, ChainMember[] Members, bool IsDown = false, ulong Emptied = 0)
{
    public int Head => Members.Length == 0 ? ClusterMap.Nobody : Members[0].Member;

    /// <summary>Whether a member was started again on its journal and waits here.</summary>
    public bool HasRestarted
    {
        get
        {
            foreach (ChainMember member in Members)
            {
                if (member.IsRestarted)
                {
                    return true;
                }
            }

            return false;
        }
    }

    /// <summary>The place of a member in the chain, the head's is 0; -1 where it holds nothing.</summary>
    public int PlaceOf(int member)
    {
        for (int place = 0; place < Members.Length; place++)
        {
            if (Members[place].Member == member)
            {
                return place;
            }
        }

        return -1;
    }
}

/// <summary>The iteration through which a checkpoint has what the aggregating tables of a group summed (design R24); <see cref="MapWorker.Undecided"/> while its hosts are asked.</summary>
internal readonly record struct MapCut(uint Group, long Iteration);

/// <summary>How far a checkpoint is.</summary>
internal enum CheckpointState
{
    /// <summary>It is being written.</summary>
    Open = 0,

    /// <summary>It is being loaded.</summary>
    Loading = 1,

    /// <summary>It has ended, and is not begun again by a request that comes late.</summary>
    Ended = 2,
}

/// <summary>
/// A checkpoint that is being written, or loaded (design R24), or the last one that was. While one is written nothing that de-duplication needs is
/// forgotten; while one is loaded nobody but its coordinator reads or writes.
/// </summary>
/// <param name="Id">The checkpoint's own number, not zero: it stands in all that is written of it.</param>
/// <param name="Process">Who coordinates it; where it is silent a checkpoint that is being written ends.</param>
/// <param name="Began">The version of the map that began it.</param>
/// <param name="State">How far it is.</param>
/// <param name="Cuts">Of each group that has aggregating tables, where they are cut.</param>
internal sealed record MapCheckpoint(ulong Id, ulong Process, ulong Began, CheckpointState State, MapCut[] Cuts)
{
    public bool IsRestore => State == CheckpointState.Loading;

    /// <summary>Where the aggregating tables of a group are cut; null where they are cut wherever they stand, for no worker goes on.</summary>
    public MapCut? CutOf(uint group)
    {
        foreach (MapCut cut in Cuts)
        {
            if (cut.Group == group)
            {
                return cut;
            }
        }

        return null;
    }

    /// <summary>Whether the hosts of a group's workers are still asked how far they have begun.</summary>
    public bool IsUndecided(uint group) => CutOf(group) is { Iteration: MapWorker.Undecided };
}

/// <summary>What went with a node that is gone: what a StateLost says.</summary>
internal sealed record MapLoss(ulong Node, string Address, int Segments, ulong Rows)
{
    public override string ToString() =>
        $"server {Address} is gone and with it the only copy of {Segments} segments ({Rows} rows)";
}

/// <summary>
/// What a namespace may have: so many bytes of rows in all its tables, each row counted once however many copies there are (PS-6; docs/decisions/0106). One without a quota
/// has no item; that it is there only its tables and jobs say, by their names.
/// </summary>
internal sealed record MapNamespace(string Name, long QuotaBytes);

/// <summary>
/// The cluster's map: one version has one content, and all decisions about who holds what come from it (design section 1). Immutable: a
/// change is a copy with the next version, swapped into the register.
/// </summary>
internal sealed record ClusterMap
{
    /// <summary>A segment without a member that holds it.</summary>
    public const int Nobody = -1;

    public const int MinSegmentBits = 6;
    public const int MaxSegmentBits = 17;

    // A copy by `with` takes over these look-ups, so each remembers what it was made from.
    private (Dictionary<ulong, WorkerId> Workers, MapJob[] Jobs, MapSession[] Own)? _sessions;
    private (Dictionary<uint, MapTable> ById, MapTable[] Tables)? _tables;
    private (byte[] Bytes, MapChain[] Chains)? _chainBytes;

    public required ulong Cluster { get; init; }

    public uint Generation { get; init; } = 1;

    public ulong Version { get; init; } = 1;

    public required int SegmentBits { get; init; }

    public MapMember[] Members { get; init; } = [];

    public MapTable[] Tables { get; init; } = [];

    public MapJob[] Jobs { get; init; } = [];

    public MapProcess[] Processes { get; init; } = [];

    public MapSession[] Sessions { get; init; } = [];

    public MapLoss[] Losses { get; init; } = [];

    /// <summary>The checkpoint that is being written or loaded, or the last one that was: none or one.</summary>
    public MapCheckpoint[] Checkpoints { get; init; } = [];

    /// <summary>The namespaces that have a quota.</summary>
    public MapNamespace[] Namespaces { get; init; } = [];

    public ulong NextSession { get; init; } = 1;

    public uint NextTable { get; init; } = 1;

    public uint NextGroup { get; init; } = 1;

    /// <summary>The term of the manager that decided this map (design R3). It never falls from one version to the next; 0 is nobody's.</summary>
    public ulong ManagerTerm { get; init; }

    /// <summary>The node that decided this map; see <see cref="Manager"/>.</summary>
    public ulong ManagerNode { get; init; }

    /// <summary>The addresses of the register's acceptors, in their order: 1, 3 or 5, fixed with the cluster; none where another store is the register.</summary>
    public string[] Acceptors { get; init; } = [];

    /// <summary>How many members a chain has beside its head, as long as there are nodes for them: the k of the papers.</summary>
    public int Replicas { get; init; }

    /// <summary>The chain of each segment.</summary>
    public required MapChain[] Chains { get; init; }

    public int Segments => 1 << SegmentBits;

    /// <summary>How many members a whole chain has: k + 1, as far as there are members that stay.</summary>
    public int Copies => Math.Clamp(Members.Count(m => !m.IsDraining), 1, Replicas + 1);

    /// <summary>The checkpoint that is being written or loaded; null for none.</summary>
    public MapCheckpoint? Checkpoint => Checkpoints is [{ State: not CheckpointState.Ended } open] ? open : null;

    /// <summary>A checkpoint is being loaded: what stands here is not yet what it holds.</summary>
    public bool IsRestoring => Checkpoint is { IsRestore: true };

    /// <summary>The chains as they are written: most changes of a map leave them as they are, and for the largest cluster they are most of it.</summary>
    public byte[] ChainBytes
    {
        get
        {
            if (_chainBytes is not { } known || known.Chains != Chains)
            {
                known = (ChainColumns.Encode(Chains), Chains);
                _chainBytes = known;
            }

            return known.Bytes;
        }
    }

    /// <summary>Who is asked for the next map: the node that decided this one, or where it has left its likeliest successor.</summary>
    public MapMember Manager => Member(ManagerNode) ?? Members[0];

    /// <summary>
    /// Whether segments may be placed anew without anything being copied: nobody has accepted a part of them that counts. Where there are replicas the
    /// log of a table that was dropped still counts, as members of a chain compare their last entries (design R16).
    /// </summary>
    public bool IsUntouched => Tables.Length == 0 && (Replicas == 0 || NextTable == 1);

    public MapMember? Member(ulong node)
    {
        int index = IndexOf(node);
        return index < 0 ? null : Members[index];
    }

    /// <summary>A node's index among the members; -1 where it is none.</summary>
    public int IndexOf(ulong node)
    {
        // No lambda here either: it is asked in every tick and for every frame between nodes.
        for (int index = 0; index < Members.Length; index++)
        {
            if (Members[index].Node == node)
            {
                return index;
            }
        }

        return -1;
    }

    /// <summary>The index of a node that came back only if it is the same start of it; another is no member, however quickly it came back (design R5).</summary>
    public int IndexOf(ulong node, ulong incarnation) => IndexOf(node) is >= 0 and int index && Members[index].Incarnation == incarnation ? index : -1;

    /// <summary>The head of a segment, or null where its only copy is gone.</summary>
    public MapMember? Head(int segment) => Chains[segment].Head is >= 0 and int head ? Members[head] : null;

    /// <summary>The last of a segment's chain, from whom committed pulls are answered, or null where its only copy is gone.</summary>
    public MapMember? Tail(int segment) => Chains[segment].Members is [.., ChainMember tail] ? Members[tail.Member] : null;

    /// <summary>Whether another node, or another start of it, heads a segment by this map than by an older one.</summary>
    public bool HasMoved(int segment, ClusterMap older) =>
        !ReferenceEquals(Chains, older.Chains) && (Head(segment) is not { } head || older.Head(segment) is not { } before || (head.Node, head.Incarnation) != (before.Node, before.Incarnation));

    public MapTable? Table(uint id)
    {
        if (_tables is not { } known || known.Tables != Tables)
        {
            known = (Tables.ToDictionary(t => t.Id), Tables);
            _tables = known;
        }

        return known.ById.GetValueOrDefault(id);
    }

    // No lambda: it would be an object for every pull of a job.
    public MapJob? Job(uint group)
    {
        foreach (MapJob job in Jobs)
        {
            if (job.Group == group)
            {
                return job;
            }
        }

        return null;
    }

    /// <summary>Whose session this is; false for one that has ended or never began.</summary>
    public bool TryFindSession(ulong session, out WorkerId worker)
    {
        if (_sessions is not { } known || known.Jobs != Jobs || known.Own != Sessions)
        {
            Dictionary<ulong, WorkerId> sessions = [];
            foreach (MapSession own in Sessions)
            {
                sessions.Add(own.Session, WorkerId.OfSession(own.Session));
            }

            foreach (MapJob job in Jobs)
            {
                for (uint index = 0; index < job.Workers.Length; index++)
                {
                    if (job.Workers[index].Session != 0)
                    {
                        sessions.Add(job.Workers[index].Session, WorkerId.OfJob(job.Group, index));
                    }
                }
            }

            known = (sessions, Jobs, Sessions);
            _sessions = known;
        }

        return known.Workers.TryGetValue(session, out worker);
    }

    /// <summary>The smallest segment count that gives 100 a node, in bits (design section 1).</summary>
    public static int SegmentBitsFor(int nodes)
    {
        int bits = MinSegmentBits;
        while (1 << bits < nodes * 100L && bits < MaxSegmentBits)
        {
            bits++;
        }

        return bits;
    }
}
