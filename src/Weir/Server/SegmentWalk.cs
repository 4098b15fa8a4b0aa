using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Store;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// A walk over one segment while it serves (design R17, R23): rows in <c>Mix</c> order, table by table. A row that changes in what was already
/// written is written again as it is then, so that whoever reads the records evaluates nothing; last[], admission state, closed iterations and
/// the log's position come at the end, all of one moment.
/// </summary>
internal abstract class SegmentWalk(Segment segment, bool durableOnly)
{
    /// <summary>Bytes of a slice: some hundred microseconds of work, so that pushes in between hardly notice.</summary>
    protected const int SliceBytes = 256 << 10;

    private readonly Dictionary<uint, HashSet<ulong>> _touched = [];
    private uint _table;
    private ulong _fromMixed;

    /// <summary>All rows were written once; those that changed since are in part still to come.</summary>
    protected bool AreRowsDone { get; private set; }

    /// <summary>Everything was written: what changes from now on is not seen.</summary>
    protected bool IsOver { get; private set; }

    /// <summary>Bytes that the slice in the making still takes.</summary>
    protected abstract int Room { get; }

    private IEnumerable<TableSegment> Tables => segment.Tables.Where(t => !durableOnly || t.Table.Durable);

    /// <summary>Rows that were just changed: those already written come again.</summary>
    public void Touched(uint table, ReadOnlySpan<ulong> keys)
    {
        if (IsOver || (table > _table && !AreRowsDone))
        {
            return;
        }

        HashSet<ulong>? touched = null;
        foreach (ulong key in keys)
        {
            if (table < _table || AreRowsDone || Mix.Of(key) < _fromMixed)
            {
                touched ??= TouchedOf(table);
                touched.Add(key);
            }
        }
    }

    /// <summary>Room for a record's bytes, which the caller fills at once.</summary>
    protected abstract Span<byte> Record(in CopyRecord record);

    /// <summary>Writes a slice of rows.</summary>
    protected void WriteSlice()
    {
        WriteTouched();
        if (Room > 0)
        {
            WriteRows();
        }
    }

    /// <summary>What nobody can have from rows and entries, all of one moment; from then on the log follows.</summary>
    /// <param name="end">Where the log stands, as the reader of the records is to know it.</param>
    protected void WriteEnd(LogPosition end)
    {
        WriteTouched();
        foreach (TableSegment table in Tables.OrderBy(t => t.Table.Id))
        {
            WriteLast(table, CopyRecordKind.Updates, table.Updates);
            WriteLast(table, CopyRecordKind.Deletes, table.Deletes);
            WriteAdmission(table);
            if (table.Aggregation is { } aggregation)
            {
                Span<byte> closed = Record(new CopyRecord(CopyRecordKind.Closed, table.Table.Id, 1, sizeof(long)));
                var writer = new ByteWriter(closed);
                writer.Int64(aggregation.Closed);
            }
        }

        var last = new ByteWriter(Record(new CopyRecord(CopyRecordKind.End, 0, 1, LogPosition.Size)));
        end.Write(ref last);
        IsOver = true;
    }

    private HashSet<ulong> TouchedOf(uint table)
    {
        if (!_touched.TryGetValue(table, out HashSet<ulong>? keys))
        {
            keys = [];
            _touched.Add(table, keys);
        }

        return keys;
    }

