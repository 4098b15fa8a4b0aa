using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Cuts pushes into pieces and parts, keeps every part until it is acknowledged, and sends it as often as that takes (design R11, R12).
/// Guarded by the client's gate.
/// </summary>
internal sealed class PushSender(ClientState state)
{
    private readonly Dictionary<ulong, (NodeLink Node, PushFrame Frame, Instant RetryAt)> _inFlight = [];
    private readonly Dictionary<ulong, PushSession> _sessions = [];
    private readonly WaitingPushes _waiting = new();
    private readonly List<PushCall> _calls = [];
    private readonly HashSet<PushStream> _stirred = [];
    private readonly List<PartReply> _replies = [];
    private long _pendingBytes;
    private long _pendingDeleteBytes;

    /// <summary>Raised where an iteration's counts fell: it may be sent or clocked now.</summary>
    public Action<PushSession>? IterationMoved { get; set; }

    /// <summary>Raised where a reply named a newer map or an owner that this map does not know.</summary>
    public Action<NodeLink, ulong>? MapWanted { get; set; }

    public IReadOnlyCollection<PushSession> Sessions => _sessions.Values;

    public void Add(PushSession session) => _sessions.Add(session.Id, session);

    public void Remove(PushSession session) => _sessions.Remove(session.Id);

    public PushSession? Find(ulong session) => _sessions.GetValueOrDefault(session);

    /// <summary>
    /// Takes a push on. Its place in the session's order is fixed now; where too much is pending it is cut later, in the same order. The slices
    /// and values stay the caller's until the call has been cut.
    /// </summary>
    public PushCall Push(
        PushSession session, WeirTable table, KeySlices slices, ReadOnlyMemory<float> values, PartOperation operation, Instant deadline, PullCall? pull)
    {
        var call = new PushCall(session, deadline, state.Completions) { Pull = pull };
        if (session.Failure is { } failure)
        {
            call.Done.SetException(failure);
            slices.Dispose();
            return call;
        }

        if (session.Group == 0 && session.Pushes == uint.MaxValue)
        {
            // No clock ends the iterations of such a session. A number that wrapped would make later pushes look like earlier ones (R11).
            session.Iteration++;
            session.Pushes = 0;
        }

        uint push = session.Pushes++;
        long iteration = session.Iteration;
        if (session.Group != 0)
        {
            call.Iteration = session.Find(iteration);
            call.Iteration!.WaitingCalls++;
        }

        call.Uncut = new UncutPush(table, slices, values, operation, new Seq(iteration, push, 0));
        _calls.Add(call);
        _waiting.Add(call);
        AdmitWaiting();
        return call;
    }

    /// <summary>The caller waits no longer, and may use its buffer for something else.</summary>
    public void Cancel(PushCall call, CancellationToken cancellation)
    {
        call.Done.TrySetCanceled(cancellation);
        BufferTakenBack(call);
    }

    public void Receive(NodeLink node, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        state.PushBytes += body.Length + FrameHeader.Size;
        if (!PushReplyBody.TryRead(body, _replies))
        {
            return;
        }

        if (_inFlight.Remove(header.RequestId, out (NodeLink Node, PushFrame Frame, Instant RetryAt) flight))
        {
            flight.Node.FramesInFlight--;
        }

        if (_sessions.TryGetValue(header.Session, out PushSession? session))
        {
            foreach (PartReply reply in _replies)
            {
                if (session.Find(reply.Table, reply.Segment, reply.DeleteStream)?.Find(reply.N) is { } part)
                {
                    Answered(part, reply, header, node, now);
                }
            }

            IterationMoved?.Invoke(session);
        }

        AdmitWaiting();
        Pump(now);
    }

