using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// A copy of one segment in the making at the newcomer (design R17). It takes the frames of its current attempt alone, in order, and is
/// whole once the final slice has come; then it follows the source's log.
/// </summary>
internal sealed class CopyTarget(ulong source, ulong sourceIncarnation, ulong attempt)
{
    private readonly Dictionary<uint, byte[]> _admission = [];
    private readonly Dictionary<uint, int> _admissionBytes = [];

    public ulong Source => source;

    public ulong SourceIncarnation => sourceIncarnation;

    public ulong Attempt => attempt;

    /// <summary>The slice that it waits for.</summary>
    public ulong Position { get; private set; }

    public bool IsWhole { get; private set; }

    /// <summary>Something in it made no sense, or there was no room for it.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>When it last got further.</summary>
    public Instant MovedAt { get; set; }

    /// <summary>When it was last wanted by the manager.</summary>
    public Instant WantedAt { get; set; }

    /// <summary>When the source is asked again.</summary>
    public Instant AskAt { get; set; }

    /// <summary>Takes a slice of this attempt; one that is not the next changes nothing.</summary>
    public void Slice(NodeState node, Segment segment, in CopySliceHead head, ref ByteReader reader)
    {
        if (head.Position != Position || IsWhole || HasFailed)
        {
            return;
        }

        HasFailed = !Records(node, segment, ref reader, out _);
        Position++;
        MovedAt = node.Now;
        IsWhole = head.IsLast && !HasFailed;
    }

    /// <summary>Takes the records of a slice, or of a snapshot in the journal; false where they make no sense or find no room.</summary>
    public bool Records(NodeState node, Segment segment, ref ByteReader reader, out bool hasEnded)
    {
        hasEnded = false;
        while (reader.Left > 0)
        {
            var record = CopyRecord.Read(ref reader);
            ReadOnlySpan<byte> bytes = reader.Take(record.Bytes);
            reader.SkipPadTo8();
            if (reader.Failed || record.Count < 0 || !Take(node, segment, record, bytes))
            {
                return false;
            }

            hasEnded |= record.Kind == CopyRecordKind.End;
        }

        return true;
    }

    private bool Take(NodeState node, Segment segment, in CopyRecord record, ReadOnlySpan<byte> bytes)
    {
        if (record.Kind == CopyRecordKind.End)
        {
            var end = new ByteReader(bytes);
            segment.Log.Skip(LogPosition.Read(ref end));
            segment.Acknowledged = segment.Log.Last.Number;
            return end.AtEnd;
        }

        // A table that a newer map has dropped is no business of anybody any more.
        if (node.Map!.Table(record.Table) is not { } table)
        {
            return true;
        }

        TableSegment rows = node.TableSegment(segment, table);
        switch (record.Kind)
        {
            case CopyRecordKind.Rows:
                return SegmentRecords.Rows(node, segment, rows, record, bytes) == Status.Acked;
            case CopyRecordKind.Gone:
                rows.Rows.Delete(MemoryMarshal.Cast<byte, ulong>(bytes));
                return true;
            case CopyRecordKind.Updates or CopyRecordKind.Deletes:
                return SegmentRecords.Last(rows.Last(record.Kind == CopyRecordKind.Deletes), record, bytes);
            case CopyRecordKind.Admission:
                return Admission(rows, record, bytes);
            case CopyRecordKind.Closed:
                return SegmentRecords.Closed(rows, bytes);
            default:
                return false;
        }
    }

    private bool Admission(TableSegment rows, in CopyRecord record, ReadOnlySpan<byte> bytes)
    {
        uint table = record.Table;
        byte[] state = _admission.GetValueOrDefault(table) ?? [];
        int have = _admissionBytes.GetValueOrDefault(table);
        if (have + bytes.Length > record.Count)
        {
            return false;
        }

        Array.Resize(ref state, have + bytes.Length);
        bytes.CopyTo(state.AsSpan(have));
        (_admission[table], _admissionBytes[table]) = (state, state.Length);
        return state.Length < record.Count || rows.Rows.TryReadAdmissionState(state);
    }
}
