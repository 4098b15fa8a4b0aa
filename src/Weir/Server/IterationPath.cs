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

    private readonly Dictionary<(LinkId Link, ulong Session), List<(Segment Segment, ulong Number, bool IsDurable, PartReply Reply)>> _acknowledgements = [];
    private readonly List<(LinkId Link, ulong Session)> _order = [];
    private readonly HashSet<uint> _dirtyGroups = [];

    /// <summary>A push was held: a Sent that came before it may count now.</summary>
    public void Received(uint group) => _dirtyGroups.Add(group);

    /// <summary>A clock rose or a worker finished: more may close.</summary>
    public void ClocksRose() => _dirtyGroups.UnionWith(node.Map!.Jobs.Select(j => j.Group));

    /// <summary>Takes note of a Sent. False where it says nothing of a segment that it should: the worker has yet to read the map by which this node heads that.</summary>
    public bool Sent(in FrameHeader header, in SentBody sent)
    {
        if (node.Map!.Job(sent.Group) is not { } job || sent.Worker >= job.Workers.Length)
        {
            return true;
        }

        var worker = WorkerId.OfJob(sent.Group, sent.Worker);
        Dictionary<(uint, uint), ulong> last = [];
        bool isWhole = true;
        foreach (SentEntry entry in sent.Entries)
        {
            last[(entry.Table, entry.Segment)] = entry.N;
        }

        foreach (Segment segment in node.HeadedSegments)
        {
            if (segment.Index < sent.FirstSegment || segment.Index > sent.LastSegment)
            {
                continue;
            }

            // That worker has counted its parts for another head: not listed is not none.
            if (segment.Chain.Epoch > header.MapVersion)
            {
                isWhole = false;
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
        return isWhole;
    }

    /// <summary>At the end of a turn: closes what may close. True where anything did.</summary>
    public bool Close()
    {
        if (_dirtyGroups.Count == 0 || node.Map is null)
        {
            return false;
        }

        bool closed = false;
        foreach (Segment segment in node.Held)
        {
            if (!segment.IsHead || segment.IsSealed)
            {
                continue;
            }

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
        while (aggregation.TryOldest(mayClose, out long iteration, out List<Contribution>? contributions))
        {
            table.CutBefore(iteration, node.Map!.Checkpoint, node.Budget);
            (ulong[] keys, float[] values) = Aggregation.Fold(contributions, table.Table.Width);
            table.Snapshot?.Save(keys);
            StoreResult result = table.Rows.Apply(keys, values, RowOperation.Update, mostNewRows: node.Quotas.RowsLeft(table.Table.Id, table.Rows));
            (aggregation.IsFull, aggregation.IsOverQuota) = (result == StoreResult.Full, result == StoreResult.TooManyNewRows);
            if (aggregation.IsFull || aggregation.IsOverQuota)
            {
                // The iteration stays open until there is room; it is tried again when a held part comes again, whose answer says why it waits.
                return closed;
            }

            segment.Touched(table.Table.Id, keys);
            ulong number = node.Entries.Iteration(segment, table.Table, iteration, contributions, keys, values);
            foreach (Contribution contribution in contributions)
            {
                table.Stands(contribution.Worker, contribution.Seq, contribution.Session, contribution.N, number);
                Acknowledge(table, segment, number, contribution, iteration);
            }

            node.HeldBytes -= contributions.Sum(c => c.Bytes);
            aggregation.Close(iteration);
            closed = true;
        }

        // An iteration without contributions closes without running the rule (R19).
        if (mayClose != long.MaxValue && mayClose > aggregation.Closed)
        {
            table.CutBefore(mayClose, node.Map!.Checkpoint, node.Budget);
            aggregation.Close(mayClose);
        }

        return closed;
    }

    private void Acknowledge(TableSegment table, Segment segment, ulong number, Contribution contribution, long iteration)
    {
        (LinkId, ulong) to = (contribution.Link, contribution.Session);
        if (!_acknowledgements.TryGetValue(to, out List<(Segment, ulong, bool, PartReply)>? replies))
        {
            replies = [];
            _acknowledgements.Add(to, replies);
            _order.Add(to);
        }

        replies.Add((segment, number, table.Table.Durable, new PartReply
        {
            Table = table.Table.Id,
            Segment = (uint)segment.Index,
            N = contribution.N,
            Value = (ulong)iteration,
            Status = Status.Acked,
            Text = "",
        }));
    }

    private void Acknowledge()
    {
        foreach ((LinkId link, ulong session) to in _order)
        {
            foreach ((Segment Segment, ulong Number, bool IsDurable, PartReply Reply)[] some in _acknowledgements[to].Chunk(RepliesAFrame))
            {
                var reply = new PendingReply(to.link, 0, to.session, [.. some.Select(s => s.Reply)]);
                foreach ((Segment segment, ulong number, bool isDurable, _) in some)
                {
                    if (number > (isDurable ? segment.Flushed : segment.Acknowledged))
                    {
                        ChainPath.Await(reply, segment, number, isDurable);
                    }
                }

                if (reply.Waiting == 0)
                {
                    reply.Send(node);
                }
            }
        }

        _acknowledgements.Clear();
        _order.Clear();
    }
}
