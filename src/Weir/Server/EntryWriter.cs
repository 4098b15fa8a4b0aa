using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Gives the head's decisions their numbers and writes them as entries of the segment's log (design R15), for those below. Where nobody
/// is below nothing is written, but for durable tables: those go into the node's journal (R23).
/// </summary>
internal sealed class EntryWriter(ChainPath chain, NodeState node)
{
    private byte[] _large = [];

    /// <summary>A part of a push: its outcome decides whether followers apply its rows. Keys that were only named are written out.</summary>
    public ulong Part(
        Segment segment, WorkerId worker, ulong session, in PartHeader part, Status outcome, long clock, ReadOnlySpan<ulong> keys, ReadOnlySpan<byte> keyBytes, ReadOnlySpan<byte> valueBytes, bool isDurable)
    {
        LogPosition position = Next(segment);
        if (!segment.IsFollowed && !isDurable)
        {
            return Skip(segment, position);
        }

        bool hasRows = outcome == Status.Acked;
        PartHeader written = part;
        written.KeepKeys = false;
        if (!hasRows)
        {
            keyBytes = valueBytes = default;
            (written.Rows, written.KeyEncoding, written.ValueEncoding) = (0, KeyEncoding.Raw, ValueEncoding.Raw);

            // A log knows no other operations than these: what is computed is in it as an Assign, and where nothing is its stream alone counts.
            written.Operation = part.Operation == PartOperation.Delete ? PartOperation.Delete : PartOperation.Assign;
        }
        else if (part.KeyEncoding == KeyEncoding.Cached)
        {
            keyBytes = MemoryMarshal.AsBytes(keys);
            written.KeyEncoding = KeyEncoding.Raw;
        }

        (written.KeyBytes, written.ValueBytes) = (keyBytes.Length, valueBytes.Length);
        Span<byte> payload = Reserve(segment, EntryKind.Part, position, PartEntry.Size + written.TotalBytes, out LogFragment[] fragments);
        var writer = new ByteWriter(payload);
        new PartEntry(worker, session, clock, outcome).Write(ref writer);
        written.Write(ref writer);
        writer.Raw(keyBytes);
        writer.PadTo8();
        writer.Raw(valueBytes);
        writer.PadTo8();
        return Append(segment, EntryKind.Part, position, payload, fragments, isDurable);
    }

    /// <summary>Rows that have expired.</summary>
    public ulong Expiry(Segment segment, MapTable table, ReadOnlySpan<ulong> keys)
    {
        bool isDurable = table.Durable;
        LogPosition position = Next(segment);
        if (!segment.IsFollowed && !isDurable)
        {
            return Skip(segment, position);
        }

        Span<byte> payload = Reserve(segment, EntryKind.Expiry, position, 8 + (keys.Length * sizeof(ulong)), out LogFragment[] fragments);
        var writer = new ByteWriter(payload);
        writer.UInt32(table.Id);
        writer.Int32(keys.Length);
        writer.Raw(MemoryMarshal.AsBytes(keys));
        return Append(segment, EntryKind.Expiry, position, payload, fragments, isDurable);
    }

    /// <summary>An iteration that closed: whose contributions it sums, and the sum (design R19).</summary>
    public ulong Iteration(Segment segment, MapTable table, long iteration, IReadOnlyList<Contribution> contributions, ReadOnlySpan<ulong> keys, ReadOnlySpan<float> values)
    {
        bool isDurable = table.Durable;
        LogPosition position = Next(segment);
        if (!segment.IsFollowed && !isDurable)
        {
            return Skip(segment, position);
        }

        int bytes = IterationEntry.Size + (contributions.Count * IterationEntry.ContributorBytes) + (keys.Length * sizeof(ulong)) + PartHeader.Pad8(values.Length * sizeof(float));
        Span<byte> payload = Reserve(segment, EntryKind.Iteration, position, bytes, out LogFragment[] fragments);
        var writer = new ByteWriter(payload);
        new IterationEntry(table.Id, contributions.Count, iteration, keys.Length).Write(ref writer);
        foreach (Contribution contribution in contributions)
        {
            writer.UInt64(contribution.Worker.Value);
            writer.Int64(contribution.Seq.Iteration);
            writer.UInt32(contribution.Seq.Push);
            writer.UInt32(contribution.Seq.Piece);
            writer.UInt64(contribution.Session);
            writer.UInt64(contribution.N);
        }

        writer.Raw(MemoryMarshal.AsBytes(keys));
        writer.Raw(MemoryMarshal.AsBytes(values));
        writer.PadTo8();
        return Append(segment, EntryKind.Iteration, position, payload, fragments, isDurable);
    }

