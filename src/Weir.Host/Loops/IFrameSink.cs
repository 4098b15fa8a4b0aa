using Weir.Wire;
using Weir.World;

namespace Weir.Host.Loops;

/// <summary>
/// Where a network puts what it receives. A network calls <see cref="Receive"/> for every whole frame that it has in hand and then
/// <see cref="EndReceive"/> once, so that many small frames of one read make one turn. Thread-safe: each connection calls from its own thread.
/// </summary>
internal interface IFrameSink
{
    /// <summary>
    /// Asked after a header was read and checked and before its body is read: the buffer that header and body go to, of Length
    /// <see cref="FrameHeader.Size"/> + <see cref="FrameHeader.BodyLength"/> bytes. The caller holds its one reference.
    /// </summary>
    FrameBuffer Place(in FrameHeader header);

    /// <summary>A whole frame with right checksums. The sink takes over one reference. Returns at once.</summary>
    void Receive(LinkId link, FrameBuffer frame);

    /// <summary>The caller has no further frame in hand; the sink may use the caller's thread for a bounded turn.</summary>
    void EndReceive();

    /// <summary>A link could not be opened or broke; the reason is a sentence for people.</summary>
    void LinkDown(LinkId link, string reason);

    /// <summary>A link that had no room has some again. Returns at once and runs nothing on the caller's thread, which is about to write.</summary>
    void LinkHasRoom(LinkId link);

    /// <summary>
    /// Complete while the sink can take more; otherwise completes when it can. A reader waits for it before it reads on, so a slow
    /// machine slows its peers' sockets down and not its own memory up.
    /// </summary>
    ValueTask RoomAsync();
}
