using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>Asks nodes for rows and gathers their answers into the caller's buffers, asking again as often as that takes.</summary>
internal sealed class PullSender(ClientState state)
{
    /// <summary>What one request asks for: so much that its frame is worth its cost, and that its answer is in the caches when it is copied out.</summary>
    private const int RequestBytes = 512 << 10;

    /// <summary>What a call may have asked of each node and not got: enough to keep the link busy; a server's queue never grows by more.</summary>
    private const long WindowBytes = 4 << 20;

    // A node that does not answer is asked again after 2, 4, 8 and then every 16 times the interval.
    private const int MostTimeouts = 3;

    private readonly Dictionary<ulong, PullRequest> _requests = [];
    private readonly List<RowsToAskAgain> _again = [];
    private readonly KeyWriter _keys = new(state);
    private readonly List<PullCall> _calls = [];
    private readonly Stack<PullRequest> _free = new();
    private readonly Stack<Queue<PullRequest>> _freeQueues = new();
    private readonly List<NodeLink> _asking = [];
    private float[] _values = [];
    private bool _keysWanted;

    private readonly record struct RowsToAskAgain(PullCall Call, int Segment, int From, int To, Instant NotBefore, bool SendsKeys);

    public Action<NodeLink, ulong>? MapWanted { get; set; }

    /// <summary>What values of answers may come as.</summary>
    public ValueFilters Takes(WeirTable table) => table.Rule.HoldsBits ? state.ValueFilters & ~ValueFilters.Lossy : state.ValueFilters;

    public TaskCreationOptions Completions => state.Completions;

    public object Gate => state.Gate;

    public Queue<PullRequest> RentQueue() => _freeQueues.TryPop(out Queue<PullRequest>? free) ? free : new Queue<PullRequest>();

    public void Return(Queue<PullRequest> queue)
    {
        foreach (PullRequest unasked in queue)
        {
            _free.Push(unasked);
        }

        queue.Clear();
        _freeQueues.Push(queue);
    }

    public PullRequest Rent(NodeLink node, PullCall call)
    {
        PullRequest request = _free.TryPop(out PullRequest? free) ? free : new PullRequest();
        request.Begin(state.NextRequest(), node, call);
        return request;
    }

    /// <summary>A request is on its way.</summary>
    public void Sent(PullRequest request)
    {
        request.RetryAt = RetryAt(request);
        request.Call.BytesAsked += request.BytesLeft;
        _requests.Add(request.Id, request);
    }

    /// <summary>Takes on a call whose items, if it is half of a PushPull, travel with the push.</summary>
    public void Add(PullCall call) => _calls.Add(call);

    public void Pull(PullCall call)
    {
        _calls.Add(call);
        if (call.RowsLeft == 0)
        {
            Finish(call);
            return;
        }

        int bits = state.Map!.SegmentBits;
        int most = Math.Max(1, RequestBytes / call.RowBytes);
        int pieceRows = (Takes(call.Table) & ValueFilters.Lossy) != 0 ? ValueEncodings.PieceRows(call.Table.Width) : 1;
        most = Math.Max(pieceRows, most - (most % pieceRows));
        for (int from = 0; from < call.Slices.Rows && !call.IsOver;)
        {
            int to = Math.Min(call.Slices.EndOfSegment(from, bits), from + most);
            Ask(call, Mix.Segment(call.Slices.Keys[from], bits), from, to);
            from = to;
        }

        EndAsking(call);
    }

    public void Receive(NodeLink node, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        state.PullBytes += body.Length + FrameHeader.Size;
        state.UncompressedBytes += body.Length + FrameHeader.Size;
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
                || piece.Item >= request.Items.Length)
            {
                break;
            }

            if (call.IsOver || request.Items[piece.Item].Moved)
            {
                continue;
            }

