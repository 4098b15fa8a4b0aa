using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>Asks nodes for rows and gathers their answers into the caller's buffers, asking again as often as that takes.</summary>
internal sealed class PullSender(ClientState state)
{
    private const int Fixed = FrameHeader.Size + DataRequestReader.CountsSize;

    private readonly Dictionary<ulong, PullRequest> _requests = [];
    private readonly List<(PullCall Call, int Segment, int From, int To, Instant NotBefore)> _again = [];
    private readonly List<PullCall> _calls = [];

    public Action<NodeLink, ulong>? MapWanted { get; set; }

    public TaskCreationOptions Completions => state.Completions;

    public ulong NextId() => state.NextRequest();

    public void Add(PullRequest request)
    {
        request.RetryAt = state.Now.AfterMs(2 * state.Options.RetryMs);
        _requests.Add(request.Id, request);
    }

    /// <summary>Takes on a call whose items, if it is half of a PushPull, travel with the push.</summary>
    public void Add(PullCall call) => _calls.Add(call);

    public void Pull(PullCall call)
    {
        _calls.Add(call);
        if (call.RowsLeft == 0)
        {
            call.Finish();
            return;
        }

        List<(int Segment, int From, int To)> items = [];
        int bits = state.Map!.SegmentBits;
        int most = (FramePool.MaxFrameBytes - Fixed - PullItem.Size) / sizeof(ulong);
        for (int from = 0; from < call.Slices.Rows;)
        {
            int to = Math.Min(call.Slices.EndOfSegment(from, bits), from + most);
            items.Add((Mix.Segment(call.Slices.Keys[from], bits), from, to));
            from = to;
        }

        Ask(call, items);
    }

    public void Receive(NodeLink node, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        state.PullBytes += body.Length + FrameHeader.Size;
        if (!_requests.TryGetValue(header.RequestId, out PullRequest? request))
        {
            return;
        }

        var reader = new ByteReader(body);
        int count = reader.Count(PullReplyItem.Size);
        reader.UInt32();
        PullCall call = request.Call;
        for (int i = 0; i < count; i++)
        {
            if (!PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out ReadOnlySpan<byte> bits, out ReadOnlySpan<byte> values)
                || piece.Item >= request.Items.Count)
            {
                break;
            }

            if (piece.Status != Status.Acked)
            {
                Refused(request, piece, header, now);
            }
            else if (!call.IsOver && !request.Moved[piece.Item] && Fits(request, piece))
            {
                (_, int from, _) = request.Items[piece.Item];
                call.Take(from + piece.FirstRow, piece, bits, values);
                request.Taken[piece.Item] += piece.Rows;
            }
        }

        if (call.IsOver || request.IsAnswered)
        {
            _requests.Remove(request.Id);
        }

