using System.Collections.Immutable;
using Weir.Keys;
using Weir.Placement;
using Weir.Store;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>What the paths of one node share: its options, its map, the segments it holds, clocks, counters and memory.</summary>
internal sealed class NodeState : IDisposable
{
    /// <summary>Rows of dropped copies that a turn gives back: some 60 us, each a miss of the cache.</summary>
    private const int RowsGivenBack = 4096;

    private readonly Dictionary<uint, TableRows> _tables = [];
    private Segment?[] _segments = [];
    private ImmutableArray<Segment> _held = [];
    private ulong _copies;

    public NodeState(ServerOptions options, Outbox outbox)
    {
        Options = options;
        Outbox = outbox;
        Budget = new MemoryBudget(options.MemoryLimitBytes, options.Memory);
        KeyLists = new KeyListCache(options.Limits.KeyListBytes);
        Incarnation = options.Incarnation;
        Quotas = new NamespaceQuotas(this);
        Journal = options.Journal is null ? null : new JournalPath(this, options.Journal);
    }

    public ServerOptions Options { get; }

    /// <summary>
    /// What this node is called as a member, besides its id: its start's at first, and another each time the cluster has counted it gone. What was asked of it or begun
    /// with it before then is nothing that it holds (design R5).
    /// </summary>
    public ulong Incarnation { get; private set; }

    public ServerLimits Limits => Options.Limits;

    public Outbox Outbox { get; }

    public MemoryBudget Budget { get; }

    /// <summary>What namespaces may have here.</summary>
    public NamespaceQuotas Quotas { get; }

    /// <summary>Key lists that peers refer to.</summary>
    public KeyListCache KeyLists { get; }

    /// <summary>References to a list that is kept here, and to lists that are not (any more).</summary>
    public long KeyListHits, KeyListMisses;

    public GroupClocks Clocks { get; } = new();

    /// <summary>The map this node acts on; null until it has read one that names it.</summary>
    public ClusterMap? Map { get; private set; }

    /// <summary>The node under its present incarnation among the map's members; -1 where it is none (design R5).</summary>
    public int Self { get; private set; } = -1;

    /// <summary>The node's journal; null where it has none.</summary>
    public JournalPath? Journal { get; }

    /// <summary>Some table is durable: what concerns all tables goes into the journal too.</summary>
    public bool HasDurable { get; private set; }

    /// <summary>Why this node must stop, found by one of its paths; null while all is well.</summary>
    public string? Fault { get; set; }

    /// <summary>What is told to those who read the map.</summary>
    public MapHistory History { get; } = new();

    /// <summary>It was drained, and the map is without it since: nobody misses it, and it comes in no more.</summary>
    public bool IsDismissed { get; private set; }

    /// <summary>Bytes of contributions held for open iterations.</summary>
    public long HeldBytes { get; set; }

    /// <summary>Keys looked at in the turn that runs now.</summary>
    public long KeysInTurn { get; set; }

    /// <summary>What the manager asks of this node, where it is the manager itself.</summary>
    public Queue<Step> OwnSteps { get; } = [];

    /// <summary>When the turn that runs now began.</summary>
    public Instant Now { get; set; }

    /// <summary>Bytes of log entries that somebody below may still need.</summary>
    public LogBytes LogBytes { get; } = new();

    /// <summary>Where walks of a checkpoint read rows into.</summary>
    public WalkScratch Scratch { get; } = new();

    /// <summary>Writes what this node decides as the head of a segment.</summary>
    public EntryWriter Entries { get; set; } = null!;

    public NodeCounters Counters;

    /// <summary>
    /// The segments that this node holds, as head, as a follower, or as a copy in the making, in the order of their numbers. Every tick goes through
    /// them several times, so that they are gathered only when others have come or gone.
    /// </summary>
    public ImmutableArray<Segment> Held => _held.IsDefault ? _held = [.. _segments.OfType<Segment>()] : _held;

    public IEnumerable<Segment> HeadedSegments => Held.Where(s => s.IsHead);

    public IReadOnlyDictionary<uint, TableRows> Tables => _tables;

    /// <summary>A segment that this node holds in whatever place.</summary>
    public Segment? Find(uint index) => index < (uint)_segments.Length ? _segments[index] : null;

    /// <summary>A segment that this node heads: it alone answers for it.</summary>
    public Segment? Headed(uint index) => Find(index) is { IsHead: true } segment ? segment : null;

