using Microsoft.Extensions.Logging;
using Weir.Server;
using Weir.World;

namespace Weir.Host;

/// <summary>
/// A server node as a loop drives it: it begins once its address is known, hands the node's notes to the log, and ends where the node says that
/// it must.
/// </summary>
internal sealed class HostedNode(ILogger log, string name) : IMachine
{
    /// <summary>The node; null until its address is known. What comes before is lost, as any frame may be.</summary>
    public ServerNode? Node { get; set; }

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        if (Node is null)
        {
            frame.Release();
            return;
        }

        Node.Receive(link, frame, now);
    }

    public void LinkDown(LinkId link, string reason, Instant now) => Node?.LinkDown(link, reason, now);

    public void LinkHasRoom(LinkId link, Instant now) => Node?.LinkHasRoom(link, now);

    public void Tick(Instant now) => Node?.Tick(now);

    public bool TurnIsFull => Node is { TurnIsFull: true };

    public void EndTurn()
    {
        if (Node is null)
        {
            return;
        }

        Node.EndTurn();
        while (Node.Outbox.Notes.TryDequeue(out string? note))
        {
            Log.NodeNote(log, name, note);
        }

        if (Node.StopReason is { } reason)
        {
            throw new NodeStoppedException(reason);
        }
    }
}

/// <summary>A node that must stop, by no defect of its own: the message says why and what to do.</summary>
internal sealed class NodeStoppedException(string reason) : Exception(reason);