    /// <summary>Retries what was not answered, resumes what paused, fails what has passed its deadline.</summary>
    public void Tick(Instant now)
    {
        foreach ((ulong request, (NodeLink node, PushFrame frame, Instant retryAt)) in _inFlight.Where(f => f.Value.RetryAt <= now).ToArray())
        {
            _inFlight.Remove(request);
            node.FramesInFlight--;
            foreach (PushPart part in frame.Parts)
            {
                if (part.Request == request && part.State == PartState.InFlight)
                {
                    Unsend(part, now);
                }
            }
        }

        foreach (PushSession session in _sessions.Values)
        {
            foreach (PushStream stream in session.Streams)
            {
                foreach (PushPart part in stream.Pending)
                {
                    if (part.State == PartState.Held && part.NotBefore <= now)
                    {
                        Unsend(part, now);
                    }
                    else if (part.State == PartState.Unsent && part.NotBefore <= now)
                    {
                        _stirred.Add(stream);
                    }
                }
            }
        }

        for (int i = _calls.Count - 1; i >= 0; i--)
        {
            PushCall call = _calls[i];
            if (call.Done.Task.IsCompleted || call.Deadline <= now)
            {
                call.Done.TrySetException(new WeirException(
                    Status.DeadlineExceeded, "a push was not acknowledged in time; it may still be applied, once" + (call.WaitsFor is null ? "" : $" ({call.WaitsFor})")));
                BufferTakenBack(call);
                _calls.RemoveAt(i);
            }
        }

        AdmitWaiting();
        Pump(now);
    }

    /// <summary>A newer map: parts for segments that nobody holds any more fail; those of a moved head go to the new one.</summary>
    public void MapChanged(Instant now)
    {
        foreach (PushSession session in _sessions.Values.ToArray())
        {
            if (session.Failure is null && !state.Map!.TryFindSession(session.Id, out _))
            {
                Fail(session, new WeirException(Status.Ended, $"session {session.Id} has ended: its process was silent for too long, or its worker is hosted by another"));
                continue;
            }

            foreach (PushStream stream in session.Streams)
            {
                if (state.Map!.Head((int)stream.Segment) is null && stream.Pending.Count > 0)
                {
                    Fail(session, state.Lost((int)stream.Segment));
                    break;
                }
            }
        }

        Pump(now);
    }

    /// <summary>No call of the session can succeed any more.</summary>
    public void Fail(PushSession session, WeirException failure)
    {
        session.Failure ??= failure;

        // The calls first: a part that is given up must not complete its call as if it had been acknowledged.
        foreach (PushCall call in _calls)
        {
            if (call.Session == session && call.Done.TrySetException(failure))
            {
                call.Pull?.Fail(failure);
            }
        }

        foreach (PushCall call in _waiting.Of(session))
        {
            Withdraw(call);
        }

        foreach (PushStream stream in session.Streams)
        {
            foreach (PushPart part in stream.Pending.ToArray())
            {
                Finish(part);
            }
        }

        foreach (OpenIteration open in session.Open)
        {
            open.Failure ??= failure;
            open.Clocked.TrySetException(failure);
        }
    }

    /// <summary>Fails the sessions that wait for a node which is out of reach.</summary>
    public void Fail(NodeLink node, WeirException failure)
    {
        foreach (PushSession session in _sessions.Values.ToArray())
        {
            if (session.Streams.Any(s => s.Pending.Count > 0 && state.Head((int)s.Segment) == node))
            {
                Fail(session, failure);
            }
        }
    }

    /// <summary>The client closes: what waits for a window goes nowhere.</summary>
    public void DropFrames()
    {
        foreach (NodeLink node in state.Links)
        {
            while (node.Waiting.TryDequeue(out PushFrame? frame))
            {
                frame.Frame.Release();
            }
        }
    }

    private void AdmitWaiting()
    {
        while (_waiting.TakeNext(_pendingBytes < state.Options.PendingBytes, _pendingDeleteBytes < state.Options.PendingBytes, IsNeeded) is { } call)
        {
            UncutPush uncut = call.Uncut!;
            call.Uncut = null;
            if (call.Iteration is not null)
            {
                call.Iteration.WaitingCalls--;
            }

            Cut(call, uncut.Table, uncut.Slices, uncut.Values.Span, uncut.Operation, uncut.Seq, call.Pull is { IsOver: false } pull ? pull : null);
            uncut.Slices.Dispose();
            IterationMoved?.Invoke(call.Session);
        }

        Pump(state.Now);
    }

    /// <summary>Whether the call belongs to the lowest iteration of an aggregating job here: what is held waits for it, and so gives no room.</summary>
    private bool IsNeeded(PushCall call)
    {
        uint group = call.Session.Group;
        return call.Iteration is { } iteration
            && Array.Exists(state.Map!.Tables, t => t.Aggregate && t.Group == group)
            && _sessions.Values.All(s => s.Group != group || s.Failure is not null || s.Open[0].Iteration >= iteration.Iteration);
    }

