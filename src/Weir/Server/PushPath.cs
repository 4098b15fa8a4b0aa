using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Store;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// What happens to the parts of a push (design R11 to R13, R19): who sent it, is it the next of its stream, does it stand already; then
/// through the update rule, or held until its iteration closes.
/// </summary>
internal sealed class PushPath(NodeState node)
{
    /// <summary>What the texts of one frame's outcomes may take: without texts the outcomes of all parts fit a frame, and with these too.</summary>
    private const int TextBytes = 256 << 10;

    private readonly List<PartReply> _replies = [];
    private readonly List<(Segment Segment, ulong Number, bool IsDurable)> _awaited = [];
    private readonly KeyReader _keys = new(node);
    private readonly RowArithmeticPath _arithmetic = new(node);
    private readonly FunctionPath _functions = new(node);
    private float[] _values = [];
    private long _frameBytes;

    /// <summary>A part's outcome and where it begins in the body, for the pull items of a PushPull that name it.</summary>
    public readonly record struct Outcome(Status Status, int Position, string Text);

    public List<Outcome> Outcomes { get; } = [];

    /// <summary>Whether the last frame had a part for a table that aggregates.</summary>
    public bool HadAggregated { get; private set; }

    /// <summary>Functions of users have taken the time that they have in one turn.</summary>
    public bool TurnIsFull => _functions.HasUsedBudget;

    private string MemoryLimit => node.Budget.SystemHasNoMore
        ? $"the system grants {node.Options.Address} no more than its {node.Budget.Used} bytes of rows, though its limit is {node.Budget.Limit}"
        : $"the memory limit of {node.Budget.Limit} bytes at {node.Options.Address} is reached";

    public void Tick() => _functions.Tick();

    /// <summary>Handles all parts in a body that is whole, and answers with one PushReply.</summary>
    public void Handle(LinkId link, in FrameHeader header, ref DataRequestReader reader)
    {
        _replies.Clear();
        _awaited.Clear();
        Outcomes.Clear();
        HadAggregated = false;
        node.Counters.PushRequests++;
        node.Counters.PushBytes += header.BodyLength + FrameHeader.Size;
        int textBytes = 0;
        _frameBytes = 0;
        while (true)
        {
            int position = reader.Position;
            if (!reader.NextPart(out PartHeader part, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values))
            {
                break;
            }

            PartReply reply = Part(link, header, part, keys, values);
            node.Counters.KeysPushed += part.Rows;
            node.Counters.Refused += reply.Status > Status.Failed ? 1 : 0;
            textBytes += reply.TotalBytes - PartReply.Size;
            reply.Text = textBytes <= TextBytes ? reply.Text : "";
            _replies.Add(reply);
            Outcomes.Add(new Outcome(reply.Status, position, reply.Text));
        }

        if (_replies.Count == 0)
        {
            return;
        }

        if (_awaited.Count == 0)
        {
            var body = new PushReplyBody(_replies);
            node.Counters.PushBytes += body.Bytes + FrameHeader.Size;
            node.Outbox.Send(link, node.Reply(FrameKind.PushReply, header), body);
            return;
        }

        var pending = new PendingReply(link, header.RequestId, header.Session, [.. _replies]);
        foreach ((Segment segment, ulong number, bool isDurable) in _awaited)
        {
            ChainPath.Await(pending, segment, number, isDurable);
        }
    }

    /// <summary>Answers every part with one status, unread: a frame that this node may not act on.</summary>
    public void Refuse(LinkId link, in FrameHeader header, ref DataRequestReader reader, Status status)
    {
        _replies.Clear();
        while (reader.NextPart(out PartHeader part, out _, out _))
        {
            _replies.Add(Reply(part, status, 0, ""));
        }

        if (_replies.Count > 0)
        {
            node.Outbox.Send(link, node.Reply(FrameKind.PushReply, header), new PushReplyBody(_replies));
        }
    }

