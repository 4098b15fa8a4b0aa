using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The walk over one segment that its head makes for a checkpoint (design R24), slice after slice as the coordinator asks for them: the snapshots of its
/// tables, their last[], admission state and closed iterations, and the log's last number. A slice that was lost on its way is written again.
/// </summary>
internal sealed class CheckpointWalk : IDisposable
{
    /// <summary>Bytes of a slice: below a millisecond of work, so that pushes in between hardly notice.</summary>
    private const int SliceBytes = 512 << 10;

    private readonly NodeState _node;
    private readonly Segment _segment;
    private readonly ulong _number;
    private readonly (TableSegment Table, RowSnapshot Snapshot)[] _tables;
    private FrameBuffer? _last;
    private int _at;
    private int _table;
    private int _written;
    private Part _part;

    /// <summary>What of a table is written next.</summary>
    private enum Part
    {
        Rows,
        Updates,
        Deletes,
        Admission,
        Closed,
    }

    /// <param name="node">The node.</param>
    /// <param name="segment">The segment, whose tables have their snapshots.</param>
    /// <param name="attempt">The coordinator's number of this walk.</param>
    public CheckpointWalk(NodeState node, Segment segment, uint attempt)
    {
        (_node, _segment, Attempt) = (node, segment, attempt);
        _number = segment.Log.Last.Number;
        _tables = [.. segment.Tables.Where(t => t.Snapshot is not null).OrderBy(t => t.Table.Id).Select(t => (t, t.Snapshot!))];
    }

    public uint Attempt { get; }

    /// <summary>The next slice.</summary>
    public ulong Position { get; private set; }

    /// <summary>Everything was written at least once.</summary>
    public bool IsDone { get; private set; }

    /// <summary>A row could not be saved.</summary>
    public bool HasFailed => Array.Exists(_tables, t => t.Snapshot.HasFailed);

    /// <summary>
    /// Writes the next slice, or the last one again. Null where there is none at the moment: what the walk read is not yet acknowledged by the chain's
    /// tail, and a checkpoint has nothing that might still vanish.
    /// </summary>
    public FrameBuffer? Slice(in FrameHeader request, ulong position)
    {
        if (position + 1 == Position && _last is { } again)
        {
            FrameBuffer copy = _node.Outbox.Pool.Rent(again.Length);
            again.Span.CopyTo(copy.Whole);
            return Sealed(copy, again.Length, request);
        }

        if (position != Position || IsDone)
        {
            return null;
        }

        FrameBuffer frame = _node.Outbox.Pool.Rent(FrameBytes());
        _at = FrameHeader.Size + CheckpointSliceHead.Size;
        int empty = _at;
        bool isLast = Fill(frame);
        if (_at == empty)
        {
            frame.Release();
            return null;
        }

        var writer = new ByteWriter(frame.Whole[FrameHeader.Size..]);
        new CheckpointSliceHead(Status.Acked, isLast, (uint)_segment.Index, Attempt, position).Write(ref writer);
        Position++;
        IsDone = isLast;
        _last?.Release();
        _last = Sealed(frame, _at, request).Retain();
        return frame;
    }

    public void Dispose()
    {
        _last?.Release();
        _last = null;
    }

    private FrameBuffer Sealed(FrameBuffer frame, int length, in FrameHeader request)
    {
        frame.Length = length;
        FrameHeader reply = _node.Reply(FrameKind.CheckpointSlice, request);
        reply.Seal(frame.Span);
        return frame;
    }

    /// <summary>A slice has room for one row at least.</summary>
    private int FrameBytes()
    {
        int row = _tables.Select(t => RowBytes(t.Table)).DefaultIfEmpty().Max();
        return Math.Min(FramePool.MaxFrameBytes, Math.Max(SliceBytes, FrameHeader.Size + CheckpointSliceHead.Size + CopyRecord.Size + row + 8));
    }

    private static int RowBytes(TableSegment table) =>
        sizeof(ulong) + (table.Rows.ImageFloats * sizeof(float)) + (table.Rows.KeepsLastClock ? sizeof(uint) : 0);

    /// <summary>True once everything is written.</summary>
    private bool Fill(FrameBuffer frame)
    {
        for (; _table < _tables.Length; _table++)
        {
            while (_part <= Part.Closed)
            {
                if (!Fill(frame, _tables[_table].Table, _tables[_table].Snapshot))
                {
                    return false;
                }

                (_part, _written) = (_part + 1, 0);
            }

            _part = Part.Rows;
        }

        if (_segment.Acknowledged < _number || Room(frame) < LogPosition.Size)
        {
            return false;
        }

        var writer = new ByteWriter(Record(frame, new CopyRecord(CopyRecordKind.End, 0, 1, LogPosition.Size)));
        new LogPosition(_segment.Chain.Epoch, _number).Write(ref writer);
        return true;
    }