    /// <summary>
    /// A call's task has ended. A worker's push keeps its place in the iteration, as a redo has it too (R14), with a copy of the values; any
    /// other that has not been sent is withdrawn.
    /// </summary>
    private void BufferTakenBack(PushCall call)
    {
        if (call.Uncut is not { } uncut)
        {
            return;
        }

        if (call.Iteration is not null)
        {
            uncut.KeepValues();
        }
        else
        {
            Withdraw(call);
        }
    }

    private void Withdraw(PushCall call)
    {
        _waiting.Remove(call);
        call.Uncut!.Slices.Dispose();
        call.Uncut = null;
        if (call.Iteration is not null)
        {
            call.Iteration.WaitingCalls--;
        }
    }

    /// <summary>Cuts a call: pieces by row count and width alone, parts by segment, frames by node.</summary>
    private void Cut(PushCall call, WeirTable table, KeySlices slices, ReadOnlySpan<float> values, PartOperation operation, Seq seq, PullCall? pull)
    {
        int rowBytes = operation == PartOperation.Delete ? 0 : table.Width * sizeof(float);
        int pieceRows = PieceRows(rowBytes);
        ClusterMap map = state.Map!;
        var frames = new Dictionary<NodeLink, List<(PushPart Part, int From, int To, Seq Seq)>>();
        List<NodeLink> order = [];
        bool deletes = operation == PartOperation.Delete;
        state.KeysSent += slices.Rows;
        state.ValuesMoved += (long)slices.Rows * (rowBytes / sizeof(float));
        for (int from = 0; from < slices.Rows;)
        {
            int piece = from / pieceRows;
            int to = Math.Min(slices.EndOfSegment(from, map.SegmentBits), (piece + 1) * pieceRows);
            int segment = Mix.Segment(slices.Keys[from], map.SegmentBits);
            if (state.Head(segment) is not { } head)
            {
                Fail(call.Session, state.Lost(segment));
                pull?.Fail(state.Lost(segment));
                return;
            }

            PushStream stream = call.Session.Stream(table.Id, (uint)segment, deletes, table.Aggregate);
            int bytes = PartHeader.Size + ((to - from) * sizeof(ulong)) + PartHeader.Pad8((to - from) * rowBytes);
            var part = new PushPart(stream, stream.NextN(), call, bytes) { State = PartState.Queued };
            stream.Pending.Add(part);
            if (!frames.TryGetValue(head, out List<(PushPart, int, int, Seq)>? parts))
            {
                parts = [];
                frames.Add(head, parts);
                order.Add(head);
            }

            parts.Add((part, from, to, seq with { Piece = (uint)piece }));
            call.PartsLeft++;
            _pendingBytes += bytes;
            _pendingDeleteBytes += deletes ? bytes : 0;
            from = to;
        }

        if (call.Iteration is { } iteration)
        {
            iteration.NotHeld += call.PartsLeft;
            iteration.NotAcknowledged += call.PartsLeft;
        }

        if (call.PartsLeft == 0)
        {
            call.Done.TrySetResult();
        }

        foreach (NodeLink node in order)
        {
            Write(node, frames[node], slices, values, operation, rowBytes, pull);
        }
    }

    /// <summary>Rows of a piece: as many as fit a frame if they all fall into one segment.</summary>
    internal static int PieceRows(int rowBytes) =>
        (FrameHeader.MaxBodyBytes - DataRequestReader.CountsSize - PartHeader.Size - PullItem.Size - 16) / (sizeof(ulong) + rowBytes);