    /// <summary>Workers that have ended: what the segment remembers of them goes.</summary>
    public ulong Forget(Segment segment, IReadOnlyCollection<WorkerId> workers)
    {
        bool isDurable = node.HasDurable;
        LogPosition position = Next(segment);
        if (!segment.IsFollowed && !isDurable)
        {
            return Skip(segment, position);
        }

        Span<byte> payload = Reserve(segment, EntryKind.Forget, position, workers.Count * sizeof(ulong), out LogFragment[] fragments);
        var writer = new ByteWriter(payload);
        foreach (WorkerId worker in workers)
        {
            writer.UInt64(worker.Value);
        }

        return Append(segment, EntryKind.Forget, position, payload, fragments, isDurable);
    }

    /// <summary>Records of a checkpoint that is being loaded.</summary>
    public ulong Load(Segment segment, ReadOnlySpan<byte> records)
    {
        bool isDurable = node.HasDurable && SegmentRecords.AreDurable(node.Map!, records);
        LogPosition position = Next(segment);
        if (!segment.IsFollowed && !isDurable)
        {
            return Skip(segment, position);
        }

        Span<byte> payload = Reserve(segment, EntryKind.Load, position, records.Length, out LogFragment[] fragments);
        records.CopyTo(payload);
        return Append(segment, EntryKind.Load, position, payload, fragments, isDurable);
    }

    private static LogPosition Next(Segment segment)
    {
        Invariant.That(segment.IsHead, "the head alone numbers entries");
        return new LogPosition(segment.Chain.Epoch, segment.Log.Last.Number + 1);
    }

    private static ulong Skip(Segment segment, LogPosition position)
    {
        segment.Log.Skip(position);
        segment.Acknowledged = position.Number;
        return position.Number;
    }

    /// <summary>Room for an entry's bytes: in the frame that goes to the successor, or by itself where it does not fit one or nobody follows.</summary>
    private Span<byte> Reserve(Segment segment, EntryKind kind, LogPosition position, int bytes, out LogFragment[] fragments)
    {
        int whole = EntryHead.Size + PartHeader.Pad8(bytes);
        if (whole > EntryLane.MaxBytes || !segment.IsFollowed)
        {
            fragments = [];
            _large = _large.Length >= bytes ? _large : new byte[bytes];
            return _large.AsSpan(0, bytes);
        }

        LogFragment fragment = chain.LaneOf(segment).Reserve(whole);
        fragments = [fragment];
        Span<byte> span = fragment.Frame.Whole.Slice(fragment.Offset, whole);
        WriteHead(segment, kind, position, span, bytes);
        return span.Slice(EntryHead.Size, bytes);
    }

    private ulong Append(Segment segment, EntryKind kind, LogPosition position, ReadOnlySpan<byte> payload, LogFragment[] fragments, bool isDurable)
    {
        if (isDurable)
        {
            node.Journal?.Entry(segment, kind, position, payload);
        }

        if (!segment.IsFollowed)
        {
            return Skip(segment, position);
        }

        if (fragments.Length > 0)
        {
            chain.Append(segment, position, fragments);
            return position.Number;
        }

        chain.Keep(segment, new EntryHead { Segment = (uint)segment.Index, Kind = kind, Position = position, EpochBefore = segment.Log.Last.Epoch }, payload);

        // An iteration of every row of a segment is rare: its room is not kept.
        _large = _large.Length > 4 * FramePool.MaxFrameBytes ? [] : _large;
        return position.Number;
    }

    private static void WriteHead(Segment segment, EntryKind kind, LogPosition position, Span<byte> span, int bytes)
    {
        var writer = new ByteWriter(span);
        new EntryHead
        {
            Segment = (uint)segment.Index,
            Kind = kind,
            Position = position,
            EpochBefore = segment.Log.Last.Epoch,
            Bytes = bytes,
            EntryBytes = bytes,
        }.Write(ref writer);
    }
}
