namespace Weir.World;

/// <summary>A way to one peer, named within this process only. Zero is no link.</summary>
internal readonly record struct LinkId(long Value)
{
    public static readonly LinkId None;

    public override string ToString() => $"link {Value}";
}

/// <summary>
/// Carries frames. It promises nothing about a frame: it may be lost, late, twice or out of order (design section 6); every request
/// has a retry timer. Thread-safe; no call blocks or throws for what the network does.
/// </summary>
internal interface INetwork
{
    /// <summary>The link to an address such as <c>127.0.0.1:4000</c>: the same address gives the same link, which reconnects by itself.</summary>
    LinkId Open(string address);

    /// <summary>Sends a frame and takes over one reference to it. A link that is down drops it.</summary>
    void Send(LinkId link, FrameBuffer frame);

    /// <summary>
    /// Whether a link takes more rows now. False where what waits for it, and <paramref name="bytes"/> that its machine has yet to send,
    /// reach the network's bound; <see cref="IMachine.LinkHasRoom"/> then follows. False also for a link that is gone, of which
    /// <see cref="IMachine.LinkDown"/> tells: nothing is made that would only be dropped. Whoever has much to say asks before each frame: a
    /// queue that is filled regardless breaks its link.
    /// </summary>
    bool HasRoom(LinkId link, long bytes);

    /// <summary>Ends a link: a peer that broke the protocol, or one no longer needed. What was queued may be lost.</summary>
    void Close(LinkId link);
}

/// <summary>Time for code that waits: the host's clock in a process, the simulator's in a simulation. Thread-safe.</summary>
internal interface ITimers
{
    Instant Now { get; }

    /// <summary>Completes after the given time, in milliseconds, or is cancelled with the token.</summary>
    Task Delay(long milliseconds, CancellationToken cancellation);
}

/// <summary>
/// What a loop drives: a server node or a client. <c>Receive</c> and <c>Tick</c> run to the end without waiting. A node is called by one
/// loop, one call at a time; a client guards itself and may be called from any thread.
/// </summary>
internal interface IMachine
{
    /// <summary>A whole, checked frame came in. The machine takes over one reference to it.</summary>
    void Receive(LinkId link, FrameBuffer frame, Instant now);

    /// <summary>A hint that a link could not be opened or broke; the reason is for people.</summary>
    void LinkDown(LinkId link, string reason, Instant now);

    /// <summary>A hint that a link on which <see cref="INetwork.HasRoom"/> said no has drained, or mostly. Only who asks needs to listen.</summary>
    void LinkHasRoom(LinkId link, Instant now)
    {
    }

    /// <summary>Called about every <see cref="TickMs"/> milliseconds: retries, deadlines, heartbeats.</summary>
    void Tick(Instant now);

    /// <summary>The machine has done so much in this turn that the loop should end it before it gives more.</summary>
    bool TurnIsFull => false;

    /// <summary>The loop has no more frames for the moment, or the turn is full: what the turn gathered goes out.</summary>
    void EndTurn();

    /// <summary>Milliseconds between ticks: fine enough for a 50 ms retry, coarse enough to cost nothing when idle.</summary>
    const int TickMs = 10;
}
