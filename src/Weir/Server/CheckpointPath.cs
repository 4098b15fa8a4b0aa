using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// A node's part in checkpoints (design R24): as head of a segment it lets the coordinator read it as of one moment, tables that aggregate as of one
/// iteration; and while a checkpoint is loaded it takes the coordinator's records as entries of the log, so that the chain has them too.
/// </summary>
internal sealed class CheckpointPath(NodeState node)
{
    /// <summary>Walks at a time: each keeps a slice.</summary>
    private const int MostWalks = 64;

    private readonly List<Segment> _walked = [];
    private ulong _id;

    /// <summary>A map: what was under way for another checkpoint than the one that it names ends.</summary>
    public void Adopt()
    {
        ulong id = node.Map!.Checkpoint is { IsRestore: false } open ? open.Id : 0;
        if (id == _id)
        {
            _walked.RemoveAll(s => s.Walk is null);
            return;
        }

        _id = id;
        foreach (Segment segment in node.Held)
        {
            segment.EndWalk();
        }

        _walked.Clear();
    }

    /// <summary>False where the body makes no sense.</summary>
    public bool Handle(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        if (header.Kind == FrameKind.RestoreRows)
        {
            return Load(link, header, body);
        }

        if (!CheckpointReadBody.TryRead(body, out CheckpointReadBody read))
        {
            return false;
        }

        Status status = Read(read, header, out FrameBuffer? slice, out string text);
        if (slice is not null)
        {
            node.Outbox.SendBulk(link, slice);
            return true;
        }

        Refuse(link, header, read, status, text);
        return true;
    }

    /// <summary>Answers with one status, unread: a frame that this node may not act on.</summary>
    public void Refuse(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body, Status status)
    {
        if (header.Kind == FrameKind.RestoreRows)
        {
            Reply(link, header, null, status, "");
        }
        else if (CheckpointReadBody.TryRead(body, out CheckpointReadBody read))
        {
            Refuse(link, header, read, status, "");
        }
    }

    private void Refuse(LinkId link, in FrameHeader header, in CheckpointReadBody read, Status status, string text) => node.Outbox.Send(
        link, node.Reply(FrameKind.CheckpointSlice, header), new CheckpointRefusal(new CheckpointSliceHead(status, false, read.Segment, read.Attempt, read.Position), text));

    private Status Read(in CheckpointReadBody read, in FrameHeader header, out FrameBuffer? slice, out string text)
    {
        slice = null;
        text = "";
        if (node.Map!.Checkpoint is not { IsRestore: false } open || open.Id != read.Id)
        {
            text = "the checkpoint has ended: its coordinator was silent, or began another";
            return Status.Ended;
        }

        if (node.Headed(read.Segment) is not { } segment)
        {
            return Status.NotOwner;
        }

        if (segment.Walk?.Attempt != read.Attempt)
        {
            Status begun = read.Position > 0 || read.Attempt < segment.Walk?.Attempt ? Status.Conflict : Begin(open, segment, read.Attempt, out text);
            if (begun != Status.Acked)
            {
                return begun;
            }
        }

        CheckpointWalk walk = segment.Walk!;
        if (walk.HasFailed)
        {
            text = $"the memory limit of {node.Budget.Limit} bytes at {node.Options.Address} leaves no room for the old values of rows that change while a checkpoint is written";
            return Status.Full;
        }

        slice = walk.Slice(header, read.Position);
        if (walk.IsDone)
        {
            segment.EndSnapshots();
        }

        return Status.Busy;
    }

