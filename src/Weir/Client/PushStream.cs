using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>Where a part of a push stands.</summary>
internal enum PartState
{
    /// <summary>To be sent, or sent again.</summary>
    Unsent,

    /// <summary>In a frame that waits for the node's window.</summary>
    Queued,

    /// <summary>In a frame that was sent and not answered.</summary>
    InFlight,

    /// <summary>Held by an aggregating table: its acknowledgement follows when the iteration closes.</summary>
    Held,

    /// <summary>Acknowledged one way or another.</summary>
    Done,
}

/// <summary>
/// One part of a push, kept until it is acknowledged: its bytes lie in the frame it was last written into. Until it is first written they are
/// rows [From, To) of its call. Used again once it is done and no frame lists it.
/// </summary>
internal sealed class PushPart
{
    private PartState _state = PartState.Done;

    public PushStream Stream { get; private set; } = null!;

    public ulong N { get; private set; }

    public PushCall Call { get; private set; } = null!;

    public Seq Seq { get; private set; }

    /// <summary>The part's rows among those of its call, in Mix order.</summary>
    public int From { get; private set; }

    public int To { get; private set; }

    /// <summary>The bytes of the part as it is, head and padding included: what counts against bounds. A frame has no more of it.</summary>
    public int Bytes { get; private set; }

    public FrameBuffer? Frame { get; private set; }

    public int Offset { get; private set; }

    /// <summary>The bytes of the part in its frame.</summary>
    public int WrittenBytes { get; private set; }

    /// <summary>The keys as they were written: what a node that has forgotten their list is sent.</summary>
    public WrittenKeys Keys { get; set; }

    /// <summary>A node has asked for the keys.</summary>
    public bool SendsKeys { get; set; }

    public PartState State
    {
        get => _state;
        set
        {
            Stream.Unsent += (value == PartState.Unsent ? 1 : 0) - (_state == PartState.Unsent ? 1 : 0);
            _state = value;
        }
    }

    /// <summary>Frames that list the part.</summary>
    public int Listed { get; set; }

    /// <summary>The request that carries the part now: an answer to an older one is stale.</summary>
    public ulong Request { get; set; }

    /// <summary>The stream's <see cref="PushStream.AcknowledgedBelow"/> when the part was last sent: a server that answers a Gap below it has lost
    /// what it acknowledged; a Gap below what was acknowledged since is only late (simulation seed 5).</summary>
    public ulong AcknowledgedAtSend { get; set; }

    public Instant NotBefore { get; set; }

    /// <summary>It was held once, so its iteration no longer counts it as on its way.</summary>
    public bool WasHeld { get; set; }

    /// <summary>The next part of its stream.</summary>
    public void Begin(PushStream stream, PushCall call, Seq seq, int from, int to, int bytes)
    {
        (Stream, Call, Seq, From, To, Bytes) = (stream, call, seq, from, to, bytes);
        N = stream.NextN();
        (Frame, Offset, WrittenBytes, Keys, SendsKeys) = (null, 0, 0, default, false);
        (_state, Listed, Request, AcknowledgedAtSend, NotBefore, WasHeld) = (PartState.Queued, 0, 0, 0, default, false);
    }

    /// <summary>The part's bytes lie in this frame from now on, of which it holds a reference.</summary>
    public void WrittenTo(FrameBuffer frame, int offset, int bytes)
    {
        Frame?.Release();
        (Frame, Offset, WrittenBytes) = (frame.Retain(), offset, bytes);
    }

    /// <summary>The part is done: nothing of it is needed any more.</summary>
    public void LetGo()
    {
        Frame?.Release();
        (Frame, Keys) = (null, default);
    }
}

/// <summary>The parts of one session for one (table, segment), numbered 1, 2, 3 ...; deletes have streams of their own.</summary>
internal sealed class PushStream(PushSession session, uint table, uint segment, bool deletes, bool aggregates)
{
    public PushSession Session { get; } = session;

    public uint Table { get; } = table;

    public uint Segment { get; } = segment;

    public bool Deletes { get; } = deletes;

    /// <summary>The table sums a worker's parts by iteration: what Sent speaks of.</summary>
    public bool Aggregates { get; } = aggregates;

    public ulong LastN { get; private set; }

    /// <summary>Everything below this was acknowledged.</summary>
    public ulong AcknowledgedBelow { get; private set; } = 1;

