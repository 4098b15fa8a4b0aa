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
    // A node that does not answer is asked again after 1, 2, 4 and then every 8 times the interval.
    private const int MostTimeouts = 3;

    private readonly PushPacking _packing = new(state);
    private readonly Dictionary<ulong, PushFrame> _inFlight = [];
    private readonly List<ulong> _late = [];
    private readonly Dictionary<ulong, PushSession> _sessions = [];
    private readonly WaitingPushes _waiting = new();
    private readonly List<PushCall> _calls = [];

    /// <summary>Why a call waits for room for new rows; null where none does.</summary>
    public string? LacksRoom => _calls.Find(call => call.LacksRoom is not null)?.LacksRoom;
    private readonly HashSet<PushStream> _stirred = [];
    private readonly List<PartReply> _replies = [];
    private long _pendingBytes;
    private long _pendingDeleteBytes;
    private int _lastNode;

    // Made once: a delegate is an object, and calls are admitted at every frame.
    private Func<PushCall, bool>? _isNeeded;

    /// <summary>Raised where an iteration's counts fell: it may be sent or clocked now.</summary>
    public Action<PushSession>? IterationMoved { get; set; }

    /// <summary>Raised where a reply named a newer map or an owner that this map does not know.</summary>
    public Action<NodeLink, ulong>? MapWanted { get; set; }

    public object Gate => state.Gate;

    public IReadOnlyCollection<PushSession> Sessions => _sessions.Values;

    public void Add(PushSession session) => _sessions.Add(session.Id, session);

    public void Remove(PushSession session) => _sessions.Remove(session.Id);

    public PushSession? Find(ulong session) => _sessions.GetValueOrDefault(session);

    /// <summary>
    /// Takes a push on, and with it one reference to its slices. Its place in the session's order is fixed now; where too much is pending it is
    /// cut later, in the same order.
    /// </summary>
    public PushCall Push(
        PushSession session, WeirTable table, KeySlices slices, ReadOnlyMemory<float> values, PartOperation operation, Instant deadline, PullCall? pull, ReadOnlyMemory<byte> head = default)
    {
        var call = new PushCall(this, session, table, slices, values, operation, deadline, state.Completions) { Pull = pull, Head = head };
        if (session.Failure is { } failure)
        {
            call.IsCut = true;
            call.LetGo();
            call.TryFail(failure);
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

        call.Seq = new Seq(iteration, push, 0);
        _calls.Add(call);
        _waiting.Add(call);
        AdmitWaiting();
        return call;
    }

    /// <summary>The caller waits no longer, and may use its buffer for something else.</summary>
    public void Cancel(PushCall call, CancellationToken cancellation)
    {
        TakeBuffer(call);
        call.TrySetCanceled(cancellation);
    }

    /// <summary>The same for a caller that hears of another failure.</summary>
    public void Abandon(PushCall call, Exception failure)
    {
        TakeBuffer(call);
        call.TryFail(failure);
    }

    public void Receive(NodeLink node, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        state.PushBytes += body.Length + FrameHeader.Size;
        state.UncompressedBytes += body.Length + FrameHeader.Size;
        if (!PushReplyBody.TryRead(body, _replies))
        {
            return;
        }

        if (_inFlight.Remove(header.RequestId, out PushFrame? answered))
        {
            answered.Node.FramesInFlight--;
            answered.Node.Timeouts = 0;
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

        if (answered is not null)
        {
            GiveUp(answered, header.RequestId, now);
        }

        AdmitWaiting();
    }

    /// <summary>Retries what was not answered, resumes what paused, fails what has passed its deadline.</summary>
    public void Tick(Instant now)
    {
        GiveUpLate(now);
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
            if (!call.Task.IsCompleted && call.Deadline <= now)
            {
                Abandon(call, new WeirException(
                    Status.DeadlineExceeded, "a push was not acknowledged in time; it may still be applied, once" + (call.WaitsFor is null ? "" : $" ({call.WaitsFor})")));
            }

            if (call.Task.IsCompleted)
            {
                _calls.RemoveAt(i);
            }
        }

        AdmitWaiting();
    }

    /// <summary>A newer map: parts for segments that nobody holds any more fail; those of a moved head, held ones too, go to the new one (R19).</summary>
    public void MapChanged(ClusterMap? older, Instant now)
    {
        bool MovedFrom(PushPart part) => older is not null && state.Map!.HasMoved((int)part.Stream.Segment, older) && state.Head((int)part.Stream.Segment) is not null;
        foreach (PushSession session in _sessions.Values.ToArray())
        {
            if (session.Failure is null && !state.Map!.TryFindSession(session.Id, out _))
            {
                Fail(session, new WeirException(Status.Ended, $"session {session.Id} has ended: its process was silent for too long, or its worker is hosted by another"));
                continue;
            }

            foreach (PushStream stream in session.Streams)
            {
                if (stream.Pending.Count == 0)
                {
                    continue;
                }

                if (state.Map!.Head((int)stream.Segment) is null)
                {
                    Fail(session, state.Lost((int)stream.Segment));
                    break;
                }

                if (MovedFrom(stream.Pending[0]))
                {
                    // What paused because the old head made way goes on at once.
                    foreach (PushPart part in stream.Pending.Where(p => p.State is PartState.InFlight or PartState.Held or PartState.Unsent))
                    {
                        Unsend(part, now);
                    }
                }
            }
        }

        if (older is not null && !ReferenceEquals(older.Chains, state.Map!.Chains))
        {
            _packing.Move(MovedFrom);
        }
    }

    /// <summary>No call of the session can succeed any more.</summary>
    public void Fail(PushSession session, WeirException failure)
    {
        session.Failure ??= failure;

        // What is yet to be written first: once its call has ended, its values are its caller's.
        DropFrames(frame => frame.Session == session);
        foreach (PushCall call in _waiting.Of(session))
        {
            Withdraw(call);
        }

        // The calls before the parts: one that is given up must not complete its call as if it had been acknowledged.
        foreach (PushCall call in _calls)
        {
            if (call.Session == session && call.TryFail(failure))
            {
                call.Pull?.Fail(failure);
            }
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

    /// <summary>Ends every call after a defect, and touches nothing else: what the calls hold may be in any state.</summary>
    public void EndCalls(WeirException failure)
    {
        foreach (PushSession session in _sessions.Values)
        {
            session.Failure ??= failure;
            foreach (OpenIteration open in session.Open)
            {
                open.Clocked.TrySetException(failure);
            }
        }

        foreach (PushCall call in _calls)
        {
            call.TryFail(failure);
        }
    }

    /// <summary>The client closes: what waits for a window goes nowhere.</summary>
    public void DropFrames() => DropFrames(_ => true);

    /// <summary>Takes frames that are not to be sent any more out of the queues, and frees what they hold.</summary>
    private void DropFrames(Func<PushFrame, bool> which)
    {
        foreach (NodeLink node in state.Links)
        {
            for (int left = node.Waiting.Count; left > 0; left--)
            {
                PushFrame frame = node.Waiting.Dequeue();
                if (which(frame))
                {
                    _packing.Free(frame);
                }
                else
                {
                    node.Waiting.Enqueue(frame);
                }
            }
        }
    }

    private void AdmitWaiting()
    {
        while (_waiting.TakeNext(_pendingBytes < state.Options.PendingBytes, _pendingDeleteBytes < state.Options.PendingBytes, _isNeeded ??= IsNeeded) is { } call)
        {
            if (call.Iteration is not null)
            {
                call.Iteration.WaitingCalls--;
            }

            Cut(call);
            IterationMoved?.Invoke(call.Session);
        }
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
    /// A call's task is about to end, after which its buffer is its caller's: whoever waits for it may write there at once, on another thread.
    /// A worker's push keeps its place in the iteration, as a redo has it too (R14), and one that is cut keeps its numbers, each with a copy
    /// of the values; any other is withdrawn.
    /// </summary>
    private void TakeBuffer(PushCall call)
    {
        if (call.Task.IsCompleted)
        {
            return;
        }

        if (call.IsCut ? call.Unwritten > 0 : call.Iteration is not null)
        {
            call.KeepValues();
        }
        else if (!call.IsCut)
        {
            Withdraw(call);
        }
    }

    private void Withdraw(PushCall call)
    {
        _waiting.Remove(call);
        call.IsCut = true;
        call.LetGo();
        if (call.Iteration is not null)
        {
            call.Iteration.WaitingCalls--;
        }
    }

    /// <summary>Frames without an answer in time count as lost; each time in a row a node gets longer, as a crowded one is no lost one.</summary>
    private void GiveUpLate(Instant now)
    {
        _late.Clear();
        foreach ((ulong request, PushFrame frame) in _inFlight)
        {
            if (frame.RetryAt <= now)
            {
                _late.Add(request);
            }
        }

        foreach (ulong request in _late)
        {
            _inFlight.Remove(request, out PushFrame? frame);
            NodeLink node = frame!.Node;
            node.FramesInFlight--;
            if (frame.SentAt >= node.LateAt)
            {
                // All that was under way when the node was last late is late by that: a window is late once, not once a frame.
                node.LateAt = now;
                node.Timeouts = Math.Min(node.Timeouts + 1, MostTimeouts);
            }

            GiveUp(frame, request, now);
        }
    }

    /// <summary>A frame that nothing more is expected of: what is still in flight by it is to be sent again.</summary>
    private void GiveUp(PushFrame frame, ulong request, Instant now)
    {
        foreach (PushPart part in frame.Parts)
        {
            if (part.Request == request && part.State == PartState.InFlight)
            {
                Unsend(part, now);
            }
        }

        _packing.Free(frame);
    }

    private void Cut(PushCall call)
    {
        (long bytes, int? lost) = _packing.Cut(call);
        bool deletes = call.Operation == PartOperation.Delete;
        _pendingBytes += bytes;
        _pendingDeleteBytes += deletes ? bytes : 0;
        state.KeysSent += call.Slices.Rows;
        state.ValuesMoved += (long)call.Slices.Rows * (call.RowBytes / sizeof(float));
        if (call.Iteration is { } iteration)
        {
            iteration.NotHeld += call.PartsLeft;
            iteration.NotAcknowledged += call.PartsLeft;
        }

        if (lost is { } segment)
        {
            Fail(call.Session, state.Lost(segment));
            call.Pull?.Fail(state.Lost(segment));

            // Where none of its frames had been queued, nothing else does.
            call.LetGo();
        }
        else if (call.PartsLeft == 0)
        {
            call.LetGo();
            call.Succeed();
        }
    }

    /// <summary>The next frame that a node's window lets go, written just now. To be asked until there is none.</summary>
    public bool TryTakeFrame(out LinkId link, out FrameBuffer frame)
    {
        Instant now = state.Now;
        if (_stirred.Count > 0)
        {
            Resend(now);
        }

        IReadOnlyList<NodeLink> nodes = state.Links;
        for (int i = 0; i < nodes.Count; i++)
        {
            // From the one behind the last on, so that all nodes get their share.
            NodeLink node = nodes[(_lastNode + 1 + i) % nodes.Count];
            while (node.FramesInFlight < state.Options.WindowFrames && HasRoom(node) && node.Waiting.TryDequeue(out PushFrame? next))
            {
                if (Begin(node, next, now) is { } written)
                {
                    _lastNode = (_lastNode + 1 + i) % nodes.Count;
                    (link, frame) = (node.Link, written);
                    return true;
                }
            }
        }

        (link, frame) = (LinkId.None, null!);
        return false;
    }

    /// <summary>
    /// Whether the link takes a frame now: on one that is slower than its timeouts, what counts as lost still waits to be sent, and what is
    /// sent again would only wait behind it.
    /// </summary>
    private bool HasRoom(NodeLink node) => node.Waiting.Count > 0 && state.Network.HasRoom(node.Link, 0);

    private FrameBuffer? Begin(NodeLink node, PushFrame frame, Instant now)
    {
        _packing.DropDone(frame);
        if (frame.Parts.Count == 0)
        {
            _packing.Free(frame);
            return null;
        }

        (FrameBuffer buffer, PullRequest? pull) = _packing.Write(frame);
        ulong id = pull?.Id ?? state.NextRequest();
        foreach (PushPart part in frame.Parts)
        {
            part.State = PartState.InFlight;
            part.Request = id;
            part.AcknowledgedAtSend = part.Stream.AcknowledgedBelow;
        }

        FrameHeader header = state.Header(pull is null ? FrameKind.Push : FrameKind.PushPull, id, frame.Parts[0].Stream.Session.Id);
        if (pull is not null)
        {
            header.DeadlineUs = state.MicrosecondsUntil(pull.Call.Deadline);
        }

        header.Seal(buffer.Span);
        state.PushBytes += buffer.Length;
        state.UncompressedBytes += frame.Bytes;
        frame.SentAt = now;
        frame.RetryAt = now.AfterMs(state.Options.RetryMs << node.Timeouts);
        _inFlight.Add(id, frame);
        node.FramesInFlight++;
        state.Sending(node);
        return buffer;
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
            _packing.Repeat(node, parts);
        }
    }

    private void Answered(PushPart part, in PartReply reply, in FrameHeader header, NodeLink node, Instant now)
    {
        if (reply.Status <= Status.Failed)
        {
            node.KeyLists.Answered(part.Keys);
        }

        switch (reply.Status)
        {
            case Status.Failed when reply.Value == PartReply.GivenUp:
                // Sent again it would take the next of the chain along. A part is not skipped within its session (R12), so that this is given up.
                Fail(part.Stream.Session, new WeirException(Status.Failed, reply.Text, node.Address, (int)reply.Segment));
                break;
            case Status.Acked or Status.Superseded or Status.Failed:
                state.RestsOn(header.MapVersion);
                state.Superseded += reply.Status == Status.Superseded ? 1 : 0;
                part.Call.LacksRoom = null;
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
                    Stir(part.Stream);
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
                part.Call.LacksRoom = reply.Status == Status.Full ? reply.Text : part.Call.LacksRoom;
                Unsend(part, now.AfterMs(state.Options.BackoffMs));
                break;
            case Status.SendKeys when part.Request == header.RequestId && part.State == PartState.InFlight:
                node.KeyLists.Forgotten(part.Keys);
                part.SendsKeys = true;
                Unsend(part, now);
                break;
            case Status.UnknownTable or Status.StateLost:
                TableDropped(part.Stream.Session, reply.Table, new WeirException(reply.Status, reply.Text, node.Address, (int)reply.Segment));
                break;
            case Status.Ended or Status.Restored or Status.Malformed or Status.Down:
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
        DropFrames(frame => frame.Call is { } call && call.Session == session && call.Table.Id == table);
        foreach (PushStream stream in session.Streams.Where(s => s.Table == table).ToArray())
        {
            foreach (PushPart part in stream.Pending.ToArray())
            {
                part.Call.Failure ??= failure;
                part.Call.Pull?.Fail(failure);
                Finish(part);
            }

            session.Forget(stream);
        }
    }

    private void Unsend(PushPart part, Instant notBefore)
    {
        part.State = PartState.Unsent;
        part.NotBefore = notBefore;
        Stir(part.Stream);
    }

    /// <summary>Something of the stream may go out now, where it has anything to send.</summary>
    private void Stir(PushStream stream)
    {
        if (stream.Unsent > 0)
        {
            _stirred.Add(stream);
        }
    }

    private void Finish(PushPart part)
    {
        if (part.State == PartState.Done)
        {
            return;
        }

        part.Stream.Remove(part);
        part.LetGo();
        _pendingBytes -= part.Bytes;
        _pendingDeleteBytes -= part.Stream.Deletes ? part.Bytes : 0;
        Stir(part.Stream);
        PushCall call = part.Call;
        if (call.Iteration is { } iteration)
        {
            iteration.NotAcknowledged--;
            iteration.NotHeld -= part.WasHeld ? 0 : 1;
        }

        _packing.Free(part);
        if (--call.PartsLeft > 0)
        {
            return;
        }

        if (call.Failure is null)
        {
            call.Succeed();
        }
        else
        {
            call.TryFail(call.Failure);
        }
    }
}
