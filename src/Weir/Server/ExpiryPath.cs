using Weir.Placement;
using Weir.Store;

namespace Weir.Server;

/// <summary>
/// Takes the rows out that nobody has pushed for as long as their table says. The head alone looks for them, a bounded stretch at each
/// tick, and deletes what it found by name, so that nobody else has to agree on how far it came. A walk over a table begins when the
/// smallest clock of its group has risen since the last one began.
/// </summary>
internal sealed class ExpiryPath(NodeState node)
{
    /// <summary>Index entries to look at in a tick, a third of a millisecond: ten million rows are seen through in seconds.</summary>
    private const int SlotsATick = 1 << 15;

    /// <summary>What is looked at before what was found is deleted.</summary>
    private const int SlotsAStep = 1 << 11;

    /// <summary>What one deletion counts for, and what a segment by itself: so that a tick is bounded, whatever it finds.</summary>
    private const int SlotsADeletion = 8;
    private const int SlotsASegment = 8;

    private readonly ulong[] _old = new ulong[256];

    // By table: rows of an older clock than this are gone.
    private readonly Dictionary<uint, long> _goneBelow = [];
    private ulong _mapVersion;
    private uint _generation;
    private Walk? _walk;

    private sealed class Walk(uint table, long below)
    {
        public uint Table { get; } = table;

        public long Below { get; } = below;

        public uint Segment { get; set; }

        public ulong FromMixed { get; set; }
    }

    public void Tick()
    {
        if (node.Map is not { IsRestoring: false } map)
        {
            return;
        }

        if (map.Version != _mapVersion)
        {
            _mapVersion = map.Version;
            ForgetTables(map);
        }

        for (int slots = SlotsATick; slots > 0 && (_walk ??= Begin(map)) is { } walk;)
        {
            if (walk.Segment == map.Segments)
            {
                _goneBelow[walk.Table] = walk.Below;
                _walk = null;
            }
            else
            {
                slots -= Step(walk);
            }
        }
    }

    private void ForgetTables(ClusterMap map)
    {
        if (_generation != map.Generation)
        {
            _generation = map.Generation;
            _goneBelow.Clear();
            _walk = null;
        }

        foreach (uint table in _goneBelow.Keys.Where(id => map.Table(id) is null).ToArray())
        {
            _goneBelow.Remove(table);
        }

        _walk = _walk is not null && map.Table(_walk.Table) is null ? null : _walk;
    }

    /// <summary>A walk over the table whose clocks have risen furthest since its last one began; null where none has.</summary>
    private Walk? Begin(ClusterMap map)
    {
        Walk? next = null;
        long most = 0;
        foreach (MapTable table in map.Tables)
        {
            // Where all workers have finished or the job has ended, no clock rises any more and nothing grows older.
            if (table.Lifetime.ExpireAfterClocks is { } clocks && node.Clocks.Minimum(table.Group) is > 0 and < long.MaxValue and long minimum)
            {
                long below = minimum - clocks, risen = below - _goneBelow.GetValueOrDefault(table.Id);
                if (risen > most)
                {
                    (next, most) = (new Walk(table.Id, below), risen);
                }
            }
        }

        return next;
    }

    /// <summary>Looks at a stretch of one segment, and says what it cost.</summary>
    private int Step(Walk walk)
    {
        if (node.Headed(walk.Segment) is not { IsSealed: false } segment || segment.Find(walk.Table) is not { } table)
        {
            walk.Segment++;
            return SlotsASegment;
        }

        int found = table.Rows.FindOlderThan(walk.Below, walk.FromMixed, SlotsAStep, _old, out ulong next, out bool done);
        if (found > 0)
        {
            // By name, as one entry of the segment's log.
            table.Snapshot?.Save(_old.AsSpan(0, found));
            table.Rows.Delete(_old.AsSpan(0, found));
            segment.Touched(walk.Table, _old.AsSpan(0, found));
            node.Entries.Expiry(segment, table.Table, _old.AsSpan(0, found));
        }

        (walk.Segment, walk.FromMixed) = done ? (walk.Segment + 1, 0) : (walk.Segment, next);
        return SlotsASegment + (int)Math.Min(SlotsAStep, table.Rows.IndexBytes / Slot.Bytes) + (found * SlotsADeletion);
    }
}