    /// <summary>Parts not yet acknowledged, by n.</summary>
    public List<PushPart> Pending { get; } = [];

    /// <summary>How many of them are to be sent.</summary>
    public int Unsent { get; set; }

    public ulong NextN() => ++LastN;

    public PushPart? Find(ulong n)
    {
        if (Pending.Count == 0 || n < Pending[0].N)
        {
            return null;
        }

        int low = 0, high = Pending.Count - 1;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (Pending[middle].N < n)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return Pending[low].N == n ? Pending[low] : null;
    }

    public void Remove(PushPart part)
    {
        part.State = PartState.Done;
        Pending.Remove(part);
        AcknowledgedBelow = Pending.Count > 0 ? Pending[0].N : LastN + 1;
    }

    /// <summary>
    /// The parts to send now, in order: from the lowest unsent on, once nothing before it is still in flight and its pause is over. Sending
    /// around a part in flight would only be answered with Gaps.
    /// </summary>
    public void TakeUnsent(Instant now, List<PushPart> into)
    {
        bool begun = false;
        foreach (PushPart part in Pending)
        {
            if (part.State is PartState.InFlight or PartState.Queued && !begun)
            {
                return;
            }

            if (part.State == PartState.Unsent)
            {
                if (part.NotBefore > now)
                {
                    return;
                }

                begun = true;
                into.Add(part);
            }
        }
    }
}

/// <summary>
/// One session: who pushes (a job's worker, or the client itself), its streams, and the iterations of its clock. Guarded by its client's gate.
/// </summary>
internal sealed class PushSession(ulong id, uint group, uint worker)
{
    private readonly Dictionary<(uint Table, uint Segment, bool Deletes), PushStream> _streams = [];

    public ulong Id { get; } = id;

    /// <summary>0: not a job's worker.</summary>
    public uint Group { get; } = group;

    public uint Worker { get; } = worker;

    /// <summary>Which iterations the worker takes part in.</summary>
    public IterationSpan Span { get; init; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Why no call of this session can succeed any more.</summary>
    public WeirException? Failure { get; set; }

    public IReadOnlyCollection<PushStream> Streams => _streams.Values;

    /// <summary>The iteration that pushes belong to now; 0 without a clock.</summary>
    public long Iteration { get; set; }

    /// <summary>The last finished iteration.</summary>
    public long Clock { get; set; }

    /// <summary>Pushes of the current iteration so far: the middle of their identity (R11).</summary>
    public uint Pushes { get; set; }

    /// <summary>Iterations begun and not yet clocked, oldest first.</summary>
    public List<OpenIteration> Open { get; } = [];

    public PushStream Stream(uint table, uint segment, bool deletes, bool aggregates)
    {
        if (!_streams.TryGetValue((table, segment, deletes), out PushStream? stream))
        {
            stream = new PushStream(this, table, segment, deletes, aggregates);
            _streams.Add((table, segment, deletes), stream);
        }

        return stream;
    }

    /// <summary>Its table is gone.</summary>
    public void Forget(PushStream stream) => _streams.Remove((stream.Table, stream.Segment, stream.Deletes));

    public PushStream? Find(uint table, uint segment, bool deletes) => _streams.GetValueOrDefault((table, segment, deletes));

    public OpenIteration? Find(long iteration) => Open.Find(o => o.Iteration == iteration);
}

/// <summary>An iteration of a worker on its way to its Clock (design R20, R26).</summary>
internal sealed class OpenIteration(long iteration, TaskCreationOptions completions)
{
    public long Iteration { get; } = iteration;

    /// <summary>Calls begun whose parts have yet to be cut, for want of room.</summary>
    public int WaitingCalls { get; set; }

    /// <summary>Parts neither held nor acknowledged.</summary>
    public int NotHeld { get; set; }

    /// <summary>Parts not acknowledged.</summary>
    public int NotAcknowledged { get; set; }

    /// <summary>The worker has ended it: no push will be added.</summary>
    public bool Ended { get; set; }

    /// <summary>The last n of each aggregating stream when it ended.</summary>
    public List<(PushStream Stream, ulong N)>? LastNs { get; set; }

    /// <summary>Nodes that have yet to acknowledge Sent: node to the request in flight.</summary>
    public Dictionary<ulong, (ulong Request, Instant RetryAt)>? Sents { get; set; }

