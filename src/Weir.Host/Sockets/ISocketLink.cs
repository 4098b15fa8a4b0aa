using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>What a <see cref="LinkId"/> of a socket network stands for: an address to connect to, or a connection that was accepted.</summary>
internal interface ISocketLink
{
    /// <summary>Sends or drops a frame, and takes over one reference. Never blocks.</summary>
    void Send(FrameBuffer frame);

    /// <summary>See <see cref="INetwork.HasRoom"/>.</summary>
    bool HasRoom(long bytes);

    /// <summary>Ends the link, after sending what is queued.</summary>
    void Close();
}
