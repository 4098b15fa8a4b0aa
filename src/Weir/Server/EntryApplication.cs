using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Store;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// Applies an entry that the head decided to this member's rows and last[] (design R15, R19): the same arithmetic in the same order, so
/// that members agree bit for bit.
/// </summary>
/// <param name="node">The node.</param>
/// <param name="durableOnly">Of what is loaded only rows of durable tables are taken over: the entries are out of a journal.</param>
internal sealed class EntryApplication(NodeState node, bool durableOnly = false)
{
    private readonly KeyReader _keys = new(node);
    private readonly HashSet<WorkerId> _forgotten = [];
    private float[] _values = [];

    /// <summary>The entry that was just applied changes durable tables.</summary>
    public bool IsDurable { get; private set; }

    /// <summary>False where the entry makes no sense here or finds no room: this copy counts for nothing then.</summary>
    public bool Apply(Segment segment, EntryKind kind, ReadOnlySpan<byte> payload, ulong number)
    {
        IsDurable = false;
        var reader = new ByteReader(payload);
        return kind switch
        {
            EntryKind.Part => Part(segment, ref reader, number),
            EntryKind.Expiry => Expiry(segment, ref reader),
            EntryKind.Iteration => Iteration(segment, ref reader, number),
            EntryKind.Load => Load(segment, payload, number),
            _ => Forget(segment, ref reader),
        };
    }

    private bool Part(Segment segment, ref ByteReader reader, ulong number)
    {
        var entry = PartEntry.Read(ref reader);
        var part = PartHeader.Read(ref reader);
        ReadOnlySpan<byte> keyBytes = reader.Take(part.KeyBytes);
        reader.SkipPadTo8();
        ReadOnlySpan<byte> valueBytes = reader.Take(part.ValueBytes);
        reader.SkipPadTo8();
        if (reader.Failed || part.Segment != segment.Index || part.Operation > PartOperation.Delete)
        {
            return false;
        }

        // A table that a newer map has dropped is no business of anybody any more.
        if (node.Map!.Table(part.Table) is not { } table)
        {
            return true;
        }

        IsDurable = table.Durable;
        TableSegment rows = node.TableSegment(segment, table);
        Dictionary<WorkerId, LastPush> lastOf = rows.Last(part.Operation == PartOperation.Delete);
        if (entry.Outcome == Status.Acked
            && (_keys.Read(KeyListHead.Of(part), keyBytes, out ReadOnlySpan<ulong> keys) != Status.Acked || !Rows(segment, rows, part, keys, valueBytes, entry.Clock)))
        {
            return false;
        }

        LastPush last = lastOf.GetValueOrDefault(entry.Worker, LastPush.None);
        lastOf[entry.Worker] = new LastPush(entry.Session, part.N, entry.Outcome == Status.Superseded ? last.Seq : part.Seq, number);
        return true;
    }

    private bool Rows(Segment segment, TableSegment rows, in PartHeader part, ReadOnlySpan<ulong> keys, ReadOnlySpan<byte> valueBytes, long clock)
    {
        bool applied = true;
        if (part.Operation == PartOperation.Delete)
        {
            rows.Rows.Delete(keys);
        }
        else
        {
            RowOperation operation = part.Operation == PartOperation.Assign ? RowOperation.Assign : RowOperation.Update;
            applied = PartValues.TryRead(part, valueBytes, rows.Table.Width, ref _values, out ReadOnlySpan<float> values)
                && rows.Rows.Apply(keys, values, operation, clock) == StoreResult.Ok;
        }

        segment.Touched(rows.Table.Id, keys);
        return applied;
    }

    private bool Expiry(Segment segment, ref ByteReader reader)
    {
        uint table = reader.UInt32();
        int count = reader.Int32();
        ReadOnlySpan<ulong> keys = MemoryMarshal.Cast<byte, ulong>(reader.Take(count is >= 0 and < int.MaxValue / sizeof(ulong) ? count * sizeof(ulong) : -1));
        if (!reader.AtEnd)
        {
            return false;
        }

        if (segment.Find(table) is { } rows)
        {
            IsDurable = rows.Table.Durable;
            rows.Rows.Delete(keys);
            segment.Touched(table, keys);
        }

        return true;
    }

    private bool Iteration(Segment segment, ref ByteReader reader, ulong number)
    {
        var entry = IterationEntry.Read(ref reader);
        if (entry.Contributors < 0 || entry.Rows < 0 || reader.Left < entry.Contributors * (long)IterationEntry.ContributorBytes)
        {
            return false;
        }

        if (node.Map!.Table(entry.Table) is not { Aggregate: true } table)
        {
            return node.Map.Table(entry.Table) is null;
        }

        IsDurable = table.Durable;
        TableSegment rows = node.TableSegment(segment, table);
        for (int i = 0; i < entry.Contributors; i++)
        {
            var worker = new WorkerId(reader.UInt64());
            var seq = new Seq(reader.Int64(), reader.UInt32(), reader.UInt32());
            rows.Stands(worker, seq, reader.UInt64(), reader.UInt64(), number);
        }

        long keyBytes = entry.Rows * (long)sizeof(ulong), valueBytes = entry.Rows * (long)table.Width * sizeof(float);
        if (reader.Left < keyBytes + valueBytes)
        {
            return false;
        }

        ReadOnlySpan<ulong> keys = MemoryMarshal.Cast<byte, ulong>(reader.Take((int)keyBytes));
        ReadOnlySpan<float> values = MemoryMarshal.Cast<byte, float>(reader.Take((int)valueBytes));
        if (rows.Rows.Apply(keys, values, RowOperation.Update) != StoreResult.Ok)
        {
            return false;
        }

        segment.Touched(table.Id, keys);
        rows.Aggregation!.Closed = Math.Max(rows.Aggregation.Closed, entry.Iteration);
        return true;
    }

    private bool Load(Segment segment, ReadOnlySpan<byte> records, ulong number)
    {
        IsDurable = node.HasDurable && SegmentRecords.AreDurable(node.Map!, records);
        bool isLoaded = SegmentRecords.Load(node, segment, records, number, durableOnly) == Status.Acked;
        if (isLoaded)
        {
            CheckpointPath.Touch(segment, records);
        }

        return isLoaded;
    }

    private bool Forget(Segment segment, ref ByteReader reader)
    {
        IsDurable = node.HasDurable;
        _forgotten.Clear();
        while (reader.Left >= sizeof(ulong))
        {
            _forgotten.Add(new WorkerId(reader.UInt64()));
        }

        foreach (TableSegment table in segment.Tables)
        {
            table.Forget(_forgotten);
        }

        return reader.AtEnd;
    }
}
