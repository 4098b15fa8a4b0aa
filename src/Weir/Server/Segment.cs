using Weir.Keys;
using Weir.Placement;
using Weir.Store;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// What a (table, segment) remembers of one worker's stream (design R11): the newest session, the last n received in it, the highest
/// identity that stands, and its log number.
/// </summary>
internal readonly record struct LastPush(ulong Session, ulong N, Seq Seq, ulong Number)
{
    public static readonly LastPush None = new(0, 0, Seq.None, 0);

    /// <summary>The last n as <paramref name="session"/> counts: a newer session begins at 0.</summary>
    public ulong NIn(ulong session) => session == Session ? N : 0;
}

/// <summary>The rows of one table in one segment, with what de-duplication needs to know about every worker that pushed.</summary>
internal sealed class TableSegment(MapTable table, SegmentRows rows) : IDisposable
{
    public MapTable Table { get; } = table;

    public SegmentRows Rows { get; } = rows;

    /// <summary>last[] of the update stream.</summary>
    public Dictionary<WorkerId, LastPush> Updates { get; } = [];

    /// <summary>last[] of the stream of deletes, apart so that Full cannot keep them waiting (design R12).</summary>
    public Dictionary<WorkerId, LastPush> Deletes { get; } = [];

    /// <summary>What an aggregating table holds until iterations close; null for others.</summary>
    public Aggregation? Aggregation { get; } = table.Aggregate ? new Aggregation() : null;

    /// <summary>The rows as a checkpoint has them (design R24), from when it cut them until it is over; null for none. Rows are saved there before they change.</summary>
    public RowSnapshot? Snapshot { get; private set; }

    public Dictionary<WorkerId, LastPush> Last(bool deletes) => deletes ? Deletes : Updates;

    /// <summary>The table is cut here, at this moment.</summary>
    public void TakeSnapshot(MemoryBudget budget)
    {
        EndSnapshot();
        Snapshot = new RowSnapshot(this, budget);
    }

    /// <summary>An iteration is about to close: the checkpoint that has the table through an earlier one cuts it first.</summary>
    public void CutBefore(long iteration, MapCheckpoint? checkpoint, MemoryBudget budget)
    {
        if (checkpoint is { IsRestore: false } && Snapshot is null && checkpoint.CutOf(Table.Group) is { Iteration: > MapWorker.Undecided } cut
            && iteration > cut.Iteration && Aggregation!.Closed <= cut.Iteration)
        {
            TakeSnapshot(budget);
        }
    }

    public void EndSnapshot()
    {
        Snapshot?.Dispose();
        Snapshot = null;
    }

    /// <summary>A contribution stands: last.seq rises, and last's session and n only where they do (design R19).</summary>
    public void Stands(WorkerId worker, Seq seq, ulong session, ulong n, ulong number)
    {
        LastPush last = Updates.GetValueOrDefault(worker, LastPush.None);
        seq = seq > last.Seq ? seq : last.Seq;
        bool rises = session > last.Session || (session == last.Session && n > last.N);
        Updates[worker] = rises ? new LastPush(session, n, seq, number) : last with { Seq = seq, Number = number };
    }

    /// <summary>Forgets workers that have ended in the map (design R7).</summary>
    public void Forget(HashSet<WorkerId> ended)
    {
        foreach (WorkerId worker in ended)
        {
            Updates.Remove(worker);
            Deletes.Remove(worker);
        }

        Aggregation?.Forget(ended.Contains);
    }

    public void Dispose()
    {
        EndSnapshot();
        Rows.Dispose();
    }
}

/// <summary>Somebody below whom this node sends a segment's entries: its successor in the chain, or a newcomer that has copied from it.</summary>
internal sealed class Follower(ulong node, ulong incarnation, LinkId link)
{
    public ulong Node { get; } = node;

    public ulong Incarnation { get; } = incarnation;

    public LinkId Link { get; } = link;

    /// <summary>It has said what it has and that stands here too: entries go to it (design R16).</summary>
    public bool IsReady { get; set; }

    /// <summary>It has acknowledged in this epoch, if only what it had: so it knows that it is confirmed.</summary>
    public bool HasAnswered { get; set; }

    /// <summary>What it said it has before this node could answer.</summary>
    public LogPosition? Asks { get; set; }

    public ulong SentThrough { get; set; }

    public ulong Received { get; set; }

    /// <summary>The last entry up to which it has said that all of durable tables are flushed at it and those behind it, in this epoch.</summary>
    public ulong Flushed { get; set; }

    /// <summary>When something was last heard of it that moved it on, or there was nothing to hear.</summary>
    public Instant MovedAt { get; set; }

    /// <summary>When it is sent again what it has not received.</summary>
    public Instant ResendAt { get; set; }

    /// <summary>Bytes of memory that it and those behind it have left.</summary>
    public ulong Room { get; set; } = ulong.MaxValue;
}

