using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// The client as a machine: frames and ticks in, frames out, calls completed. It may be called from any thread; one gate guards all of its
/// state, and nothing is sent or awaited under it.
/// </summary>
internal sealed class ClientCore : IMachine, IDisposable
{
    private readonly Dictionary<ulong, Question> _questions = [];
    private Instant _nextMapRead;
    private ulong _mapWanted;
    private bool _readsWholeMap;
    private int _mapReads;
    private bool _disposed;
    private WeirException? _stopped;

    /// <summary>A request with one answer: asked again until it comes or its deadline passes.</summary>
    private sealed class Question(NodeLink node, bool isForManager, FrameKind answer, Func<ulong, FrameBuffer> frame, byte[] into, Instant deadline, TaskCreationOptions completions)
    {
        public NodeLink Node { get; set; } = node;

        /// <summary>It is for the manager, whoever that is by now.</summary>
        public bool IsForManager { get; } = isForManager;

        /// <summary>How often it was asked again.</summary>
        public int Attempts { get; set; }

        /// <summary>How often since then somebody named another node.</summary>
        public int Redirections { get; set; }

        public FrameKind Answer { get; } = answer;

        public Func<ulong, FrameBuffer> Frame { get; } = frame;

        public Instant Deadline { get; } = deadline;

        public Instant RetryAt { get; set; }

        public TaskCompletionSource<ReadOnlyMemory<byte>> Done { get; } = new(completions);

        /// <summary>The answer has come: its body is copied to where the asker has room for it, or else to an array of its own.</summary>
        public void Answered(ReadOnlySpan<byte> body)
        {
            byte[] array = body.Length <= into.Length ? into : GC.AllocateUninitializedArray<byte>(body.Length);
            body.CopyTo(array);
            Done.TrySetResult(array.AsMemory(0, body.Length));
        }
    }

    public ClientCore(
        ClientOptions options,
        INetwork network,
        ITimers timers,
        FramePool pool,
        Rng rng,
        TaskCreationOptions completions = TaskCreationOptions.RunContinuationsAsynchronously)
    {
        IReadOnlyList<string> faults = options.Validate();
        if (faults.Count > 0)
        {
            throw new ArgumentException(string.Join("; ", faults), nameof(options));
        }

        State = new ClientState(options, network, timers, pool, rng, completions);
        Over = new TaskCompletionSource(completions);
        Pushes = new PushSender(State);
        Pulls = new PullSender(State);
        Clocks = new ClockSender(State, Pushes);
        Changes = new PlannedChanges(State, Pushes);
        Tasks = new TaskHost(State);
        Pushes.IterationMoved = Clocks.Moved;
        State.WrittenAsSent = Pushes.TryTakeFrame;
        Pushes.MapWanted = WantMap;
        Pulls.MapWanted = WantMap;
        State.Defect = Stop;
    }

    public ClientState State { get; }

    /// <summary>The newest map that anybody named to this client.</summary>
    public ulong NamedMapVersion
    {
        get
        {
            lock (State.Gate)
            {
                return _mapWanted;
            }
        }
    }

    public PushSender Pushes { get; }

    public PullSender Pulls { get; }

    public ClockSender Clocks { get; }

    public PlannedChanges Changes { get; }

    /// <summary>The tasks that others have this process run.</summary>
    public TaskHost Tasks { get; }

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        try
        {
            lock (State.Gate)
            {
                if (!IsOver && State.Find(link) is { } node && FrameHeader.TryRead(frame.Span, out FrameHeader header) == HeaderFault.None)
                {
                    node.Heard = now;
                    node.OwesSince = Instant.Never;
                    node.DownReason = null;
                    Dispatch(node, header, frame.Span[FrameHeader.Size..], now);
                }
            }
        }
        finally
        {
            frame.Release();
        }

