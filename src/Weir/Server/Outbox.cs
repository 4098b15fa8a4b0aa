using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// What a turn of the node wants sent. Heartbeats, acknowledgements and other small replies go out before bulk (design R25); nothing leaves
/// before the turn has ended, so that a node that stops in mid-turn has told nobody anything.
/// </summary>
internal sealed class Outbox(INetwork network)
{
    private readonly List<(LinkId Link, FrameBuffer Frame)> _urgent = [];
    private readonly List<(LinkId Link, FrameBuffer Frame)> _bulk = [];
    private readonly Dictionary<LinkId, long> _bulkBytes = [];
    private readonly Dictionary<string, LinkId> _links = [];

    private const int KeptNotes = 1000;
    private const int NoteLength = 1000;

    /// <summary>What people should know, for the host's log: the core writes none.</summary>
    public Queue<string> Notes { get; } = new();

    public FramePool Pool { get; init; } = FramePool.Shared;

    public LinkId Open(string address)
    {
        if (!_links.TryGetValue(address, out LinkId link))
        {
            link = network.Open(address);
            _links.Add(address, link);
        }

        return link;
    }

    /// <summary>Keeps a note for the host. Bounded in number and length: peers cause them.</summary>
    public void Note(string text)
    {
        if (Notes.Count < KeptNotes)
        {
            Notes.Enqueue(text.Length <= NoteLength ? text : text[..NoteLength]);
        }
    }

    public void Close(LinkId link) => network.Close(link);

    public void Send<TBody>(LinkId link, in FrameHeader header, in TBody body)
        where TBody : IBody => _urgent.Add((link, Frames.Build(Pool, header, body)));

    /// <summary>A frame of rows: it goes after what the turn has to say in few bytes.</summary>
    public void SendBulk(LinkId link, FrameBuffer frame)
    {
        _bulk.Add((link, frame));
        CollectionsMarshal.GetValueRefOrAddDefault(_bulkBytes, link, out _) += frame.Capacity;
    }

    /// <summary>Whether a link takes more rows, with those that this turn has for it already; see <see cref="INetwork.HasRoom"/>.</summary>
    public bool HasRoom(LinkId link) => network.HasRoom(link, _bulkBytes.GetValueOrDefault(link));

    public void SendStatus(LinkId link, in FrameHeader header, Status status, string text = "") =>
        Send(link, header, new StatusBody(status, text));

    public void Flush()
    {
        Flush(_urgent);
        Flush(_bulk);
        _bulkBytes.Clear();
    }

    private void Flush(List<(LinkId Link, FrameBuffer Frame)> frames)
    {
        foreach ((LinkId link, FrameBuffer frame) in frames)
        {
            network.Send(link, frame);
        }

        frames.Clear();
    }
}