    /// <summary>
    /// A walk begins: tables that aggregate were cut when all workers were through with the iteration agreed on, or are now, where they have not
    /// gone on; all others are cut at this moment.
    /// </summary>
    private Status Begin(MapCheckpoint open, Segment segment, uint attempt, out string text)
    {
        text = "";
        if (Array.Find(node.Map!.Tables, t => t.IsLost) is { } lost)
        {
            text = CheckpointChanges.LostText(lost);
            return Status.StateLost;
        }

        _walked.RemoveAll(s => s.Walk is null or { IsDone: true });
        if (_walked.Count >= MostWalks && segment.Walk is null)
        {
            text = "other segments are walked first";
            return Status.Busy;
        }

        // One that nobody has pushed to yet may be pushed to before the iteration that it is cut at has closed.
        foreach (MapTable table in node.Map!.Tables.Where(t => t.Aggregate && open.CutOf(t.Group) is not null))
        {
            node.TableSegment(segment, table);
        }

        foreach (TableSegment table in segment.Tables)
        {
            if (table.Aggregation is not null && open.CutOf(table.Table.Group) is { } cut && node.Clocks.Group(table.Table.Group) is { } clocks)
            {
                if (!IsSettled(table, cut, clocks))
                {
                    text = cut.Iteration == MapWorker.Undecided
                        ? "the hosts of the workers have not all said how far they have begun"
                        : $"iteration {cut.Iteration} of table {table.Table.Name} has not closed: {node.Clocks.Waiting(table.Table.Group, cut.Iteration)}";
                    return Status.Busy;
                }

                if (table.Snapshot is { HasBegun: true } || (table.Snapshot is null && table.Aggregation.Closed > cut.Iteration))
                {
                    text = $"table {table.Table.Name} has gone on beyond iteration {cut.Iteration} in segment {segment.Index}, whose head is another than before";
                    return Status.Conflict;
                }
            }
        }

        foreach (TableSegment table in segment.Tables)
        {
            if (table.Snapshot is null || table.Aggregation is null || open.CutOf(table.Table.Group) is null || node.Clocks.Group(table.Table.Group) is null)
            {
                table.TakeSnapshot(node.Budget);
            }
        }

        segment.Walk?.Dispose();
        segment.Walk = new CheckpointWalk(node, segment, attempt);
        _walked.Remove(segment);
        _walked.Add(segment);
        return Status.Acked;
    }

    /// <summary>Everything through the iteration agreed on is in the rows of a table that aggregates.</summary>
    private static bool IsSettled(TableSegment table, MapCut cut, VectorClock clocks)
    {
        Aggregation aggregation = table.Aggregation!;
        return cut.Iteration != MapWorker.Undecided
            && (aggregation.Closed >= cut.Iteration || (aggregation.MayClose(clocks) >= cut.Iteration && aggregation.Open.Keys.All(t => t > cut.Iteration)));
    }

    private bool Load(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        if (!RestoreRowsBody.TryReadHead(ref reader, out ulong id, out uint index))
        {
            return false;
        }

        Segment? segment = node.Headed(index);
        Status status = Load(id, segment, reader.Take(reader.Left), out string text);
        Reply(link, header, segment, status, text);
        return true;
    }

    private void Reply(LinkId link, in FrameHeader header, Segment? segment, Status status, string text) => node.Outbox.Send(
        link, node.Reply(FrameKind.RestoreReply, header), new RestoreReplyBody(status, segment?.Name ?? 0, segment?.Log.Last.Number ?? 0, segment is null ? 0 : Stands(segment), text));

    /// <summary>The last entry that every member has, and has flushed where it is of durable tables.</summary>
    private static ulong Stands(Segment segment) => segment.LastDurable.Number > segment.Flushed ? segment.Flushed : segment.Acknowledged;

    private Status Load(ulong id, Segment? segment, ReadOnlySpan<byte> records, out string text)
    {
        text = "";
        if (node.Map!.Checkpoint is not { IsRestore: true } open || open.Id != id)
        {
            // A record that comes late must not undo what was pushed since.
            text = "this checkpoint is not being loaded";
            return Status.Conflict;
        }

        if (segment is null)
        {
            return Status.NotOwner;
        }

        if (records.IsEmpty)
        {
            return Status.Acked;
        }

        if (segment.IsSealed || node.LogBytes.Total > node.Limits.LogBytes || node.Journal is { IsFull: true })
        {
            return Status.Busy;
        }

        Status status = (ulong)records.Length * 2 > segment.RoomBelow ? Status.Full : SegmentRecords.Load(node, segment, records, segment.Log.Last.Number + 1);
        if (status == Status.Acked)
        {
            Touch(segment, records);
            node.Entries.Load(segment, records);
        }
        else
        {
            text = status == Status.Full ? $"there is no room for the rows of the checkpoint: the memory limit of a server is reached ({node.Budget.Limit} bytes at {node.Options.Address})"
                : $"records for segment {segment.Index} make no sense";
        }

        return status;
    }

    /// <summary>Rows were just loaded: whoever walks over them writes them again.</summary>
    public static void Touch(Segment segment, ReadOnlySpan<byte> records)
    {
        if (segment is { Copy: null, Snapshot: null })
        {
            return;
        }

        var reader = new ByteReader(records);
        while (reader.Left > 0)
        {
            var record = CopyRecord.Read(ref reader);
            ReadOnlySpan<byte> bytes = reader.Take(record.Bytes);
            reader.SkipPadTo8();
            if (record.Kind == CopyRecordKind.Rows)
            {
                segment.Touched(record.Table, System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(bytes[..(record.Count * sizeof(ulong))]));
            }
        }
    }
}