        if (!call.IsOver && call.RowsLeft == 0)
        {
            state.MixedPulls += call.Mixed ? 1 : 0;
            call.Finish();
            _calls.Remove(call);
        }
    }

    public void Tick(Instant now)
    {
        for (int i = _calls.Count - 1; i >= 0; i--)
        {
            PullCall call = _calls[i];
            if (!call.IsOver && call.Deadline.AfterMs(500) <= now)
            {
                call.Fail(new WeirException(Status.DeadlineExceeded, $"a pull of {call.RowsLeft} rows of table {call.Table.Name} was not answered in time"));
            }

            if (call.IsOver)
            {
                _calls.RemoveAt(i);
            }
        }

        foreach (PullRequest request in _requests.Values.Where(r => r.Call.IsOver || r.RetryAt <= now).ToArray())
        {
            if (request.Call.IsOver)
            {
                _requests.Remove(request.Id);
            }
            else
            {
                Retry(request, now);
            }
        }

        AskAgain(now);
    }

    /// <summary>Segments that nobody holds any more fail their calls; a moved segment's items are asked at its new head.</summary>
    public void MapChanged()
    {
        foreach (PullRequest request in _requests.Values.ToArray())
        {
            foreach ((int segment, _, _) in request.Items)
            {
                if (state.Map!.Head(segment) is null)
                {
                    request.Call.Fail(state.Lost(segment));
                }
            }
        }
    }

    public void Fail(NodeLink node, WeirException failure)
    {
        foreach (PullRequest request in _requests.Values.Where(r => r.Node == node))
        {
            request.Call.Fail(failure);
        }
    }

    public void Fail(WeirException failure, Func<PullCall, bool> which)
    {
        foreach (PullCall call in _calls.Where(which).ToArray())
        {
            call.Fail(failure);
        }
    }

    private static bool Fits(PullRequest request, in PullReplyItem piece)
    {
        (_, int from, int to) = request.Items[piece.Item];
        return piece.FirstRow == request.Taken[piece.Item] && piece.FirstRow + piece.Rows <= to - from
            && piece.ValueBytes == (long)piece.Found * request.Call.Table.Width * sizeof(float);
    }

    private void Refused(PullRequest request, in PullReplyItem piece, in FrameHeader header, Instant now)
    {
        if (request.Call.IsOver || request.Moved[piece.Item])
        {
            return;
        }

        (int segment, int from, int to) = request.Items[piece.Item];
        switch (piece.Status)
        {
            case Status.NotOwner or Status.Behind or Status.Busy or Status.Moving or Status.Full or Status.Gap:
                if (piece.Status is Status.NotOwner or Status.Behind)
                {
                    MapWanted?.Invoke(request.Node, header.MapVersion);
                }

                request.Moved[piece.Item] = true;
                _again.Add((request.Call, segment, from + request.Taken[piece.Item], to, now.AfterMs(state.Options.BackoffMs)));
                break;
            default:
                string text = piece.Text.Length > 0 ? piece.Text : $"server {request.Node.Address} answered {piece.Status}";
                request.Call.Fail(new WeirException(piece.Status, $"pull of table {request.Call.Table.Name}: {text}", request.Node.Address, segment));
                break;
        }
    }

    private void Retry(PullRequest request, Instant now)
    {
        if (request.IsUntouched && request.Call.Push is null && state.Map!.Head(request.Items[0].Segment) is not null)
        {
            // The same request again: a server that has it waiting keeps it once.
            request.RetryAt = now.AfterMs(2 * state.Options.RetryMs);
            Send(request);
            return;
        }

        _requests.Remove(request.Id);
        for (int i = 0; i < request.Items.Count; i++)
        {
            (int segment, int from, int to) = request.Items[i];
            if (!request.Moved[i] && request.Taken[i] < to - from)
            {
                _again.Add((request.Call, segment, from + request.Taken[i], to, now));
            }
        }
    }

    private void AskAgain(Instant now)
    {
        if (_again.Count == 0)
        {
            return;
        }

        // What reads behind a push is asked again only once the push stands.
        var due = _again.FindAll(a => a.Call.IsOver || (a.NotBefore <= now && (a.Call.Push is null || a.Call.Table.Aggregate || a.Call.Push.Done.Task.IsCompleted)));
        _again.RemoveAll(due.Contains);
        foreach (IGrouping<PullCall, (PullCall Call, int Segment, int From, int To, Instant NotBefore)> group in due.Where(d => !d.Call.IsOver).GroupBy(d => d.Call))
        {
            Ask(group.Key, [.. group.Select(g => (g.Segment, g.From, g.To))]);
        }
    }

    private void Ask(PullCall call, List<(int Segment, int From, int To)> items)
    {
        Dictionary<NodeLink, List<(int Segment, int From, int To)>> byNode = [];
        foreach ((int Segment, int From, int To) item in items)
        {
            if (state.Head(item.Segment) is not { } head)
            {
                call.Fail(state.Lost(item.Segment));
                return;
            }

            if (!byNode.TryGetValue(head, out List<(int, int, int)>? list))
            {
                list = [];
                byNode.Add(head, list);
            }

            list.Add(item);
        }

        foreach ((NodeLink node, List<(int Segment, int From, int To)> list) in byNode)
        {
            for (int next = 0; next < list.Count;)
            {
                int end = next;
                int bytes = Fixed;
                while (end < list.Count && (end == next || bytes + ItemBytes(list[end]) <= FramePool.MaxFrameBytes))
                {
                    bytes += ItemBytes(list[end++]);
                }

                var request = new PullRequest(NextId(), node, call, list[next..end]);
                Add(request);
                Send(request);
                next = end;
            }
        }
    }

    private void Send(PullRequest request)
    {
        PullCall call = request.Call;
        FrameBuffer frame = state.Pool.Rent(Fixed + request.Items.Sum(ItemBytes));
        var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
        writer.Int32(0);
        writer.Int32(request.Items.Count);
        foreach ((int segment, int from, int to) in request.Items)
        {
            call.Head(segment, to - from).Write(ref writer);
            writer.Raw(MemoryMarshal.AsBytes(call.Slices.Keys.AsSpan(from, to - from)));
            state.KeysSent += to - from;
        }

        FrameHeader header = state.Header(FrameKind.Pull, request.Id);
        header.DeadlineUs = state.MicrosecondsUntil(call.Deadline);
        header.Seal(frame.Span);
        state.PullBytes += frame.Length;
        state.ValuesMoved += (long)request.Items.Sum(i => i.To - i.From) * call.Table.Width;
        state.Send(request.Node, frame);
    }

    private static int ItemBytes((int Segment, int From, int To) item) => PullItem.Size + ((item.To - item.From) * sizeof(ulong));
}