/// <summary>One segment that this node holds: its tables, its log, and this node's place in the chain.</summary>
internal sealed class Segment(int index, LogBytes logBytes) : IDisposable
{
    private readonly Dictionary<uint, TableSegment> _tables = [];

    public int Index { get; } = index;

    /// <summary>The chain by the map this node acts on.</summary>
    public MapChain Chain { get; private set; } = new(0, []);

    /// <summary>This node's place in the chain: 0 is the head's, -1 none.</summary>
    public int Place { get; private set; } = -1;

    public bool IsHead => Place == 0;

    public bool IsTail => Place >= 0 && Place == Chain.Members.Length - 1;

    /// <summary>In this epoch the last entry here is known to stand at the predecessor's; a head's always does (design R16).</summary>
    public bool IsConfirmed { get; set; }

    /// <summary>The last entry here does not stand at the predecessor's, or could not be applied: this copy counts for nothing.</summary>
    public bool IsDiverged { get; set; }

    /// <summary>What this copy is called: no other that any node ever began has the name.</summary>
    public ulong Name { get; init; }

    /// <summary>The append under which this copy is complete (design R9); 0 for none.</summary>
    public ulong CompleteUnder { get; set; }

    /// <summary>What the predecessor told as its last while this copy was not complete.</summary>
    public LogPosition? Told { get; set; }

    /// <summary>When the predecessor is asked again whether the last entry stands.</summary>
    public Instant AskAt { get; set; }

    public SegmentLog Log { get; } = new(logBytes);

    /// <summary>The last entry that every member from here on has.</summary>
    public ulong Acknowledged { get; set; }

    /// <summary>Who comes behind this node in the chain.</summary>
    public Follower? Successor { get; set; }

    /// <summary>A newcomer that has copied this segment from here and follows its entries until the map appends it.</summary>
    public Follower? Newcomer { get; set; }

    /// <summary>A copy that is being made from here.</summary>
    public CopySource? Copy { get; set; }

    /// <summary>The copy that this segment is being made by, until the map appends this node to its chain; else null.</summary>
    public CopyTarget? Target { get; set; }

    /// <summary>An entry that has come in part.</summary>
    public byte[]? Partial { get; set; }

    public int PartialBytes { get; set; }

    /// <summary>Answers that wait for the tail, by the number of the entry that they wait for.</summary>
    public PriorityQueue<PendingReply, ulong> Waiting { get; } = new();

    /// <summary>Answers that wait for the journals, by the number of the entry that they wait for.</summary>
    public PriorityQueue<PendingReply, ulong> WaitingForFlush { get; } = new();

    /// <summary>The last entry up to which all of durable tables are flushed at every member from here on (design R23).</summary>
    public ulong Flushed { get; set; }

    /// <summary>The last entry of a durable table that was applied here.</summary>
    public LogPosition LastDurable { get; set; }

    /// <summary>The last entry that went into this node's journal, flushed or not.</summary>
    public ulong JournaledThrough { get; set; }

    /// <summary>The last of them that is flushed.</summary>
    public ulong FlushedThrough { get; set; }

    /// <summary>The copy that this segment began with has yet to be written into the journal, with all entries that come meanwhile.</summary>
    public bool NeedsBase { get; set; }

    /// <summary>The copy that this segment began with has yet to be flushed: until then nothing of it is.</summary>
    public bool IsUnwritten { get; set; }

    /// <summary>The last entry up to which all of durable tables are flushed at this node.</summary>
    public ulong FlushedHere => IsUnwritten ? 0 : JournaledThrough == FlushedThrough ? Log.Last.Number : FlushedThrough;

    /// <summary>
    /// The map still names a member that was started again on its journal. Should all others be gone it leads, with what it flushed in its former start: until the map has taken it out nothing
    /// of durable tables is acknowledged, nor shown as acknowledged (docs/decisions/0076, seed 202802).
    /// </summary>
    public bool HasRestarted => Array.Exists(Chain.Members, member => member.IsRestarted);

    /// <summary>It has something in the group that the journal gathers.</summary>
    public bool IsInGroup { get; set; }

    /// <summary>A snapshot that is being written into the journal.</summary>
    public SnapshotWalk? Snapshot { get; set; }

    /// <summary>It came out of the journal at this start, and the map has yet to say whether it counts.</summary>
    public bool IsBack { get; set; }

    public Dictionary<uint, TableSegment>.ValueCollection Tables => _tables.Values;

    /// <summary>Whether anybody below needs the entries of this segment.</summary>
    public bool IsFollowed => Successor is not null || Newcomer is not null;

    /// <summary>Complete by the map, or as this node was told under the append that the map names (design R9).</summary>
    public bool IsComplete => Place >= 0 && (Chain.Members[Place].IsComplete || CompleteUnder == Chain.Members[Place].Appended);

