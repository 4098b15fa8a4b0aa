using Weir.Keys;
using Weir.Store;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// How iterations of aggregating tables end (design R19, R20): Sents come in, and a segment whose workers are all through closes its oldest
/// iteration with one left fold and one run of the update rule, then acknowledges every contribution.
/// </summary>
internal sealed class IterationPath(NodeState node)
{
    /// <summary>Outcomes in one frame: an iteration may close at more (table, segment)s than fit one of 1 MiB.</summary>
    private const int RepliesAFrame = 16_384;

    private readonly Dictionary<(LinkId Link, ulong Session), List<PartReply>> _acknowledgements = [];
    private readonly List<(LinkId Link, ulong Session)> _order = [];
    private readonly HashSet<uint> _dirtyGroups = [];

    /// <summary>A push was held: a Sent that came before it may count now.</summary>
    public void Received(uint group) => _dirtyGroups.Add(group);

    /// <summary>A clock rose or a worker finished: more may close.</summary>
    public void ClocksRose() => _dirtyGroups.UnionWith(node.Map!.Jobs.Select(j => j.Group));

    public void Sent(in FrameHeader header, in SentBody sent)
    {
        if (node.Map!.Job(sent.Group) is not { } job || sent.Worker >= job.Workers.Length)
        {
            return;
        }

        var worker = WorkerId.OfJob(sent.Group, sent.Worker);
        Dictionary<(uint, uint), ulong> last = [];
        foreach (SentEntry entry in sent.Entries)
        {
            last[(entry.Table, entry.Segment)] = entry.N;
        }

        foreach (Segment segment in node.Segments)
        {
            if (segment.Index < sent.FirstSegment || segment.Index > sent.LastSegment)
            {
                continue;
            }

            foreach (Weir.Placement.MapTable table in node.Map.Tables)
            {
                if (table.Aggregate && table.Group == sent.Group)
                {
                    TableSegment rows = node.TableSegment(segment, table);
                    ulong n = last.GetValueOrDefault((table.Id, (uint)segment.Index));
                    LastPush lastPush = rows.Updates.GetValueOrDefault(worker, LastPush.None);
                    rows.Aggregation!.Sent(worker, job.Workers.Length, header.Session, sent.Iteration, n, lastPush);
                }
            }
        }

        _dirtyGroups.Add(sent.Group);
    }

    /// <summary>At the end of a turn: closes what may close. True where anything did.</summary>
    public bool Close()
    {
        if (_dirtyGroups.Count == 0 || node.Map is null)
        {
            return false;
        }

        bool closed = false;
        foreach (Segment segment in node.Segments)
        {
            foreach (TableSegment table in segment.Tables)
            {
                if (table.Aggregation is { } aggregation && _dirtyGroups.Contains(table.Table.Group)
                    && node.Clocks.Group(table.Table.Group) is { } clocks)
                {
                    closed |= Close(segment, table, aggregation, clocks);
                }
            }
        }

        _dirtyGroups.Clear();
        Acknowledge();
        return closed;
    }

    private bool Close(Segment segment, TableSegment table, Aggregation aggregation, VectorClock clocks)
    {
        for (uint worker = 0; worker < clocks.Workers; worker++)
        {
            aggregation.Advance(WorkerId.OfJob(table.Table.Group, worker));
        }

        long mayClose = aggregation.MayClose(clocks);
        bool closed = false;
        while (aggregation.TryOldest(mayClose, out long iteration, out List<Contribution> contributions))
        {
            (ulong[] keys, float[] values) = Aggregation.Fold(contributions, table.Table.Width);
            if (table.Rows.Apply(keys, values, RowOperation.Update) == StoreResult.Full)
            {
                // The iteration stays open until there is room; it is tried again when a held part comes again, whose answer says why it waits.
                aggregation.IsFull = true;
                return closed;
            }

            aggregation.IsFull = false;

            ulong number = segment.NextNumber();
            foreach (Contribution contribution in contributions)
            {
                Stands(table, contribution, number);
                Acknowledge(table, (uint)segment.Index, contribution, iteration);
            }

            node.HeldBytes -= contributions.Sum(c => c.Bytes);
            aggregation.Close(iteration);
            closed = true;
        }

        // An iteration without contributions closes without running the rule (R19).
        if (mayClose != long.MaxValue && mayClose > aggregation.Closed)
        {
            aggregation.Close(mayClose);
        }

        return closed;
    }

    /// <summary>Applying the entry sets last.seq, and last's session and n only where they rise (R19).</summary>
    private static void Stands(TableSegment table, Contribution contribution, ulong number)
    {
        LastPush last = table.Updates.GetValueOrDefault(contribution.Worker, LastPush.None);
        Seq seq = contribution.Seq > last.Seq ? contribution.Seq : last.Seq;
        bool rises = contribution.Session > last.Session || (contribution.Session == last.Session && contribution.N > last.N);
        table.Updates[contribution.Worker] = rises
            ? new LastPush(contribution.Session, contribution.N, seq, number)
            : last with { Seq = seq, Number = number };
    }

    private void Acknowledge(TableSegment table, uint segment, Contribution contribution, long iteration)
    {
        (LinkId, ulong) to = (contribution.Link, contribution.Session);
        if (!_acknowledgements.TryGetValue(to, out List<PartReply>? replies))
        {
            replies = [];
            _acknowledgements.Add(to, replies);
            _order.Add(to);
        }

        replies.Add(new PartReply
        {
            Table = table.Table.Id,
            Segment = segment,
            N = contribution.N,
            Value = (ulong)iteration,
            Status = Status.Acked,
            Text = "",
        });
    }

    private void Acknowledge()
    {
        foreach ((LinkId link, ulong session) to in _order)
        {
            FrameHeader header = node.Header(FrameKind.PushReply);
            header.Session = to.session;
            foreach (PartReply[] replies in _acknowledgements[to].Chunk(RepliesAFrame))
            {
                var body = new PushReplyBody(replies);
                node.Counters.PushBytes += body.Bytes + FrameHeader.Size;
                node.Outbox.Send(to.link, header, body);
            }
        }

        _acknowledgements.Clear();
        _order.Clear();
    }
}