    private PartReply Part(LinkId link, in FrameHeader header, in PartHeader part, ReadOnlySpan<byte> keyBytes, ReadOnlySpan<byte> valueBytes)
    {
        ClusterMap map = node.Map!;
        if (!map.TryFindSession(header.Session, out WorkerId worker))
        {
            return Reply(part, Status.Ended, 0, $"session {header.Session} has ended");
        }

        if (node.Headed(part.Segment) is not { } segment)
        {
            return Reply(part, Status.NotOwner, 0, "");
        }

        if (map.IsRestoring)
        {
            return Reply(part, Status.Busy, 0, "a checkpoint is being loaded");
        }

        if (segment.IsSealed)
        {
            return Reply(part, Status.Moving, 0, "");
        }

        if (segment.WaitingCount >= node.Limits.WaitingReplies)
        {
            return Reply(part, Status.Busy, 0, "");
        }

        if (map.Table(part.Table) is not { } table)
        {
            return Reply(part, Status.UnknownTable, 0, $"there is no table {part.Table}");
        }

        if (table.IsLost)
        {
            return Reply(part, Status.StateLost, 0, table.LossText);
        }

        if (table.Durable && node.Journal is { IsFull: true })
        {
            return Reply(part, Status.Busy, 0, "");
        }

        if (!TryReadValues(part, valueBytes, table, out ReadOnlySpan<float> values, out string fault))
        {
            return Reply(part, Status.Malformed, 0, fault);
        }

        switch (_keys.Read(KeyListHead.Of(part), keyBytes, out ReadOnlySpan<ulong> keys))
        {
            case Status.SendKeys:
                // Never applied: the part comes again with its keys, and whatever comes behind it meanwhile is out of order.
                return Reply(part, Status.SendKeys, 0, "");
            case Status.Malformed:
                return Reply(part, Status.Malformed, 0, $"the keys of a part lie in its segment and rise in the order of their hash; those for segment {part.Segment} do not");
            default:
                break;
        }

        node.Counters.ValuesPushed += values.Length;
        TableSegment rows = node.TableSegment(segment, table);
        return rows.Aggregation is { } aggregation && worker.Group == table.Group && worker.Group != 0
            ? Aggregated(link, header, part, keys, values, segment, rows, aggregation, worker)
            : Plain(link, header, part, keys, values, keyBytes, valueBytes, segment, rows, worker);
    }