    /// <summary>A copy of a segment begins here: what was held of it before counts for nothing.</summary>
    public Segment Begin(uint index)
    {
        Journal?.Gone((int)index);
        Segment begun = New((int)index);
        Replace(index, begun);
        return begun;
    }

    /// <summary>A copy without rows. Each has another name: what one was given is nothing that a later one of the same node holds (seed 403707).</summary>
    public Segment New(int index, bool isBack = false) => new(index, LogBytes) { IsBack = isBack, Name = Mix.Of(++_copies, Options.Incarnation) };

    /// <summary>A segment that the journal has entries of, created at the first.</summary>
    public Segment Back(uint index)
    {
        if (_segments[index] is not { } back)
        {
            back = New((int)index, isBack: true);
            Replace(index, back);
        }

        return back;
    }

    /// <summary>Another state of a segment, or none, in place of what is held.</summary>
    public void Replace(uint index, Segment? segment)
    {
        _segments[index]?.Dispose();
        _segments[index] = segment;
        _held = default;
    }

    /// <summary>A copy in the making is given up.</summary>
    public void Drop(Segment segment)
    {
        Journal?.Gone(segment.Index);
        Replace((uint)segment.Index, null);
    }

    /// <summary>At the end of a turn: some of the rows of dropped copies are free again.</summary>
    public void GiveBackRows()
    {
        foreach (TableRows rows in _tables.Values)
        {
            rows.GiveBack(RowsGivenBack);
        }
    }

    /// <summary>A reply's header: the request's id and session, this node's map and cluster.</summary>
    public FrameHeader Reply(FrameKind kind, in FrameHeader to) => new()
    {
        Kind = kind,
        RequestId = to.RequestId,
        Session = to.Session,
        Cluster = Map?.Cluster ?? Options.Cluster,
        Generation = Map?.Generation ?? 0,
        MapVersion = Map?.Version ?? 0,
    };

    public FrameHeader Header(FrameKind kind) => Reply(kind, default);

    /// <summary>How this node asks to come in. Whether it comes back is for the map to say, which names the journal that it had (design R5).</summary>
    public JoinNodeBody Joining() => new(Options.Node, Incarnation, Options.WeightPercent, Options.Address, Options.Zone) { Journal = Journal?.Number ?? 0 };

    /// <summary>Takes over a newer map: segments, tables and workers that it no longer names are forgotten.</summary>
    /// <param name="map">The map.</param>
    /// <param name="read">The differences that it was read as; empty where it was made here, or read whole.</param>
    public void Adopt(ClusterMap map, ReadOnlySpan<byte> read)
    {
        ClusterMap? older = Map;
        Map = map;
        History.Adopt(map, read);
        if (older is not null && map.Generation > older.Generation)
        {
            DropGeneration(map);
        }

        if (_segments.Length == 0)
        {
            _segments = new Segment?[map.Segments];
        }

        IsDismissed |= older?.Member(Options.Node) is { IsDraining: true } drained && drained.Incarnation == Incarnation && map.IndexOf(Options.Node) < 0;
        int self = Self = map.IndexOf(Options.Node, Incarnation);
        if (self < 0 && older?.IndexOf(Options.Node, Incarnation) >= 0)
        {
            // Any number that it had not: a run that is played again draws the same.
            Incarnation = Mix.Of(Incarnation) | 1;
        }

        HasDurable = Array.Exists(map.Tables, t => t.Durable);
        int complete = map.Copies, headed = 0;
        for (int index = 0; index < map.Segments; index++)
        {
            MapChain chain = map.Chains[index];
            headed += self >= 0 && chain.Head == self ? 1 : 0;
            if (_segments[index] is { } held && held.Chain.Epoch < chain.Emptied)
            {
                // What it held was given up, and it begins anew without rows (R6).
                Drop(held);
            }

            if (self >= 0 && chain.PlaceOf(self) >= 0)
            {
                if (_segments[index] is null)
                {
                    Replace((uint)index, New(index));
                }
            }
            else if (_segments[index] is { Target: null } gone && (self >= 0 || !gone.IsBack) && (chain.Members.Length == 0 || chain.Members.Count(m => m.IsComplete) >= complete))
            {
                // A holder drops its copy only on reading a map with k+1 complete members (R10).
                Drop(gone);
            }
        }

        foreach (uint table in _tables.Keys.Where(id => map.Table(id) is null).ToArray())
        {
            foreach (Segment segment in Held)
            {
                segment.Drop(table);
            }

            _tables.Remove(table, out TableRows? rows);
            rows?.Dispose();
        }

        Quotas.Adopt(map, headed);
        KeyLists.Drop(list => map.Generation != older?.Generation || map.Table(list.Table) is null || Find(list.Segment) is null);
        Clocks.Adopt(map);
        DropWhatTheLostSentBeyond(map);
        HeldBytes = 0;
        foreach (Segment segment in Held)
        {
            foreach (TableSegment table in segment.Tables)
            {
                HeldBytes += table.Aggregation?.HeldBytes ?? 0;
            }
        }
    }

