using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Store;
using Weir.Wire;

namespace Weir.Server;

/// <summary>Takes over what somebody wrote of a segment, rows and what de-duplication needs, from a copy (design R17) or a checkpoint (R24).</summary>
internal static class SegmentRecords
{
    /// <summary>Takes over the records of a checkpoint. All keys are checked before the first row is written.</summary>
    /// <param name="node">The node.</param>
    /// <param name="segment">The segment.</param>
    /// <param name="records">The records.</param>
    /// <param name="number">The log number that what is loaded counts as.</param>
    /// <param name="durableOnly">What is of other tables is passed over.</param>
    /// <returns>Malformed where they make no sense here, Full where there is no room.</returns>
    public static Status Load(NodeState node, Segment segment, ReadOnlySpan<byte> records, ulong number, bool durableOnly = false)
    {
        var reader = new ByteReader(records);
        while (reader.Left > 0)
        {
            var record = CopyRecord.Read(ref reader);
            ReadOnlySpan<byte> bytes = reader.Take(record.Bytes);
            reader.SkipPadTo8();
            if (reader.Failed || record.Count < 0)
            {
                return Status.Malformed;
            }

            // A table that was dropped while the checkpoint was written is none of it.
            if (record.Kind == CopyRecordKind.End || node.Map!.Table(record.Table) is not { } table || (durableOnly && !table.Durable))
            {
                continue;
            }

            TableSegment rows = node.TableSegment(segment, table);
            Status status = record.Kind switch
            {
                CopyRecordKind.Rows => Rows(node, segment, rows, record, bytes),
                CopyRecordKind.Updates => Loaded(rows.Updates, record, bytes, number),
                CopyRecordKind.Deletes => Loaded(rows.Deletes, record, bytes, number),
                CopyRecordKind.Admission => rows.Rows.TryReadAdmissionState(bytes) ? Status.Acked : Status.Full,
                CopyRecordKind.Closed => Closed(rows, bytes) ? Status.Acked : Status.Malformed,
                _ => Status.Malformed,
            };
            if (status != Status.Acked)
            {
                return status;
            }
        }

        return Status.Acked;
    }

    /// <summary>Whether records that make sense have any of a durable table.</summary>
    public static bool AreDurable(ClusterMap map, ReadOnlySpan<byte> records)
    {
        var reader = new ByteReader(records);
        bool areDurable = false;
        while (reader.Left > 0 && !areDurable)
        {
            var record = CopyRecord.Read(ref reader);
            reader.Take(record.Bytes);
            reader.SkipPadTo8();
            areDurable = map.Table(record.Table) is { Durable: true };
        }

        return areDurable;
    }

    public static Status Rows(NodeState node, Segment segment, TableSegment rows, in CopyRecord record, ReadOnlySpan<byte> bytes)
    {
        int floats = rows.Rows.ImageFloats;
        long keyBytes = record.Count * (long)sizeof(ulong), imageBytes = record.Count * (long)floats * sizeof(float);
        long clockBytes = rows.Rows.KeepsLastClock ? record.Count * (long)sizeof(uint) : 0;
        if (bytes.Length != keyBytes + imageBytes + clockBytes)
        {
            return Status.Malformed;
        }

        ReadOnlySpan<ulong> keys = MemoryMarshal.Cast<byte, ulong>(bytes[..(int)keyBytes]);
        var range = KeyRange.OfSegment(segment.Index, node.Map!.SegmentBits);
        foreach (ulong key in keys)
        {
            if (!range.Contains(Mix.Of(key)))
            {
                return Status.Malformed;
            }
        }

        ReadOnlySpan<float> images = MemoryMarshal.Cast<byte, float>(bytes.Slice((int)keyBytes, (int)imageBytes));
        return rows.Rows.WriteImages(keys, images, MemoryMarshal.Cast<byte, uint>(bytes[(int)(keyBytes + imageBytes)..])) == StoreResult.Ok ? Status.Acked : Status.Full;
    }

    /// <summary>Takes over entries of last[] as they are.</summary>
    public static bool Last(Dictionary<WorkerId, LastPush> last, in CopyRecord record, ReadOnlySpan<byte> bytes)
    {
        var reader = new ByteReader(bytes);
        for (int i = 0; i < record.Count && !reader.Failed; i++)
        {
            var push = LastPushRecord.Read(ref reader);
            last[push.Worker] = new LastPush(push.Session, push.N, push.Seq, push.Number);
        }

        return reader.AtEnd;
    }

    public static bool Closed(TableSegment rows, ReadOnlySpan<byte> bytes)
    {
        var reader = new ByteReader(bytes);
        rows.Aggregation?.Closed = reader.Int64();
        return rows.Aggregation is not null && reader.AtEnd;
    }

    public static void Write(ref ByteWriter writer, WorkerId worker, in LastPush push) =>
        new LastPushRecord(worker, push.Session, push.N, push.Seq, push.Number).Write(ref writer);

    /// <summary>Of what is loaded the identity of the push stays; its session and n are of another generation, in which the next session begins at 1 (R24).</summary>
    private static Status Loaded(Dictionary<WorkerId, LastPush> last, in CopyRecord record, ReadOnlySpan<byte> bytes, ulong number)
    {
        var reader = new ByteReader(bytes);
        for (int i = 0; i < record.Count && !reader.Failed; i++)
        {
            var push = LastPushRecord.Read(ref reader);
            last[push.Worker] = new LastPush(Session: 0, N: 0, push.Seq, number);
        }

        return reader.AtEnd ? Status.Acked : Status.Malformed;
    }
}
