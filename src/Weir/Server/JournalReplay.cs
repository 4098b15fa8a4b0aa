using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Reads what earlier starts of the node wrote into its journal, and brings each segment to the last entry that stands there (design R5). It needs
/// a map at least as new as the one that the journal was written under, for what tables are. Not thread-safe.
/// </summary>
internal sealed class JournalReplay(NodeState node, IJournal journal)
{
    /// <summary>Bytes read in a turn, at least: some milliseconds of work, so that the node answers in between.</summary>
    private const int TurnBytes = 4 << 20;

    private readonly EntryApplication _application = new(node, durableOnly: true);
    private readonly Dictionary<uint, (Segment Segment, CopyTarget Records)> _snapshots = [];
    private ReadOnlyMemory<byte> _block;
    private int _at;
    private ulong _generation;

    /// <summary>Why the journal cannot be read; null while all is well.</summary>
    public string? Fault { get; private set; }

    /// <summary>The version of the map without which it cannot go on.</summary>
    public ulong Needs { get; private set; }

    /// <summary>Reads on. True once all was read, or nothing more can be.</summary>
    public bool ReadOn()
    {
        int read = 0;
        while (read < TurnBytes)
        {
            if (_at == _block.Length)
            {
                if (!journal.TryRead(out _block))
                {
                    End();
                    return true;
                }

                (_at, read) = (0, read + _block.Length);
            }

            var reader = new ByteReader(_block.Span[_at..]);
            var record = JournalRecord.Read(ref reader);
            ReadOnlySpan<byte> bytes = reader.Take(record.Bytes);
            reader.SkipPadTo8();
            if (reader.Failed)
            {
                Fault = "a record of the journal makes no sense to this version: was it written by a newer one?";
                return true;
            }

            if (record.Kind == JournalRecordKind.Map && record.Position.Number > node.Map!.Version)
            {
                Needs = record.Position.Number;
                return false;
            }

            if (record.Kind == JournalRecordKind.Map)
            {
                _generation = record.Position.Epoch;
            }

            // What came before the first map of a part is in the snapshots that follow.
            bool isOver = _generation < node.Map!.Generation;
            if (!isOver && (record.Segment >= node.Map.Segments || !Take(record, bytes)))
            {
                Fault ??= $"entry {record.Position} of segment {record.Segment} in the journal could not be applied: {(node.Budget.Used > node.Budget.Limit / 2 ? "its rows do not fit the memory limit" : "it makes no sense to this version")}";
                return true;
            }

            _at += reader.Position;
        }

        return false;
    }

    /// <summary>What was read is of a generation that is over.</summary>
    public void EndGeneration() => ForgetAll();

    private bool Take(in JournalRecord record, ReadOnlySpan<byte> bytes)
    {
        switch (record.Kind)
        {
            case JournalRecordKind.Entry:
                Segment segment = node.Back(record.Segment);
                if (!_application.Apply(segment, record.Entry, bytes, record.Position.Number))
                {
                    return false;
                }

                segment.Log.Skip(record.Position);
                return true;
            case JournalRecordKind.Gone:
                Forget(record.Segment);
                node.Replace(record.Segment, null);
                return true;
            case JournalRecordKind.Snapshot:
                Forget(record.Segment);
                _snapshots.Add(record.Segment, (node.New((int)record.Segment, isBack: true), new CopyTarget(0, 0, 0)));
                return true;
            case JournalRecordKind.Slice:
                return Slice(record.Segment, bytes);
            default:
                return true;
        }
    }

    private bool Slice(uint index, ReadOnlySpan<byte> bytes)
    {
        if (!_snapshots.TryGetValue(index, out (Segment Segment, CopyTarget Records) snapshot))
        {
            // Its beginning went with an older part: what is whole came later, or before it.
            return true;
        }

        var reader = new ByteReader(bytes);
        if (!snapshot.Records.Records(node, snapshot.Segment, ref reader, out bool hasEnded))
        {
            return false;
        }

        if (hasEnded)
        {
            _snapshots.Remove(index);
            node.Replace(index, snapshot.Segment);
        }

        return true;
    }

    private void Forget(uint index)
    {
        if (_snapshots.Remove(index, out (Segment Segment, CopyTarget Records) begun))
        {
            begun.Segment.Dispose();
        }
    }

    private void ForgetAll()
    {
        foreach (uint index in _snapshots.Keys.ToArray())
        {
            Forget(index);
        }
    }

    private void End()
    {
        ForgetAll();
        foreach (Segment segment in node.Held.Where(s => s.IsBack))
        {
            segment.LastDurable = segment.Log.Last;

            // None of it is kept for those behind: who has not exactly this comes in anew.
            segment.Acknowledged = segment.Log.Last.Number;
        }
    }
}