    /// <summary>Writes on at one part of a table; false where the slice is full.</summary>
    private bool Fill(FrameBuffer frame, TableSegment table, RowSnapshot snapshot)
    {
        switch (_part)
        {
            case Part.Rows:
                return Rows(frame, table, snapshot);
            case Part.Updates:
                return Last(frame, table, CopyRecordKind.Updates, snapshot.Updates);
            case Part.Deletes:
                return Last(frame, table, CopyRecordKind.Deletes, snapshot.Deletes);
            case Part.Admission when snapshot.Admission.Length > 0:
                if (Room(frame) < snapshot.Admission.Length)
                {
                    return false;
                }

                snapshot.Admission.CopyTo(Record(frame, new CopyRecord(CopyRecordKind.Admission, table.Table.Id, snapshot.Admission.Length, snapshot.Admission.Length)));
                return true;
            case Part.Closed when snapshot.Closed is { } closed:
                if (Room(frame) < sizeof(long))
                {
                    return false;
                }

                var writer = new ByteWriter(Record(frame, new CopyRecord(CopyRecordKind.Closed, table.Table.Id, 1, sizeof(long))));
                writer.Int64(closed);
                return true;
            default:
                return true;
        }
    }

    private bool Rows(FrameBuffer frame, TableSegment table, RowSnapshot snapshot)
    {
        int floats = table.Rows.ImageFloats, rowBytes = RowBytes(table);
        while (!snapshot.IsRead)
        {
            int most = Room(frame) / rowBytes;
            if (most < 1)
            {
                return false;
            }

            // Straight into the frame, as if there were as many as there is room for; fewer are moved together.
            Span<byte> room = frame.Whole.Slice(_at + CopyRecord.Size, most * rowBytes);
            Span<float> images = MemoryMarshal.Cast<byte, float>(room.Slice(most * sizeof(ulong), most * floats * sizeof(float)));
            Span<uint> clocks = _node.Scratch.Clocks(table.Rows.KeepsLastClock ? most : 0);
            int count = snapshot.Read(MemoryMarshal.Cast<byte, ulong>(room[..(most * sizeof(ulong))]), images, clocks);
            if (count > 0)
            {
                images[..(count * floats)].CopyTo(MemoryMarshal.Cast<byte, float>(room.Slice(count * sizeof(ulong), count * floats * sizeof(float))));
                Span<byte> record = Record(frame, new CopyRecord(CopyRecordKind.Rows, table.Table.Id, count, count * rowBytes));
                MemoryMarshal.AsBytes(table.Rows.KeepsLastClock ? clocks[..count] : default).CopyTo(record[(count * (sizeof(ulong) + (floats * sizeof(float))))..]);
            }
        }

        return true;
    }

    private bool Last(FrameBuffer frame, TableSegment table, CopyRecordKind kind, KeyValuePair<WorkerId, LastPush>[] last)
    {
        while (_written < last.Length)
        {
            int count = Math.Min(last.Length - _written, Room(frame) / LastPushRecord.Size);
            if (count < 1)
            {
                return false;
            }

            var writer = new ByteWriter(Record(frame, new CopyRecord(kind, table.Table.Id, count, count * LastPushRecord.Size)));
            foreach ((WorkerId worker, LastPush push) in last.AsSpan(_written, count))
            {
                SegmentRecords.Write(ref writer, worker, push);
            }

            _written += count;
        }

        return true;
    }

    /// <summary>Bytes that a record of this slice may still have.</summary>
    private int Room(FrameBuffer frame) => Math.Max(0, frame.Capacity - _at - CopyRecord.Size - 8) & ~7;

    private Span<byte> Record(FrameBuffer frame, in CopyRecord record)
    {
        int bytes = CopyRecord.Size + PartHeader.Pad8(record.Bytes);
        Span<byte> span = frame.Whole.Slice(_at, bytes);
        var writer = new ByteWriter(span);
        record.Write(ref writer);
        span[(CopyRecord.Size + record.Bytes)..].Clear();
        _at += bytes;
        return span.Slice(CopyRecord.Size, record.Bytes);
    }
}

/// <summary>Where walks read the clocks of rows into, one after another: as long as a slice's longest record.</summary>
internal sealed class WalkScratch
{
    private uint[] _clocks = [];

    public Span<uint> Clocks(int rows)
    {
        _clocks = _clocks.Length < rows ? new uint[rows] : _clocks;
        return _clocks.AsSpan(0, rows);
    }
}