    private void Write(
        NodeLink node, List<(PushPart Part, int From, int To, Seq Seq)> parts, KeySlices slices, ReadOnlySpan<float> values, PartOperation operation, int rowBytes, PullCall? pull)
    {
        const int Fixed = FrameHeader.Size + DataRequestReader.CountsSize;
        int pullBytes = pull is null ? 0 : PullItem.Size;
        for (int next = 0; next < parts.Count;)
        {
            int bytes = Fixed;
            int end = next;
            while (end < parts.Count && (end == next || bytes + parts[end].Part.Bytes + pullBytes <= FramePool.MaxFrameBytes))
            {
                bytes += parts[end].Part.Bytes + pullBytes;
                end++;
            }

            FrameBuffer frame = state.Pool.Rent(bytes);
            var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
            writer.Int32(end - next);
            writer.Int32(pull is null ? 0 : end - next);
            List<PushPart> inFrame = new(end - next);
            for (int i = next; i < end; i++)
            {
                (PushPart part, int from, int to, Seq seq) = parts[i];
                part.Frame = frame.Retain();
                part.Offset = FrameHeader.Size + writer.Position;
                inFrame.Add(part);
                var head = new PartHeader
                {
                    Table = part.Stream.Table,
                    Segment = part.Stream.Segment,
                    N = part.N,
                    Seq = seq,
                    Rows = to - from,
                    Operation = operation,
                    KeyBytes = (to - from) * sizeof(ulong),
                    ValueBytes = (to - from) * rowBytes,
                };
                head.Write(ref writer);
                writer.Raw(MemoryMarshal.AsBytes(slices.Keys.AsSpan(from, to - from)));
                if (rowBytes > 0)
                {
                    Span<byte> rows = writer.Take(head.ValueBytes);
                    slices.GatherRows(values, rowBytes / sizeof(float), from, to, MemoryMarshal.Cast<byte, float>(rows));
                }

                writer.PadTo8();
            }

            PullRequest? request = pull?.ItemsOfParts(ref writer, parts[next..end].ConvertAll(p => ((int)p.Part.Stream.Segment, p.From, p.To)), node);
            node.Waiting.Enqueue(new PushFrame(frame, inFrame, request));
            next = end;
        }
    }

    private void Pump(Instant now)
    {
        if (_stirred.Count > 0)
        {
            Resend(now);
        }

        foreach (NodeLink node in state.Links)
        {
            while (node.FramesInFlight < state.Options.WindowFrames && node.Waiting.TryDequeue(out PushFrame? frame))
            {
                Send(node, frame, now);
            }
        }
    }

    private void Send(NodeLink node, PushFrame frame, Instant now)
    {
        frame.Parts.RemoveAll(p => p.State == PartState.Done);
        if (frame.Parts.Count == 0 && frame.Pull is not { Call.IsOver: false })
        {
            frame.Frame.Release();
            return;
        }

        ulong request = frame.Pull?.Id ?? state.NextRequest();
        PushSession? session = frame.Parts.Count > 0 ? frame.Parts[0].Stream.Session : null;
        foreach (PushPart part in frame.Parts)
        {
            part.State = PartState.InFlight;
            part.Request = request;
            part.AcknowledgedAtSend = part.Stream.AcknowledgedBelow;
        }

        FrameHeader header = state.Header(frame.Pull is null ? FrameKind.Push : FrameKind.PushPull, request, session?.Id ?? 0);
        if (frame.Pull is { } pull)
        {
            pull.SentNow(now);
            header.DeadlineUs = state.MicrosecondsUntil(pull.Call.Deadline);
        }

        header.Seal(frame.Frame.Span);
        state.PushBytes += frame.Frame.Length;
        _inFlight[request] = (node, frame, now.AfterMs(state.Options.RetryMs));
        node.FramesInFlight++;
        state.Send(node, frame.Frame);
    }

    /// <summary>Packs the unsent parts of the stirred streams into new frames, node by node.</summary>
    private void Resend(Instant now)
    {
        Dictionary<(NodeLink Node, PushSession Session), List<PushPart>> bySession = [];
        foreach (PushStream stream in _stirred.OrderBy(s => s.Session.Id).ThenBy(s => s.Table).ThenBy(s => s.Segment).ThenBy(s => s.Deletes))
        {
            List<PushPart> unsent = [];
            stream.TakeUnsent(now, unsent);
            if (unsent.Count == 0 || state.Head((int)stream.Segment) is not { } head)
            {
                continue;
            }

            if (!bySession.TryGetValue((head, stream.Session), out List<PushPart>? parts))
            {
                parts = [];
                bySession.Add((head, stream.Session), parts);
            }

            parts.AddRange(unsent);
        }

        _stirred.Clear();
        foreach (((NodeLink node, _), List<PushPart> parts) in bySession)
        {
            Repack(node, parts);
        }
    }

    private void Repack(NodeLink node, List<PushPart> parts)
    {
        const int Fixed = FrameHeader.Size + DataRequestReader.CountsSize;
        for (int next = 0; next < parts.Count;)
        {
            int bytes = Fixed;
            int end = next;
            while (end < parts.Count && (end == next || bytes + parts[end].Bytes <= FramePool.MaxFrameBytes))
            {
                bytes += parts[end++].Bytes;
            }

            FrameBuffer frame = state.Pool.Rent(bytes);
            var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
            writer.Int32(end - next);
            writer.Int32(0);
            for (int i = next; i < end; i++)
            {
                PushPart part = parts[i];
                int offset = FrameHeader.Size + writer.Position;
                writer.Raw(part.Frame!.Span.Slice(part.Offset, part.Bytes));
                part.Frame.Release();
                part.Frame = frame.Retain();
                part.Offset = offset;
                part.State = PartState.Queued;
            }

            node.Waiting.Enqueue(new PushFrame(frame, parts[next..end], null));
            next = end;
        }
    }