            if (piece.Status != Status.Acked)
            {
                Refused(request, piece, header, now);
            }
            else if (TryReadValues(request, piece, values, out ReadOnlySpan<float> floats))
            {
                state.UncompressedBytes += (floats.Length * (long)sizeof(float)) - values.Length;
                call.Take(request.Items[piece.Item].From + piece.FirstRow, piece, bits, floats);
                request.Take(piece.Item, piece.Rows);
                request.RetryAt = RetryAt(request);
                if (request.Items[piece.Item].IsAnswered)
                {
                    // Once a list, however many pieces its answer is cut into.
                    node.KeyLists.Answered(request.Items[piece.Item].Keys);
                }
            }
        }

        if (call.IsOver || request.IsAnswered)
        {
            _requests.Remove(request.Id);
            _free.Push(request);
        }

        if (call.IsOver)
        {
            return;
        }

        if (_keysWanted)
        {
            _keysWanted = false;
            AskAgain(now);
        }

        if (call.RowsLeft == 0)
        {
            state.MixedPulls += call.Mixed ? 1 : 0;
            Finish(call);
        }
        else
        {
            Advance(call);
        }
    }

    /// <summary>What is asked for and not answered, for people.</summary>
    public string Describe() => string.Join(" ", _calls.Where(c => !c.IsOver).Select(c =>
        $"{c.Table.Name}: {c.RowsLeft} rows left, unasked {c.Unasked.Count}, again {_again.Count(a => a.Call == c)}, asked {string.Join(",", _requests.Values.Where(r => r.Call == c).Select(r => $"{r.Id}@{r.Node.Address}"))}"));

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

    /// <summary>Segments that nobody holds any more fail their calls; a moved segment's items are asked where it now is.</summary>
    public void MapChanged(ClusterMap? older, Instant now)
    {
        foreach (PullRequest request in _requests.Values.ToArray())
        {
            bool hasMoved = false;
            foreach (ref readonly AskedRows item in request.Items)
            {
                if (!item.Moved && !item.IsAnswered && state.Map!.Head(item.Segment) is null)
                {
                    request.Call.Fail(state.Lost(item.Segment));
                }

                hasMoved |= older is not null && (state.Map!.HasMoved(item.Segment, older) || state.Reader(request.Call.Table, item.Segment) != request.Node);
            }

            if (hasMoved && !request.Call.IsOver)
            {
                Retry(request, now);
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

    /// <summary>Ends every call after a defect, and touches nothing else.</summary>
    public void EndCalls(WeirException failure) => _calls.ForEach(call => call.End(failure));

    /// <summary>The floats of a piece; false where it is not the next of its item or its values are not those of its rows.</summary>
    private bool TryReadValues(PullRequest request, in PullReplyItem piece, ReadOnlySpan<byte> bytes, out ReadOnlySpan<float> values)
    {
        ref readonly AskedRows item = ref request.Items[piece.Item];
        values = default;
        if (piece.FirstRow != item.Taken || piece.Rows == 0 || piece.Rows > item.Rows - piece.FirstRow)
        {
            return false;
        }

        if (request.Call.Reduction.Kind != ReductionKind.None)
        {
            // Two floats' bytes are one double's.
            values = MemoryMarshal.Cast<byte, float>(bytes);
            return piece.Rows == item.Rows && piece.Found == 0 && piece.ValueEncoding == ValueEncoding.Raw && bytes.Length == sizeof(double);
        }

        long floats = (long)piece.Found * request.Call.Table.Width;
        if (piece.ValueEncoding == ValueEncoding.Raw)
        {
            values = MemoryMarshal.Cast<byte, float>(bytes);
            return bytes.Length == floats * sizeof(float);
        }

        // What the piece answers was asked for, so this is bounded by what the call's own buffer takes.
        if (_values.Length < floats)
        {
            _values = new float[floats];
        }

        values = _values.AsSpan(0, (int)floats);
        return ValueEncodings.TryRead(piece.ValueEncoding, bytes, _values.AsSpan(0, (int)floats));
    }

    private Instant RetryAt(PullRequest request) => state.Now.AfterMs(2 * state.Options.RetryMs << request.Timeouts);

    private void Finish(PullCall call)
    {
        call.Finish();
        _calls.Remove(call);
    }

    private void Refused(PullRequest request, in PullReplyItem piece, in FrameHeader header, Instant now)
    {
        AskedRows item = request.Items[piece.Item];
        switch (piece.Status)
        {
            case Status.NotOwner or Status.Behind or Status.Busy or Status.Moving or Status.Full or Status.Gap:
                if (piece.Status is Status.NotOwner or Status.Behind)
                {
                    MapWanted?.Invoke(request.Node, header.MapVersion);
                }

                request.Move(piece.Item);
                _again.Add(new RowsToAskAgain(request.Call, item.Segment, item.From + item.Taken, item.To, now.AfterMs(state.Options.BackoffMs), false));
                break;
            case Status.SendKeys:
                request.Node.KeyLists.Forgotten(item.Keys);
                request.Move(piece.Item);
                _again.Add(new RowsToAskAgain(request.Call, item.Segment, item.From + item.Taken, item.To, now, true));
                _keysWanted = true;
                break;
            default:
                string text = piece.Text.Length > 0 ? piece.Text : $"server {request.Node.Address} answered {piece.Status}";
                request.Call.Fail(new WeirException(piece.Status, $"pull of table {request.Call.Table.Name}: {text}", request.Node.Address, item.Segment));
                break;
        }
    }

    private void Retry(PullRequest request, Instant now)
    {
        if (request.IsUntouched && request.Call.Push is null && IsForReaders(request))
        {
            request.Timeouts = Math.Min(request.Timeouts + 1, MostTimeouts);
            request.RetryAt = RetryAt(request);
            if (state.Network.HasRoom(request.Node.Link, 0))
            {
                // The same request again: a server that has it waiting keeps it once. On a link without room it may still wait to be sent itself.
                Send(request);
            }

            return;
        }

        _requests.Remove(request.Id);
        for (int i = 0; i < request.Items.Length; i++)
        {
            AskedRows item = request.Items[i];
            if (!item.Moved && !item.IsAnswered)
            {
                request.Move(i);
                _again.Add(new RowsToAskAgain(request.Call, item.Segment, item.From + item.Taken, item.To, now, item.SendsKeys));
            }
        }

        _free.Push(request);
    }

    /// <summary>Whether the node that was asked still heads all that it was asked for.</summary>
    private bool IsForReaders(PullRequest request)
    {
        foreach (ref readonly AskedRows item in request.Items)
        {
            if (state.Reader(request.Call.Table, item.Segment) != request.Node)
            {
                return false;
            }
        }

        return true;
    }

    private void AskAgain(Instant now)
    {
        if (_again.Count == 0)
        {
            return;
        }

        List<RowsToAskAgain> due = [];
        int kept = 0;
        foreach (RowsToAskAgain again in CollectionsMarshal.AsSpan(_again))
        {
            // What reads behind a push is asked again only once the push stands.
            bool mayAsk = again.NotBefore <= now && (again.Call.Push is null || again.Call.Table.Aggregate || again.Call.Push.Task.IsCompleted);
            if (!again.Call.IsOver && mayAsk)
            {
                due.Add(again);
            }
            else if (!again.Call.IsOver)
            {
                _again[kept++] = again;
            }
        }

        _again.RemoveRange(kept, _again.Count - kept);
        foreach (IGrouping<PullCall, RowsToAskAgain> group in due.GroupBy(d => d.Call))
        {
            foreach (RowsToAskAgain rows in group)
            {
                Ask(group.Key, rows.Segment, rows.From, rows.To, rows.SendsKeys);
            }

            EndAsking(group.Key);
        }
    }

    /// <summary>Puts rows of one segment into the request that is being filled for who answers for it.</summary>
    private void Ask(PullCall call, int segment, int from, int to, bool sendsKeys = false)
    {
        if (call.IsOver)
        {
            return;
        }

        if (state.Reader(call.Table, segment) is not { } reader)
        {
            call.Fail(state.Lost(segment));
            return;
        }

        // What comes back, or the question itself: with many small segments the items' heads outweigh their rows.
        if (reader.Asking is { } full
            && Math.Max(full.BytesLeft + ((long)(to - from) * call.RowBytes), full.FrameBytes + call.HeadBytes + ((to - from) * sizeof(ulong))) > RequestBytes)
        {
            call.Unasked.Enqueue(full);
            reader.Asking = null;
        }

        if (reader.Asking is null)
        {
            reader.Asking = Rent(reader, call);
            _asking.Add(reader);
        }

        reader.Asking.Add(segment, from, to, sendsKeys);
    }

    private void EndAsking(PullCall call)
    {
        foreach (NodeLink node in _asking)
        {
            if (node.Asking is { } last && !call.IsOver)
            {
                call.Unasked.Enqueue(last);
            }

            node.Asking = null;
        }

        _asking.Clear();
        if (!call.IsOver)
        {
            Advance(call);
        }
    }

    /// <summary>Sends what the call's window lets go.</summary>
    private void Advance(PullCall call)
    {
        long window = WindowBytes * state.Map!.Members.Length;
        while (call.Unasked.TryPeek(out PullRequest? next) && (call.BytesAsked == 0 || call.BytesAsked + next.BytesLeft <= window))
        {
            call.Unasked.Dequeue();
            Sent(next);
            Send(next);
        }
    }

    private void Send(PullRequest request)
    {
        PullCall call = request.Call;
        FrameBuffer frame = state.Pool.Rent(request.FrameBytes);
        var counts = new ByteWriter(frame.Span[FrameHeader.Size..]);
        counts.Int32(0);
        counts.Int32(request.Items.Length);
        int at = FrameHeader.Size + DataRequestReader.CountsSize;
        int rows = 0;
        foreach (ref AskedRows item in request.Items)
        {
            at += Write(request, ref item, frame.Span[at..]);
            rows += item.Rows;
        }

        frame.Length = at;
        FrameHeader header = state.Header(FrameKind.Pull, request.Id);
        header.DeadlineUs = state.MicrosecondsUntil(call.Deadline);
        header.Seal(frame.Span);
        state.KeysSent += rows;
        state.PullBytes += frame.Length;
        state.UncompressedBytes += request.FrameBytes;
        state.ValuesMoved += (long)rows * call.Table.Width;
        state.Send(request.Node, frame);
    }

    /// <summary>Writes an item; gives its bytes.</summary>
    private int Write(PullRequest request, ref AskedRows item, Span<byte> into)
    {
        PullItem head = request.Call.Head(item.Segment, item.Rows);
        item.Keys = _keys.Write(
            request.Node, head.Table, head.Segment, request.Call.Slices.Keys.AsSpan(item.From, item.Rows), item.SendsKeys, into[head.HeadBytes..]);
        (head.KeyEncoding, head.KeyBytes, head.KeepKeys) = (item.Keys.Encoding, item.Keys.Bytes, item.Keys.Keep);
        var writer = new ByteWriter(into);
        head.Write(ref writer);
        into[(head.HeadBytes + head.KeyBytes)..head.TotalBytes].Clear();
        return head.TotalBytes;
    }
}