    /// <summary>The smallest room, as far as this node was told, of those behind it.</summary>
    public ulong RoomBelow => Math.Min(Successor?.Room ?? ulong.MaxValue, Newcomer?.Room ?? ulong.MaxValue);

    /// <summary>Takes this node's place from a map. True where the chain is another than before.</summary>
    public bool Adopt(in MapChain chain, int self)
    {
        bool changed = chain.Epoch != Chain.Epoch || Place < 0;
        Chain = chain;
        Place = self < 0 ? -1 : chain.PlaceOf(self);
        if (Place >= 0 && chain.Members[Place].IsRestarted)
        {
            // Until the map has it lead, or takes it out, what it holds is only claimed.
            (Place, IsBack) = (-1, true);
        }

        IsBack &= Place < 0;
        foreach (TableSegment table in _tables.Values)
        {
            table.Rows.IsCounted = IsHead;
        }

        Target = Place >= 0 ? null : Target;
        return changed;
    }

    /// <summary>Rows were just changed: whoever walks over them writes them again.</summary>
    public void Touched(uint table, ReadOnlySpan<ulong> keys)
    {
        Copy?.Touched(table, keys);
        Snapshot?.Touched(table, keys);
    }

    /// <summary>Answers that wait for others.</summary>
    public int WaitingCount => Waiting.Count + WaitingForFlush.Count;

    /// <summary>The copy that is being made from here ends.</summary>
    public void EndCopy()
    {
        Copy?.Dispose();
        Copy = null;
    }

    /// <summary>The walk that a checkpoint's coordinator makes over this segment here.</summary>
    public CheckpointWalk? Walk { get; set; }

    /// <summary>The checkpoint is over, or this node heads the segment no more.</summary>
    public void EndWalk()
    {
        Walk?.Dispose();
        Walk = null;
        foreach (TableSegment table in _tables.Values)
        {
            table.EndSnapshot();
        }
    }

    /// <summary>The walk is over, and may be made anew of tables that do not aggregate.</summary>
    public void EndSnapshots()
    {
        foreach (TableSegment table in _tables.Values.Where(t => t.Aggregation is null))
        {
            table.EndSnapshot();
        }
    }

    /// <summary>This head is asked to accept nothing more, so that the chain may be reordered (design R10).</summary>
    public bool IsSealing { get; set; }

    /// <summary>This head accepts nothing: it holds no part of an open iteration, and takes none.</summary>
    public bool IsSealed { get; set; }

    public Instant SealedAt { get; set; }

    /// <summary>The map version under which the seal was last reported; a reorder may rest on it while that map is the newest.</summary>
    public ulong SealReported { get; set; }

    /// <summary>Every member behind this one is confirmed in this epoch.</summary>
    public bool IsChainConfirmed { get; set; }

    /// <summary>Every member has what this head has.</summary>
    public bool IsDrained => IsChainConfirmed && Acknowledged == Log.Last.Number;

    /// <summary>The seal ends, or the chain is another.</summary>
    public void Unseal() => (IsSealing, IsSealed, SealReported) = (false, false, 0);

    /// <summary>The last iteration of a job of which any of its tables holds a part here; 0 for none.</summary>
    public long LastOpen(uint group)
    {
        long last = 0;
        foreach (TableSegment table in _tables.Values)
        {
            last = table.Aggregation is { } aggregation && table.Table.Group == group ? Math.Max(last, aggregation.LastOpen) : last;
        }

        return last;
    }

    public TableSegment? Find(uint table) => _tables.GetValueOrDefault(table);

    public void Add(TableSegment table)
    {
        _tables.Add(table.Table.Id, table);
        table.Rows.IsCounted = IsHead;
    }

    public void Drop(uint table)
    {
        if (_tables.Remove(table, out TableSegment? gone))
        {
            gone.Dispose();
        }
    }

    /// <summary>Where the segment stands, for people.</summary>
    public string Describe() =>
        $"{Index}:{string.Join('>', Chain.Members.Select(m => $"{m.Member}{(m.IsComplete ? "" : "?")}"))}@{Chain.Epoch} place {Place}{(IsConfirmed ? "" : " unconfirmed")}{(IsDiverged ? " diverged" : "")} last {Log.Last} acked {Acknowledged}"
        + (Successor is { } s ? $" successor {s.Node}{(s.IsReady ? "" : " not ready")} sent {s.SentThrough} received {s.Received}" : "") + (Target is null ? "" : " copying");

    public void Dispose()
    {
        // What this turn still has to send of it is nobody's business any more.
        (Successor, Newcomer, Target, Place, IsConfirmed) = (null, null, null, -1, false);
        EndWalk();
        Log.TrimThrough(Log.Last.Number);
        foreach (TableSegment table in _tables.Values)
        {
            table.Dispose();
        }

        EndCopy();
        _tables.Clear();
        Waiting.Clear();
    }
}