        State.Flush();
    }

    public void LinkDown(LinkId link, string reason, Instant now)
    {
        lock (State.Gate)
        {
            if (State.Find(link) is { } node)
            {
                node.DownReason = reason;
            }
        }
    }

    public void LinkHasRoom(LinkId link, Instant now) => State.Flush();

    public void Tick(Instant now)
    {
        lock (State.Gate)
        {
            if (IsOver)
            {
                return;
            }

            TickQuestions(now);
            if (State.Map is not null)
            {
                Reachability(now);
                Pushes.Tick(now);
                Pulls.Tick(now);
                Clocks.Tick(now);
                Changes.Tick(now);
                if (_mapWanted > State.Map.Version && now >= _nextMapRead)
                {
                    ReadMap(ManagerOrOther(_mapReads++), now);
                }
            }
        }

        State.Flush();
    }

    public void EndTurn()
    {
    }

    /// <summary>Where the client's sessions stand, in lines for people.</summary>
    public string Describe()
    {
        lock (State.Gate)
        {
            return $"client {State.Process % 1000} map {State.Map?.Version} questions [{string.Join(",", _questions.Values.Select(q => $"{q.Answer} of {q.Node.Address}"))}] pulls [{Pulls.Describe()}] " + string.Join(" ", Pushes.Sessions.Select(s =>
                $"[session {s.Id} worker {s.Worker} clock {s.Clock} iteration {s.Iteration} failure {s.Failure?.Status} open "
                + string.Join(",", s.Open.Select(o => $"{o.Iteration}:ended={o.Ended},waiting={o.WaitingCalls},notHeld={o.NotHeld},notAcked={o.NotAcknowledged},sents={o.Sents?.Count}"))
                + " parts " + string.Join(",", s.Streams.SelectMany(x => x.Pending.Select(p => $"{x.Segment}.{p.N}={p.State}"))) + "]"));
        }
    }

    /// <summary>
    /// Asks a node one question and gives the answer's body. Fails with <see cref="Status.Unreachable"/> where no answer comes in time.
    /// </summary>
    public async Task<byte[]> AskAsync<TBody>(string address, FrameKind kind, FrameKind answer, TBody body, long deadlineMs, CancellationToken cancellation, bool anyCluster = false)
        where TBody : IBody => ArrayOf(await AskAsync(address, kind, answer, body, [], deadlineMs, anyCluster, cancellation));

    /// <summary>The same for large answers, one after another.</summary>
    /// <returns>The answer's body, in <paramref name="into"/> where it fits; nobody writes there once the task has ended.</returns>
    public Task<ReadOnlyMemory<byte>> AskAsync<TBody>(string address, FrameKind kind, FrameKind answer, TBody body, byte[] into, long deadlineMs, CancellationToken cancellation)
        where TBody : IBody => AskAsync(address, kind, answer, body, into, deadlineMs, false, cancellation);

    /// <summary>
    /// Asks the manager one question and gives the answer's body. Where the manager does not answer, the other members are asked in turn: one of
    /// them takes over, and each names whom it takes for the manager. Fails with <see cref="Status.Unreachable"/> where no answer comes in time.
    /// </summary>
    public async Task<byte[]> AskManagerAsync<TBody>(FrameKind kind, FrameKind answer, TBody body, long deadlineMs, CancellationToken cancellation, bool anyCluster = false)
        where TBody : IBody => ArrayOf(await AskAsync(null, kind, answer, body, [], deadlineMs, anyCluster, cancellation));

    /// <summary>The array of an answer that had no room of its own: it is as long as the answer.</summary>
    private static byte[] ArrayOf(ReadOnlyMemory<byte> answer) => MemoryMarshal.TryGetArray(answer, out ArraySegment<byte> array) ? array.Array! : [];

    private async Task<ReadOnlyMemory<byte>> AskAsync<TBody>(
        string? address, FrameKind kind, FrameKind answer, TBody body, byte[] into, long deadlineMs, bool anyCluster, CancellationToken cancellation)
        where TBody : IBody
    {
        cancellation.ThrowIfCancellationRequested();
        Question question;
        ulong request;
        lock (State.Gate)
        {
            ThrowIfClosed();
            NodeLink node = State.LinkTo(address ?? State.Map!.Manager.Address);
            FrameBuffer Build(ulong id)
            {
                FrameHeader header = kind == FrameKind.ReadMap ? MapRequest(id) : State.Header(kind, id);
                header.Cluster = anyCluster ? 0 : header.Cluster;
                return Frames.Build(State.Pool, header, body);
            }

            question = new Question(node, address is null, answer, Build, into, State.Now.AfterMs(deadlineMs), State.Completions) { RetryAt = State.Now.AfterMs(RetryMs) };
            request = State.NextRequest();
            _questions.Add(request, question);
            State.Send(node, Build(request));
        }

        State.Flush();
        using CancellationTokenRegistration registration = cancellation.Register(() =>
        {
            lock (State.Gate)
            {
                _questions.Remove(request);
            }

            question.Done.TrySetCanceled(cancellation);
        });
        return await question.Done.Task;
    }

    /// <summary>Waits until this client's map is at least as new as the version.</summary>
    public async Task MapAtLeastAsync(ulong version, CancellationToken cancellation)
    {
        while (true)
        {
            Task changed;
            lock (State.Gate)
            {
                if (State.Map is { } map && map.Version >= version)
                {
                    return;
                }

                changed = State.MapChanged;
                if (State.Map is { } older)
                {
                    WantMap(State.LinkTo(older.Manager.Address), version);
                }
            }

            State.Flush();
            await changed.WaitAsync(cancellation);
        }
    }

    public void Adopt(ClusterMap map)
    {
        Instant now = State.Now;
        ClusterMap? older = State.Map;
        if (State.Adopt(map))
        {
            _readsWholeMap = false;
            if (older is not null && map.Generation > older.Generation)
            {
                Restored();
            }

            Pushes.MapChanged(older, now);
            Pulls.MapChanged(older, now);
            Clocks.MapChanged(older);
            Changes.MapChanged();
        }
    }

    /// <summary>
    /// A generation is over (design R24): clocks, sessions and reads of it count for nothing, and who hosts workers begins from the recorded clocks.
    /// </summary>
    private void Restored()
    {
        var restored = new WeirException(Status.Restored, "the cluster was restored from a checkpoint; what was under way is gone with what was acknowledged since");
        Clocks.EndGeneration();
        foreach (PushSession session in Pushes.Sessions.ToArray())
        {
            Pushes.Fail(session, restored);
        }

        Changes.FailHeld();
        Pulls.Fail(restored, _ => true);
    }

    public void Dispose()
    {
        lock (State.Gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            if (_stopped is not null)
            {
                // All calls have failed, and what they held is not to be looked at.
                return;
            }

            var closed = new ObjectDisposedException(nameof(WeirClient), "the client was closed while the call was under way");
            foreach (Question question in _questions.Values)
            {
                question.Done.TrySetException(closed);
            }

            foreach (PushSession session in Pushes.Sessions.ToArray())
            {
                Pushes.Fail(session, new WeirException(Status.Ended, "the client was closed while the call was under way"));
            }

            Changes.FailHeld();
            Pulls.Fail(new WeirException(Status.Ended, "the client was closed while the call was under way"), _ => true);
            Over.TrySetException(closed);
            Pushes.DropFrames();
            State.End(closed);
        }
    }

    /// <summary>
    /// An exception came out of this machine, which so stands in the middle of something: it does nothing more. All calls fail, and all that
    /// are made later, and say why.
    /// </summary>
    public void Stop(Exception defect)
    {
        lock (State.Gate)
        {
            if (IsOver)
            {
                return;
            }

            _stopped = new WeirException(
                Status.Ended,
                $"this client has stopped, since it failed ({defect.GetType().Name}: {defect.Message}); what was under way may have taken effect. Open a new client; "
                + "where the failure is not that of a buffer which was freed during its call, please report it",
                cause: defect);
            foreach (Question question in _questions.Values)
            {
                question.Done.TrySetException(_stopped);
            }

            Pushes.EndCalls(_stopped);
            Pulls.EndCalls(_stopped);
            Changes.FailHeld();
            Over.TrySetException(_stopped);
            State.End(_stopped);
        }
    }

    /// <summary>To be called under the gate before a call is taken on: nothing answers it any more where the client is closed or has stopped.</summary>
    public void ThrowIfClosed()
    {
        ObjectDisposedException.ThrowIf(_disposed, typeof(WeirClient));
        if (_stopped is not null)
        {
            throw _stopped;
        }
    }

    private bool IsOver => _disposed || _stopped is not null;

    private static long RetryMs => 250;

    private void Dispatch(NodeLink node, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        if (State.Map is { } map && header.Cluster == map.Cluster && header.MapVersion > map.Version)
        {
            WantMap(node, header.MapVersion);
        }

        switch (header.Kind)
        {
            case FrameKind.PushReply:
                Pushes.Receive(node, header, body, now);
                break;
            case FrameKind.PullReply:
                Pulls.Receive(node, header, body, now);
                break;
            case FrameKind.SentReply:
                Clocks.SentAcknowledged(header.RequestId);
                break;
            case FrameKind.ClockReply when !_questions.ContainsKey(header.RequestId):
                Clocks.ClockAcknowledged(header.RequestId);
                break;
            case FrameKind.ReadMapReply when !_questions.ContainsKey(header.RequestId):
                if (body.Length > 0 && MapEncoding.TryDecode(body, out ClusterMap newer))
                {
                    Adopt(newer);
                }

                break;
            case FrameKind.MapDifferences:
                MapDifferences(node, header, body, now);
                break;
            case FrameKind.Error:
                Failed(node, header.RequestId, body);
                break;
            case FrameKind.Task:
                Tasks.Receive(node, header.RequestId, body);
                break;
            default:
                if (_questions.TryGetValue(header.RequestId, out Question? question)
                    && !(question.IsForManager && IsRedirected(question, header, body)) && question.Answer == header.Kind)
                {
                    _questions.Remove(header.RequestId);
                    question.Answered(body);
                }

                break;
        }
    }

    /// <summary>Whether the answer is that somebody else is the manager, who is then asked instead. Two that name each other are left alone for a while.</summary>
    private bool IsRedirected(Question question, in FrameHeader header, ReadOnlySpan<byte> body)
    {
        const int MostRedirections = 3;
        if (header.Kind != FrameKind.AdminReply || !AdminReplyBody.TryRead(body, out AdminReplyBody reply) || reply.Status != Status.NotOwner)
        {
            return false;
        }

        if (reply.Text.Length is > 0 and <= JoinNodeBody.MaxTextLength && question.Redirections++ < MostRedirections)
        {
            question.Node = State.LinkTo(reply.Text);
            State.Send(question.Node, question.Frame(header.RequestId));
        }

        return true;
    }

    /// <summary>The manager, and at every second attempt another member: the manager may be gone, and then one of them takes its place.</summary>
    private NodeLink ManagerOrOther(int attempt)
    {
        ClusterMap map = State.Map!;
        return State.LinkTo(attempt % 2 == 0 ? map.Manager.Address : map.Members[attempt / 2 % map.Members.Length].Address);
    }

    private void Failed(NodeLink node, ulong request, ReadOnlySpan<byte> body)
    {
        if (!StatusBody.TryRead(body, out StatusBody error))
        {
            return;
        }

        var failure = new WeirException(error.Status, $"server {node.Address} refused: {error.Text}", node.Address);
        if (_questions.Remove(request, out Question? question))
        {
            question.Done.TrySetException(failure);
        }
        else if (request != 0 || error.Status == Status.Conflict)
        {
            // A transport's refusal names no request. One that speaks another version answers nothing that waits for it. Else the bytes were damaged or slow
            // on the way, or it has too much to do: it closes the connection, and all that was under way is sent again over another.
            FailNode(node, failure);
        }
    }

    private void TickQuestions(Instant now)
    {
        foreach ((ulong request, Question question) in _questions.ToArray())
        {
            if (question.Deadline <= now)
            {
                _questions.Remove(request);
                string reason = question.Node.DownReason ?? "no answer";
                question.Done.TrySetException(new WeirException(Status.Unreachable, $"{question.Node.Address} does not answer ({reason})", question.Node.Address));
            }
            else if (question.RetryAt <= now)
            {
                question.RetryAt = now.AfterMs(RetryMs);
                if (question.IsForManager)
                {
                    question.Node = ManagerOrOther(++question.Attempts);
                    question.Redirections = 0;
                }

                State.Send(question.Node, question.Frame(request));
            }
        }
    }

    /// <summary>A node that owes an answer, whose link is down, and that was not heard for too long: what waits for it fails.</summary>
    private void Reachability(Instant now)
    {
        ClusterMap map = State.Map!;
        if (map.Replicas > 0)
        {
            // Others hold what it holds: the map will say who.
            return;
        }

        foreach (NodeLink node in State.Links.ToArray())
        {
            if (node.DownReason is { } reason && node.OwesSince != Instant.Never && now.MsSince(node.OwesSince) > State.Options.UnreachableMs)
            {
                bool register = map.Acceptors is [string only] && only == node.Address;
                int segments = map.Chains.Count(c => c.Head != ClusterMap.Nobody && map.Members[c.Head].Address == node.Address);
                string what = register
                    ? $"the first server, {node.Address}, is gone ({reason}): it held the cluster's map and the only copy of {segments} of {map.Segments} segments, which are lost"
                    : $"server {node.Address} is gone ({reason}) and with it the only copy of {segments} of {map.Segments} segments";
                FailNode(node, new WeirException(Status.StateLost, what, node.Address));
                node.OwesSince = Instant.Never;
                if (register)
                {
                    foreach (PushSession session in Pushes.Sessions.ToArray())
                    {
                        Pushes.Fail(session, new WeirException(Status.StateLost, what, node.Address));
                    }

                    Pulls.Fail(new WeirException(Status.StateLost, what, node.Address), _ => true);
                    Over.TrySetException(new WeirException(Status.StateLost, what, node.Address));
                }
            }
        }
    }

    /// <summary>Fails once the client is closed or has stopped by a defect, or the register's only acceptor is out of reach for too long; never completes otherwise.</summary>
    public TaskCompletionSource Over { get; }

    private void FailNode(NodeLink node, WeirException failure)
    {
        Pushes.Fail(node, failure);
        Pulls.Fail(node, failure);
        foreach ((ulong request, Question question) in _questions.Where(q => q.Value.Node == node && !q.Value.IsForManager).ToArray())
        {
            _questions.Remove(request);
            question.Done.TrySetException(failure);
        }
    }

    private void WantMap(NodeLink node, ulong version)
    {
        if (version > _mapWanted)
        {
            _mapWanted = version;
            ReadMap(node, State.Now);
        }
    }

    private void ReadMap(NodeLink node, Instant now)
    {
        _nextMapRead = now.AfterMs(RetryMs);
        State.Send(node, MapRequest(State.NextRequest()), default(EmptyBody));
    }

    private FrameHeader MapRequest(ulong id)
    {
        FrameHeader header = State.Header(FrameKind.ReadMap, id);

        // The map that it has, not the one that it rests on: of that one it would be told that it knows it.
        header.MapVersion = _readsWholeMap ? 0 : State.Map?.Version ?? 0;
        return header;
    }

    private void MapDifferences(NodeLink node, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        if (State.Map is { } map && header.MapVersion > map.Version)
        {
            if (!MapDifference.TryApply(map, body, out ClusterMap newer))
            {
                // They do not lead on from this client's map. A question asks for the whole one when it is sent again.
                _readsWholeMap = true;
                ReadMap(node, now);
                return;
            }

            Adopt(newer);
        }

        if (_questions.TryGetValue(header.RequestId, out Question? question) && question.Answer == FrameKind.ReadMapReply)
        {
            // What it would read is adopted already.
            _questions.Remove(header.RequestId);
            question.Answered([]);
        }
    }
}