    public WeirException? Failure { get; set; }

    /// <summary>After this nobody waits for its end any more; it may still come.</summary>
    public Instant Deadline { get; set; } = Instant.Never;

    public TaskCompletionSource Clocked { get; } = new(completions);
}

/// <summary>
/// One call to push: done when all of its parts are. The values are the caller's until then, and are read when a frame is written. Guarded
/// by the client's gate.
/// </summary>
internal sealed class PushCall(
    PushSender sender, PushSession session, WeirTable table, KeySlices slices, ReadOnlyMemory<float> values, PartOperation operation, Instant deadline, TaskCreationOptions completions)
    : TaskCompletionSource(completions)
{
    private CancellationTokenRegistration _cancellation;
    private bool _kept;
    private bool _letGo;

    public PushSession Session { get; } = session;

    public WeirTable Table { get; } = table;

    public KeySlices Slices { get; } = slices;

    public ReadOnlyMemory<float> Values { get; private set; } = values;

    public PartOperation Operation { get; } = operation;

    public Instant Deadline { get; } = deadline;

    /// <summary>Its place in the session's order; pieces are numbered as the call is cut.</summary>
    public Seq Seq { get; set; }

    public OpenIteration? Iteration { get; set; }

    /// <summary>It waits for room no longer: its parts have their numbers.</summary>
    public bool IsCut { get; set; }

    /// <summary>Frames of it that are yet to be written, for which the values are needed.</summary>
    public int Unwritten { get; set; }

    public int PartsLeft { get; set; }

    /// <summary>The first refusal that counts as done (Failed) among the parts.</summary>
    public WeirException? Failure { get; set; }

    /// <summary>What the servers said a part waits for.</summary>
    public string? WaitsFor { get; set; }

    /// <summary>What a server that had no room for new rows said of a part, until a part is taken again; null for none.</summary>
    public string? LacksRoom { get; set; }

    /// <summary>The other half of a PushPull: it fails with this one.</summary>
    public PullCall? Pull { get; init; }

    /// <summary>What stands before the values of each part: the arithmetic, or the function and its argument, in multiples of 8 bytes. Empty for other operations.</summary>
    public ReadOnlyMemory<byte> Head { get; init; }

    /// <summary>Whether rows of values travel.</summary>
    public bool HasValues { get; } = !values.IsEmpty;

    /// <summary>Bytes of a row's values; where they do not travel, at the server: what bounds a part, and the parts of a frame.</summary>
    public int RowBytes => Operation == PartOperation.Delete ? 0 : Table.Width * sizeof(float);

    /// <summary>Bytes on the wire behind so many keys.</summary>
    public int ValueBytes(int rows) => Head.Length + (HasValues ? rows * RowBytes : 0);

    /// <summary>From now on the token ends the waiting. Without a closure: a call allocates for it nothing that is not used again.</summary>
    public void EndBy(CancellationToken cancellation)
    {
        if (cancellation.CanBeCanceled && !Task.IsCompleted)
        {
            _cancellation = cancellation.UnsafeRegister(static (call, token) => ((PushCall)call!).EndNow(token), this);
        }
    }

    public void Succeed()
    {
        _cancellation.Unregister();
        TrySetResult();
    }

    /// <summary>False where it has ended already.</summary>
    public bool TryFail(Exception failure)
    {
        _cancellation.Unregister();
        return TrySetException(failure);
    }

    /// <summary>The caller takes its buffer back: from now on a copy stands for it.</summary>
    public void KeepValues()
    {
        if (!_kept)
        {
            _kept = true;
            Values = Values.ToArray();
        }
    }

    /// <summary>A frame of it was written, or will never be.</summary>
    public void FrameWritten()
    {
        if (--Unwritten == 0)
        {
            LetGo();
        }
    }

    /// <summary>Nothing of it is to be written any more: the values are not looked at again, and the slices are given back, once.</summary>
    public void LetGo()
    {
        Values = default;
        if (!_letGo)
        {
            _letGo = true;
            Slices.Dispose();
        }
    }

    // On whichever thread cancels; it may come just after the call has ended.
    private void EndNow(CancellationToken cancellation)
    {
        lock (sender.Gate)
        {
            sender.Cancel(this, cancellation);
        }
    }
}
