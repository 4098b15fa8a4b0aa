using Weir.Keys;
using Weir.Placement;
using Weir.Store;

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

    public Dictionary<WorkerId, LastPush> Last(bool deletes) => deletes ? Deletes : Updates;

    /// <summary>Forgets workers that have ended in the map (design R7).</summary>
    public void Forget(Func<WorkerId, bool> ended)
    {
        foreach (Dictionary<WorkerId, LastPush> last in (ReadOnlySpan<Dictionary<WorkerId, LastPush>>)[Updates, Deletes])
        {
            foreach (WorkerId worker in last.Keys.Where(ended).ToArray())
            {
                last.Remove(worker);
            }
        }

        Aggregation?.Forget(ended);
    }

    public void Dispose() => Rows.Dispose();
}

/// <summary>One segment that this node heads: its tables and the number of its last log entry.</summary>
internal sealed class Segment(int index) : IDisposable
{
    private readonly Dictionary<uint, TableSegment> _tables = [];

    public int Index { get; } = index;

    /// <summary>Numbers of log entries rise over all tables of the segment (design R15).</summary>
    public ulong LastNumber { get; private set; }

    public IReadOnlyCollection<TableSegment> Tables => _tables.Values;

    public ulong NextNumber() => ++LastNumber;

    /// <summary>
    /// Takes rows out by name, as one entry of the segment's log, and gives its number. Every deletion is one of these, whether a client
    /// asked for it or the head found rows that have grown old: who copies the entries need not know.
    /// </summary>
    public ulong Delete(TableSegment table, ReadOnlySpan<ulong> keys)
    {
        table.Rows.Delete(keys);
        return NextNumber();
    }

    public TableSegment? Find(uint table) => _tables.GetValueOrDefault(table);

    public void Add(TableSegment table) => _tables.Add(table.Table.Id, table);

    public void Drop(uint table)
    {
        if (_tables.Remove(table, out TableSegment? gone))
        {
            gone.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (TableSegment table in _tables.Values)
        {
            table.Dispose();
        }

        _tables.Clear();
    }
}
