using Weir.Keys;
using Weir.Placement;
using Weir.Store;
using Weir.Wire;

namespace Weir.Server;

/// <summary>What the paths of one node share: its options, its map, the segments it heads, clocks, counters and memory.</summary>
internal sealed class NodeState : IDisposable
{
    private readonly Dictionary<uint, TableRows> _tables = [];
    private Segment?[] _segments = [];

    public NodeState(ServerOptions options, Outbox outbox)
    {
        Options = options;
        Outbox = outbox;
        Budget = new MemoryBudget(options.MemoryLimitBytes, options.Memory);
        KeyLists = new KeyListCache(options.Limits.KeyListBytes);
    }

    public ServerOptions Options { get; }

    public ServerLimits Limits => Options.Limits;

    public Outbox Outbox { get; }

    public MemoryBudget Budget { get; }

    /// <summary>Key lists that peers refer to.</summary>
    public KeyListCache KeyLists { get; }

    /// <summary>References to a list that is kept here, and to lists that are not (any more).</summary>
    public long KeyListHits, KeyListMisses;

    public GroupClocks Clocks { get; } = new();

    /// <summary>The map this node acts on; null until it has read one that names it.</summary>
    public ClusterMap? Map { get; private set; }

    /// <summary>Bytes of contributions held for open iterations.</summary>
    public long HeldBytes { get; set; }

    public NodeCounters Counters;

    public IEnumerable<Segment> Segments => _segments.OfType<Segment>();

    public IReadOnlyDictionary<uint, TableRows> Tables => _tables;

    public Segment? Segment(uint index) => index < (uint)_segments.Length ? _segments[index] : null;

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

    /// <summary>Takes over a newer map: segments, tables and workers that it no longer names are forgotten.</summary>
    public void Adopt(ClusterMap map)
    {
        ClusterMap? older = Map;
        Map = map;
        if (_segments.Length == 0)
        {
            _segments = new Segment?[map.Segments];
        }

        int self = map.IndexOf(Options.Node);
        for (int index = 0; index < map.Segments; index++)
        {
            bool mine = self >= 0 && map.Chains[index].Head == self;
            if (mine && _segments[index] is null)
            {
                _segments[index] = new Segment(index);
            }
            else if (!mine && _segments[index] is { } gone)
            {
                gone.Dispose();
                _segments[index] = null;
            }
        }

        foreach (uint table in _tables.Keys.Where(id => map.Table(id) is null).ToArray())
        {
            foreach (Segment segment in Segments)
            {
                segment.Drop(table);
            }

            _tables.Remove(table, out TableRows? rows);
            rows?.Dispose();
        }

        KeyLists.Drop(list => map.Generation != older?.Generation || map.Table(list.Table) is null || Segment(list.Segment) is null);
        Clocks.Adopt(map);
        if (older is not null
            && (!older.Sessions.AsSpan().SequenceEqual(map.Sessions) || !older.Jobs.Select(j => j.Group).SequenceEqual(map.Jobs.Select(j => j.Group))))
        {
            ForgetEnded(map);
        }

        HeldBytes = Segments.SelectMany(s => s.Tables).Sum(t => t.Aggregation?.HeldBytes ?? 0);
    }

    /// <summary>The rows of a table in a segment that this node heads, created at the first push.</summary>
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

    private void ForgetEnded(ClusterMap map)
    {
        HashSet<ulong> sessions = [.. map.Sessions.Select(s => WorkerId.OfSession(s.Session).Value)];
        HashSet<uint> groups = [.. map.Jobs.Select(j => j.Group)];
        bool Ended(WorkerId worker) => worker.Group == 0 ? !sessions.Contains(worker.Value) : !groups.Contains(worker.Group);
        foreach (TableSegment table in Segments.SelectMany(s => s.Tables))
        {
            table.Forget(Ended);
        }
    }

    public void Dispose()
    {
        foreach (Segment segment in Segments)
        {
            segment.Dispose();
        }

        foreach (TableRows rows in _tables.Values)
        {
            rows.Dispose();
        }

        _segments = [];
        _tables.Clear();
    }
}