    private PartReply Plain(
        LinkId link, in FrameHeader header, in PartHeader asked, ReadOnlySpan<ulong> keys, ReadOnlySpan<float> values, ReadOnlySpan<byte> keyBytes, ReadOnlySpan<byte> valueBytes, Segment segment, TableSegment rows, WorkerId worker)
    {
        PartHeader part = asked;
        Dictionary<WorkerId, LastPush> lastOf = rows.Last(part.Operation == PartOperation.Delete);
        LastPush last = lastOf.GetValueOrDefault(worker, LastPush.None);
        ulong received = last.NIn(header.Session);
        if (part.N <= received)
        {
            // It is acknowledged only once the tail has what it repeats (R13).
            node.Counters.Duplicates++;
            Await(segment, last.Number, rows.Table);
            return Reply(part, Status.Acked, 0, "");
        }

        if (part.N > received + 1)
        {
            return Reply(part, Status.Gap, received, "");
        }

        if (part.Seq <= last.Seq)
        {
            // An entry without rows: the older session's push stands for it (R11).
            ulong superseded = node.Entries.Part(segment, worker, header.Session, part, Status.Superseded, 0, [], [], [], rows.Table.Durable);
            lastOf[worker] = new LastPush(header.Session, part.N, last.Seq, superseded);
            node.Counters.Superseded++;
            Await(segment, superseded, rows.Table);
            return Reply(part, Status.Superseded, 0, "");
        }

        Status status = Status.Acked;
        string text = "";
        long clock = 0;
        bool isComputed = part.Operation is PartOperation.Arithmetic or PartOperation.Function;
        if (isComputed && rows.Table.Aggregate)
        {
            return Reply(part, Status.Malformed, 0, $"table {rows.Table.Name} aggregates: its workers push updates to it, and nobody does arithmetic with its rows or calls a function for them");
        }

        if (isComputed)
        {
            if (node.LogBytes.Total > node.Limits.LogBytes || (part.Operation == PartOperation.Function && _functions.HasUsedBudget))
            {
                return Reply(part, Status.Busy, 0, "");
            }

            status = part.Operation == PartOperation.Arithmetic
                ? _arithmetic.Compute(segment, rows, part, valueBytes, keys, out keys, out values, out text)
                : _functions.Compute(rows, part, valueBytes, keys, new LastWord(link, node.Reply(FrameKind.PushReply, header), Reply(asked, Status.Failed, PartReply.GivenUp, "")), out keys, out values, out text);
            if (status > Status.Failed)
            {
                return Reply(part, status, 0, text);
            }

            // What is in the log is what comes of it.
            keyBytes = MemoryMarshal.AsBytes(keys);
            valueBytes = MemoryMarshal.AsBytes(values);
            (part.Operation, part.Rows, part.KeyEncoding, part.ValueEncoding) = (PartOperation.Assign, keys.Length, KeyEncoding.Raw, ValueEncoding.Raw);
        }

        if (status == Status.Failed)
        {
            // Nothing of it is applied.
        }
        else if (!isComputed && !ValueEncodings.AreLegal(rows.Table.Rule, values))
        {
            status = Status.Failed;
            text = $"a value pushed to table {rows.Table.Name} is not a finite number; nothing of this part was applied";
        }
        else if (part.Operation == PartOperation.Delete)
        {
            rows.Snapshot?.Save(keys);
            rows.Rows.Delete(keys);
        }
        else
        {
            if (node.LogBytes.Total > node.Limits.LogBytes)
            {
                return Reply(part, Status.Busy, 0, "");
            }

            clock = ClockOf(part, rows.Table, worker);
            RowOperation operation = part.Operation == PartOperation.Assign ? RowOperation.Assign : RowOperation.Update;

            rows.Snapshot?.Save(keys);

            // Full is decided before a number is given, against the smallest room in the chain (R15).
            if ((ulong)(part.Rows * (rows.Rows.RowBytes + Slot.Bytes)) > segment.RoomBelow)
            {
                return Reply(part, Status.Full, 0, MemoryLimit);
            }

            StoreResult result = rows.Rows.Apply(keys, values, operation, clock, node.Quotas.RowsLeft(part.Table, rows.Rows));
            if (result is StoreResult.Full or StoreResult.TooManyNewRows)
            {
                return Reply(part, Status.Full, 0, result == StoreResult.Full ? MemoryLimit : node.Quotas.Refusal(part.Table));
            }
        }

        if (status == Status.Acked)
        {
            segment.Touched(part.Table, keys);
        }

        ulong number = node.Entries.Part(segment, worker, header.Session, part, status, clock, keys, keyBytes, valueBytes, rows.Table.Durable);
        lastOf[worker] = new LastPush(header.Session, part.N, part.Seq, number);
        Await(segment, number, rows.Table);
        return Reply(asked, status, 0, text);
    }

    /// <summary>The answer to the frame waits for the tail of a segment, or for the journals where the table is durable.</summary>
    private void Await(Segment segment, ulong number, MapTable table)
    {
        if (number > (table.Durable ? segment.Flushed : segment.Acknowledged))
        {
            _awaited.Add((segment, number, table.Durable));
        }
    }

    /// <summary>
    /// The clock that a push gives its rows, where they keep one: the iteration of a worker of the table's group; whoever else pushes does
    /// it now, which is the group's smallest clock.
    /// </summary>
    private long ClockOf(in PartHeader part, MapTable table, WorkerId worker) =>
        table.Lifetime.ExpireAfterClocks is null ? 0
        : worker.Group == table.Group ? part.Seq.Iteration
        : node.Clocks.Minimum(table.Group) is > 0 and < long.MaxValue and long minimum ? minimum
        : 0;