    private void Answered(PushPart part, in PartReply reply, in FrameHeader header, NodeLink node, Instant now)
    {
        switch (reply.Status)
        {
            case Status.Acked or Status.Superseded or Status.Failed:
                state.RestsOn(header.MapVersion);
                state.Superseded += reply.Status == Status.Superseded ? 1 : 0;
                if (reply.Status == Status.Failed)
                {
                    part.Call.Failure ??= new WeirException(Status.Failed, reply.Text, node.Address, (int)reply.Segment);
                }

                Finish(part);
                break;
            case Status.Held:
                part.Call.WaitsFor = reply.Text.Length > 0 ? reply.Text : part.Call.WaitsFor;
                if (part.State is PartState.InFlight or PartState.Queued or PartState.Unsent)
                {
                    part.State = PartState.Held;
                    part.NotBefore = now.AfterMs(3 * state.Options.RetryMs);
                    _stirred.Add(part.Stream);
                    if (part.Call.Iteration is { } iteration && !part.WasHeld)
                    {
                        part.WasHeld = true;
                        iteration.NotHeld--;
                    }
                }

                break;
            case Status.Gap when part.Request == header.RequestId && part.State == PartState.InFlight:
                if (reply.Value + 1 < part.AcknowledgedAtSend)
                {
                    Fail(part.Stream.Session, new WeirException(
                        Status.StateLost, $"server {node.Address} has forgotten pushes that it acknowledged", node.Address, (int)reply.Segment));
                    break;
                }

                Unsend(part, now);
                break;
            case Status.NotOwner or Status.Behind or Status.Busy or Status.Full or Status.Moving
                when part.Request == header.RequestId && part.State == PartState.InFlight:
                if (reply.Status is Status.NotOwner or Status.Behind)
                {
                    MapWanted?.Invoke(node, header.MapVersion);
                }

                part.Call.WaitsFor = reply.Text.Length > 0 ? reply.Text : part.Call.WaitsFor;
                Unsend(part, now.AfterMs(state.Options.BackoffMs));
                break;
            case Status.UnknownTable:
                TableDropped(part.Stream.Session, reply.Table, new WeirException(reply.Status, reply.Text, node.Address, (int)reply.Segment));
                break;
            case Status.Ended or Status.Restored or Status.Malformed or Status.StateLost or Status.Down:
                string text = reply.Text.Length > 0 ? reply.Text : $"server {node.Address} answered {reply.Status}";
                Fail(part.Stream.Session, new WeirException(reply.Status, text, node.Address, (int)reply.Segment));
                break;
            default:
                break;
        }
    }

    /// <summary>A table is gone for good, and its number is never used again: the pushes to it fail, those to others go on.</summary>
    private void TableDropped(PushSession session, uint table, WeirException failure)
    {
        foreach (PushStream stream in session.Streams.Where(s => s.Table == table).ToArray())
        {
            foreach (PushPart part in stream.Pending.ToArray())
            {
                part.Call.Failure ??= failure;
                Finish(part);
            }

            session.Forget(stream);
        }
    }

    private void Unsend(PushPart part, Instant notBefore)
    {
        part.State = PartState.Unsent;
        part.NotBefore = notBefore;
        _stirred.Add(part.Stream);
    }

    private void Finish(PushPart part)
    {
        if (part.State == PartState.Done)
        {
            return;
        }

        part.Stream.Remove(part);
        part.Frame?.Release();
        part.Frame = null;
        _pendingBytes -= part.Bytes;
        _pendingDeleteBytes -= part.Stream.Deletes ? part.Bytes : 0;
        _stirred.Add(part.Stream);
        PushCall call = part.Call;
        if (call.Iteration is { } iteration)
        {
            iteration.NotAcknowledged--;
            iteration.NotHeld -= part.WasHeld ? 0 : 1;
        }

        if (--call.PartsLeft == 0)
        {
            if (call.Failure is null)
            {
                call.Done.TrySetResult();
            }
            else
            {
                call.Done.TrySetException(call.Failure);
            }
        }
    }
}