    private void WriteRows()
    {
        TableSegment? table = null;
        foreach (TableSegment candidate in Tables)
        {
            table = candidate.Table.Id >= _table && (table is null || candidate.Table.Id < table.Table.Id) ? candidate : table;
        }

        if (table is null)
        {
            AreRowsDone = true;
            return;
        }

        if (table.Table.Id > _table)
        {
            (_table, _fromMixed) = (table.Table.Id, 0);
        }

        int floats = table.Rows.ImageFloats, clockBytes = table.Rows.KeepsLastClock ? sizeof(uint) : 0;
        int rowBytes = sizeof(ulong) + (floats * sizeof(float)) + clockBytes;

        // Most segments are smaller than a slice: room for as many rows as their index has places lets one scan see all of it.
        int most = (int)Math.Min(Math.Max(1, Room / rowBytes), (table.Rows.IndexBytes / Slot.Bytes) + 1);
        ulong[] keys = new ulong[most];
        float[] images = new float[most * floats];
        uint[] clocks = new uint[clockBytes == 0 ? 0 : most];
        int count = table.Rows.ScanImages(_fromMixed, keys, images, clocks, out ulong next, out bool done);
        WriteImages(table, keys.AsSpan(0, count), images.AsSpan(0, count * floats), clocks.AsSpan(0, clockBytes == 0 ? 0 : count));
        (_table, _fromMixed) = done ? (_table + 1, 0) : (_table, next);
    }

    private void WriteImages(TableSegment table, ReadOnlySpan<ulong> keys, ReadOnlySpan<float> images, ReadOnlySpan<uint> clocks)
    {
        if (keys.IsEmpty)
        {
            return;
        }

        Span<byte> record = Record(new CopyRecord(
            CopyRecordKind.Rows, table.Table.Id, keys.Length, (keys.Length * sizeof(ulong)) + (images.Length * sizeof(float)) + (clocks.Length * sizeof(uint))));
        var writer = new ByteWriter(record);
        writer.Raw(MemoryMarshal.AsBytes(keys));
        writer.Raw(MemoryMarshal.AsBytes(images));
        writer.Raw(MemoryMarshal.AsBytes(clocks));
    }

    private void WriteTouched()
    {
        foreach ((uint id, HashSet<ulong> touched) in _touched)
        {
            if (segment.Find(id) is not { } table || (durableOnly && !table.Table.Durable))
            {
                continue;
            }

            int floats = table.Rows.ImageFloats;
            int most = Math.Max(1, SliceBytes / (sizeof(ulong) + (floats * sizeof(float)) + sizeof(uint)));
            foreach (ulong[] some in touched.Chunk(most))
            {
                List<ulong> keys = [], gone = [];
                float[] images = new float[some.Length * floats];
                uint[] clocks = new uint[some.Length];
                foreach (ulong key in some)
                {
                    bool exists = table.Rows.TryReadImage(key, images.AsSpan(keys.Count * floats, floats), clocks.AsSpan(keys.Count, 1));
                    (exists ? keys : gone).Add(key);
                }

                WriteImages(table, CollectionsMarshal.AsSpan(keys), images.AsSpan(0, keys.Count * floats), table.Rows.KeepsLastClock ? clocks.AsSpan(0, keys.Count) : default);
                if (gone.Count > 0)
                {
                    Span<byte> record = Record(new CopyRecord(CopyRecordKind.Gone, id, gone.Count, gone.Count * sizeof(ulong)));
                    MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(gone)).CopyTo(record);
                }
            }
        }

        _touched.Clear();
    }

    private void WriteLast(TableSegment table, CopyRecordKind kind, Dictionary<WorkerId, LastPush> last)
    {
        foreach (KeyValuePair<WorkerId, LastPush>[] some in last.OrderBy(l => l.Key.Value).Chunk(SliceBytes / LastPushRecord.Size))
        {
            var writer = new ByteWriter(Record(new CopyRecord(kind, table.Table.Id, some.Length, some.Length * LastPushRecord.Size)));
            foreach ((WorkerId worker, LastPush push) in some)
            {
                SegmentRecords.Write(ref writer, worker, push);
            }
        }
    }

    private void WriteAdmission(TableSegment table)
    {
        byte[] state = new byte[table.Rows.AdmissionStateBytes];
        table.Rows.WriteAdmissionState(state);
        for (int at = 0; at < state.Length; at += SliceBytes)
        {
            // Count says how many bytes the whole state has.
            ReadOnlySpan<byte> piece = state.AsSpan(at, Math.Min(SliceBytes, state.Length - at));
            piece.CopyTo(Record(new CopyRecord(CopyRecordKind.Admission, table.Table.Id, state.Length, piece.Length)));
        }
    }
}
