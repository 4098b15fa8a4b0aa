using Weir.Keys;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// Writes the durable tables of one segment into the journal while it serves, so that what the journal says of it before may go (design R23). Entries
/// that are journalled meanwhile are contained; whoever reads the journal applies them to what it had before, and forgets that once this is whole.
/// </summary>
internal sealed class SnapshotWalk(JournalPath journal, Segment segment) : SegmentWalk(segment, durableOnly: true)
{
    private readonly Segment _segment = segment;
    private bool _hasBegun;

    /// <summary>Everything stands in the journal's group.</summary>
    public bool IsWritten => IsOver;

    protected override int Room => SliceBytes;

    /// <summary>Writes one slice more.</summary>
    public void Advance()
    {
        if (!_hasBegun)
        {
            _hasBegun = true;
            journal.Write(new JournalRecord(JournalRecordKind.Snapshot, default, (uint)_segment.Index, default, 0));
        }

        if (AreRowsDone)
        {
            // Entries of other tables are not in the journal: where the segment stands there is where its last durable one does.
            WriteEnd(_segment.LastDurable);
        }
        else
        {
            WriteSlice();
        }
    }

    protected override Span<byte> Record(in CopyRecord record)
    {
        int bytes = CopyRecord.Size + PartHeader.Pad8(record.Bytes);
        Span<byte> span = journal.Write(new JournalRecord(JournalRecordKind.Slice, default, (uint)_segment.Index, default, bytes));
        var writer = new ByteWriter(span);
        record.Write(ref writer);
        span[(CopyRecord.Size + record.Bytes)..].Clear();
        return span.Slice(CopyRecord.Size, record.Bytes);
    }
}