    /// <summary>Rows, last[], logs and clocks are of a generation that is over: a restore begins with nothing (design R24).</summary>
    private void DropGeneration(ClusterMap map)
    {
        Journal?.EndGeneration();
        foreach (Segment segment in Held)
        {
            segment.Dispose();
        }

        foreach (TableRows rows in _tables.Values)
        {
            rows.Dispose();
        }

        _tables.Clear();
        _segments = new Segment?[map.Segments];
        _held = default;
        Clocks.Clear();
    }

    /// <summary>Where a job goes on without the workers of a process that died, what is held of them above the iteration they count through is dropped (design R8).</summary>
    private void DropWhatTheLostSentBeyond(ClusterMap map)
    {
        foreach (MapJob job in map.Jobs.Where(j => j.ContinuesWithout))
        {
            foreach (Aggregation aggregation in Held.SelectMany(s => s.Tables).Where(t => t.Table.Group == job.Group).Select(t => t.Aggregation).OfType<Aggregation>())
            {
                aggregation.Drop(c => job.Workers[c.Worker.Index] is { IsFinished: true } worker && c.Seq.Iteration > worker.FinishedThrough);
            }
        }
    }

    /// <summary>The rows of a table in a segment that this node holds, created at the first push.</summary>
    public TableSegment TableSegment(Segment segment, MapTable table)
    {
        if (segment.Find(table.Id) is { } found)
        {
            return found;
        }

        if (!_tables.TryGetValue(table.Id, out TableRows? rows))
        {
            var lifetime = new RowLifetime
            {
                KeepsLastClock = table.Lifetime.ExpireAfterClocks is not null,
                AdmitAfterSightings = table.Lifetime.AdmitAfterSightings,
            };
            rows = new TableRows(table.Width, table.Rule, table.InitialValue, Budget, lifetime);
            _tables.Add(table.Id, rows);
        }

        var created = new TableSegment(table, rows.OpenSegment(segment.Index, Map!.SegmentBits));
        segment.Add(created);
        return created;
    }

    /// <summary>As a log entry of each segment that this node heads, what last[] knows of workers that have ended in the map goes (design R7).</summary>
    public void ForgetEnded()
    {
        HashSet<ulong> sessions = [.. Map!.Sessions.Select(s => WorkerId.OfSession(s.Session).Value)];
        HashSet<uint> groups = [.. Map.Jobs.Select(j => j.Group)];
        bool HasEnded(WorkerId worker) => worker.Group == 0 ? !sessions.Contains(worker.Value) : !groups.Contains(worker.Group);
        HashSet<WorkerId> ended = [];
        foreach (Segment segment in Held)
        {
            if (!segment.IsHead || segment.IsSealed)
            {
                continue;
            }

            ended.Clear();
            foreach (TableSegment table in segment.Tables)
            {
                Add(table.Updates);
                Add(table.Deletes);
                table.Aggregation?.Forget(HasEnded);
            }

            if (ended.Count == 0)
            {
                continue;
            }

            foreach (TableSegment table in segment.Tables)
            {
                table.Forget(ended);
            }

            Entries.Forget(segment, ended);
        }

        void Add(Dictionary<WorkerId, LastPush> last)
        {
            foreach (WorkerId worker in last.Keys)
            {
                if (HasEnded(worker))
                {
                    ended.Add(worker);
                }
            }
        }
    }

    public void Dispose()
    {
        foreach (Segment segment in Held)
        {
            segment.Dispose();
        }

        foreach (TableRows rows in _tables.Values)
        {
            rows.Dispose();
        }

        _segments = [];
        _held = [];
        _tables.Clear();
    }
}
