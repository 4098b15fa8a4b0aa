using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>Takes what a node sends, holds each frame to the protocol, and keeps the replies to one link.</summary>
internal sealed class FuzzNetwork(LinkId kept) : INetwork
{
    private readonly BodyReaders _readers = new();
    private readonly Dictionary<string, LinkId> _links = [];

    public List<byte[]> Replies { get; } = [];

    /// <summary>The heads of all frames sent.</summary>
    public List<FrameHeader> Sent { get; } = [];

    public LinkId Open(string address)
    {
        if (!_links.TryGetValue(address, out LinkId link))
        {
            link = new LinkId(1000 + _links.Count);
            _links.Add(address, link);
        }

        return link;
    }

    public void Send(LinkId link, FrameBuffer frame)
    {
        Assert.Equal(HeaderFault.None, FrameHeader.TryRead(frame.Span, out FrameHeader header));
        Assert.True(header.BodyIsWhole(frame.Span[FrameHeader.Size..]), $"the body of a {header.Kind} is not the one that was sealed");
        bool nothingNew = header.Kind == FrameKind.ReadMapReply && header.BodyLength == 0;

        // Differences are read by whoever has the map that they start from.
        bool startsElsewhere = header.Kind == FrameKind.MapDifferences && header.BodyLength > 0;
        Assert.True(
            nothingNew || startsElsewhere || _readers.TryRead(header.Kind, frame.Span[FrameHeader.Size..]),
            $"a node sent a {header.Kind} that its own reader refuses: {Convert.ToHexString(frame.Span)}");
        Sent.Add(header);
        if (link == kept)
        {
            Replies.Add(frame.Span.ToArray());
        }

        frame.Release();
    }

    public bool HasRoom(LinkId link, long bytes) => true;

    public void Close(LinkId link)
    {
    }
}
