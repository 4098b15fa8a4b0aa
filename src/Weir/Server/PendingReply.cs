using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The answer to a push, or to held parts whose iteration closed, which goes out once the tails have acknowledged what it speaks of
/// (design R13, R16). It is dropped where this node stops being the head: the client asks the next one.
/// </summary>
internal sealed class PendingReply(LinkId link, ulong requestId, ulong session, PartReply[] replies)
{
    /// <summary>Entries that it still waits for.</summary>
    public int Waiting { get; set; }

    public void Send(NodeState node)
    {
        var body = new PushReplyBody(replies);
        node.Counters.PushBytes += body.Bytes + FrameHeader.Size;
        FrameHeader header = node.Header(FrameKind.PushReply);
        (header.RequestId, header.Session) = (requestId, session);
        node.Outbox.Send(link, header, body);
    }
}

/// <summary>Bytes of log entries that a node keeps, over all its segments.</summary>
internal sealed class LogBytes
{
    public long Total { get; set; }
}
