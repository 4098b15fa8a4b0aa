using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// A copy of one segment that its tail makes for a newcomer (design R17): rows in <c>Mix</c> order, table by table, slice after slice on
/// one stream, while the segment serves. A row that changes in what was already sent is sent again as it is then, so that the newcomer
/// evaluates nothing; last[], admission state and closed iterations go with the final slices, and the log follows from there.
/// </summary>
internal sealed class CopySource(NodeState node, Segment segment, ulong newcomer, ulong newcomerIncarnation, ulong attempt, LinkId link) : IDisposable
{
    /// <summary>Bytes of a slice: some hundred microseconds of work, so that pushes in between hardly notice.</summary>
    private const int SliceBytes = 256 << 10;

    /// <summary>Slices on their way.</summary>
    private const int Window = 4;

    private readonly Queue<(ulong Position, FrameBuffer Frame)> _sent = [];
    private readonly Dictionary<uint, HashSet<ulong>> _touched = [];
    private FrameBuffer? _frame;
    private int _at;
    private ulong _position;
    private uint _table;
    private ulong _fromMixed;
    private bool _rowsDone;
    private Instant _resendAt;

    public ulong Newcomer => newcomer;

    public ulong NewcomerIncarnation => newcomerIncarnation;

    public ulong Attempt => attempt;

    public LinkId Link => link;

    /// <summary>Everything was sent; the log's entries follow from here.</summary>
    public bool IsSent { get; private set; }

    /// <summary>The newcomer has everything.</summary>
    public bool IsDone => IsSent && _sent.Count == 0;

    /// <summary>When the newcomer was last heard.</summary>
    public Instant HeardAt { get; private set; } = node.Now;

    /// <summary>Rows that were just changed: those already sent go again.</summary>
    public void Touched(uint table, ReadOnlySpan<ulong> keys)
    {
        if (IsSent || (table > _table && !_rowsDone))
        {
            return;
        }

        HashSet<ulong>? touched = null;
        foreach (ulong key in keys)
        {
            if (table < _table || _rowsDone || Mix.Of(key) < _fromMixed)
            {
                touched ??= Touched(table);
                touched.Add(key);
            }
        }
    }

    public void Heard(ulong position)
    {
        HeardAt = node.Now;
        while (_sent.TryPeek(out (ulong Position, FrameBuffer Frame) first) && first.Position < position)
        {
            _sent.Dequeue().Frame.Release();
            _resendAt = node.Now.AfterMs(node.Limits.ResendMs);
        }
    }

    /// <summary>Sends what the window and the link let go.</summary>
    public void Advance()
    {
        if (_sent.Count > 0 && _resendAt <= node.Now)
        {
            _resendAt = node.Now.AfterMs(node.Limits.ResendMs);
            foreach ((_, FrameBuffer frame) in _sent)
            {
                node.Outbox.SendBulk(link, frame.Retain());
            }
        }

        while (!IsSent && _sent.Count < Window && node.Outbox.HasRoom(link))
        {
            if (_rowsDone)
            {
                Finish();
            }
            else
            {
                WriteTouched();
                if (_frame is null || _at < SliceBytes)
                {
                    WriteRows();
                }

                Send(isLast: false);
            }
        }
    }

    public void Dispose()
    {
        foreach ((_, FrameBuffer frame) in _sent)
        {
            frame.Release();
        }

        _sent.Clear();
        _frame?.Release();
        _frame = null;
    }

    private HashSet<ulong> Touched(uint table)
    {
        if (!_touched.TryGetValue(table, out HashSet<ulong>? keys))
        {
            keys = [];
            _touched.Add(table, keys);
        }

        return keys;
    }

    /// <summary>What the newcomer cannot have from rows and entries, all of one moment; from then on the log follows.</summary>
    private void Finish()
    {
        WriteTouched();
        foreach (TableSegment table in segment.Tables.OrderBy(t => t.Table.Id))
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

        Span<byte> end = Record(new CopyRecord(CopyRecordKind.End, 0, 1, LogPosition.Size));
        var last = new ByteWriter(end);
        segment.Log.Last.Write(ref last);
        Send(isLast: true);
        IsSent = true;
    }

    private void WriteRows()
    {
        TableSegment? table = null;
        foreach (TableSegment candidate in segment.Tables)
        {
            table = candidate.Table.Id >= _table && (table is null || candidate.Table.Id < table.Table.Id) ? candidate : table;
        }

        if (table is null)
        {
            _rowsDone = true;
            return;
        }

        if (table.Table.Id > _table)
        {
            (_table, _fromMixed) = (table.Table.Id, 0);
        }

        int floats = table.Rows.ImageFloats, clockBytes = table.Rows.KeepsLastClock ? sizeof(uint) : 0;
        int rowBytes = sizeof(ulong) + (floats * sizeof(float)) + clockBytes;
        int most = Math.Max(1, (SliceBytes - (_frame is null ? 0 : _at)) / rowBytes);
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
            if (segment.Find(id) is not { } table)
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
        foreach (KeyValuePair<WorkerId, LastPush>[] some in last.OrderBy(l => l.Key.Value).Chunk(SliceBytes / SegmentRecords.LastPushBytes))
        {
            var writer = new ByteWriter(Record(new CopyRecord(kind, table.Table.Id, some.Length, some.Length * SegmentRecords.LastPushBytes)));
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

    /// <summary>Room for a record, in a frame of its own where this one is full.</summary>
    private Span<byte> Record(in CopyRecord record)
    {
        int bytes = CopyRecord.Size + PartHeader.Pad8(record.Bytes);
        if (_frame is not null && _at + bytes > _frame.Capacity)
        {
            Send(isLast: false);
        }

        if (_frame is null)
        {
            _at = FrameHeader.Size + CopySliceHead.Size;
            _frame = node.Outbox.Pool.Rent(Math.Min(FramePool.MaxFrameBytes, Math.Max(_at + bytes, SliceBytes + 4096)));
        }

        Span<byte> span = _frame.Whole.Slice(_at, bytes);
        var writer = new ByteWriter(span);
        record.Write(ref writer);
        span[(CopyRecord.Size + record.Bytes)..].Clear();
        _at += bytes;
        return span.Slice(CopyRecord.Size, record.Bytes);
    }

    private void Send(bool isLast)
    {
        if (_frame is not { } frame)
        {
            return;
        }

        _frame = null;
        frame.Length = _at;
        var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
        new CopySliceHead(node.Options.Node, node.Options.Incarnation, (uint)segment.Index, isLast, attempt, newcomerIncarnation, _position).Write(ref writer);
        node.Header(FrameKind.CopySlice).Seal(frame.Span);
        _sent.Enqueue((_position++, frame));
        _resendAt = node.Now.AfterMs(node.Limits.ResendMs);
        node.Outbox.SendBulk(link, frame.Retain());
    }
}