    private PartReply Aggregated(
        LinkId link, in FrameHeader header, in PartHeader part, ReadOnlySpan<ulong> keys, ReadOnlySpan<float> values, Segment segment, TableSegment rows, Aggregation aggregation, WorkerId worker)
    {
        HadAggregated = true;
        LastPush last = rows.Updates.GetValueOrDefault(worker, LastPush.None);
        LastPush received = aggregation.Received(worker, last);
        ulong receivedN = received.NIn(header.Session);
        ulong closed = (ulong)aggregation.Closed;
        if (part.N <= receivedN)
        {
            node.Counters.Duplicates++;
            if (part.N <= last.NIn(header.Session))
            {
                Await(segment, last.Number, rows.Table);
                return Reply(part, Status.Acked, closed, "");
            }

            if (aggregation.AnsweredBy(worker, header.Session, part.N) is { } held)
            {
                held.Link = link;
            }

            return Reply(part, Status.Held, closed, aggregation.IsFull ? MemoryLimit : aggregation.IsOverQuota ? node.Quotas.Refusal(part.Table) : "");
        }

        if (part.N > receivedN + 1)
        {
            return Reply(part, Status.Gap, receivedN, "");
        }

        if (part.Operation != PartOperation.Update || !ValueEncodings.AllFinite(values))
        {
            return Reply(part, Status.Malformed, 0, $"table {rows.Table.Name} aggregates: a worker pushes finite updates to it, nothing else");
        }

        if (part.Seq.Iteration <= aggregation.Closed || part.Seq <= last.Seq)
        {
            // What is closed is Superseded (R21): the old parts stand everywhere.
            ulong number = node.Entries.Part(segment, worker, header.Session, part, Status.Superseded, 0, [], [], [], rows.Table.Durable);
            rows.Updates[worker] = last with { Session = header.Session, N = part.N, Number = number };
            Await(segment, number, rows.Table);
            aggregation.SetReceived(worker, received with { Session = header.Session, N = part.N });
            node.Counters.Superseded++;
            return Reply(part, Status.Superseded, closed, "");
        }

        if (part.Seq <= received.Seq)
        {
            if (aggregation.Standing(worker, part.Seq) is { } standing)
            {
                (standing.Session, standing.N, standing.Link) = (header.Session, part.N, link);
            }

            aggregation.SetReceived(worker, received with { Session = header.Session, N = part.N });
            node.Counters.Superseded++;
            return Reply(part, Status.Held, closed, "");
        }

        if (segment.IsSealing && part.Seq.Iteration > segment.LastOpen(rows.Table.Group))
        {
            // The open iterations end, and no other begins here (R10).
            return Reply(part, Status.Moving, 0, "");
        }

        if (node.HeldBytes > node.Limits.HeldBytes && part.Seq.Iteration > aggregation.Closed + 1)
        {
            // An early contribution may wait; the next in order always finds room (R19).
            return Reply(part, Status.Busy, 0, "");
        }

        var contribution = new Contribution(worker, part.Seq, keys.ToArray(), values.ToArray()) { Session = header.Session, N = part.N, Link = link };
        aggregation.Hold(contribution);
        aggregation.SetReceived(worker, new LastPush(header.Session, part.N, part.Seq, 0));
        node.HeldBytes += contribution.Bytes;
        node.Counters.PartsHeld++;
        return Reply(part, Status.Held, closed, "");
    }

    /// <summary>The part's floats. What a frame's parts would take as they are fits a frame, however short they were written (design R25).</summary>
    private bool TryReadValues(scoped in PartHeader part, ReadOnlySpan<byte> bytes, MapTable table, out ReadOnlySpan<float> values, out string fault)
    {
        fault = "";
        values = default;
        long valueBytes = PartValues.Bytes(part, table.Width);
        _frameBytes += PartHeader.Size + (part.Rows * (long)sizeof(ulong)) + valueBytes;
        if (_frameBytes > FrameHeader.MaxBodyBytes)
        {
            fault = $"the parts of a frame, as they are, fit a frame; those up to one of {part.Rows} rows for table {table.Name} take {_frameBytes} bytes";
            return false;
        }

        if (table.Rule.HoldsBits && (part.ValueEncoding & (ValueEncoding.BFloat16 | ValueEncoding.Int8)) != 0)
        {
            fault = $"a part for table {table.Name} has values as {part.ValueEncoding}, which rounds floats; rule {table.Rule.Kind} keeps bits in place of floats";
            return false;
        }

        if (part.Operation is PartOperation.Arithmetic or PartOperation.Function || PartValues.TryRead(part, bytes, table.Width, ref _values, out values))
        {
            return true;
        }

        fault = part.ValueEncoding == ValueEncoding.Raw
            ? $"a part of {part.Rows} rows for table {table.Name} (width {table.Width}) has {part.ValueBytes} bytes of values; expected {valueBytes}"
            : $"a part of {part.Rows} rows for table {table.Name} (width {table.Width}) has {part.ValueBytes} bytes of values as {part.ValueEncoding}, which do not fit them";
        return false;
    }

    private static PartReply Reply(in PartHeader part, Status status, ulong value, string text) => new()
    {
        Table = part.Table,
        Segment = part.Segment,
        N = part.N,
        Value = value,
        Status = status,
        DeleteStream = part.Operation == PartOperation.Delete,
        Text = text,
    };
}
