using System.Runtime.InteropServices;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>What the segments of this node have to say to their neighbours in a turn, gathered so that each hears it in one frame (design R16).</summary>
internal sealed class NeighbourWords(NodeState node)
{
    /// <summary>Segments in one frame: far below 1 MiB.</summary>
    private const int SegmentsAFrame = 8192;

    private readonly Dictionary<(LinkId Link, FrameKind Kind), List<ConfirmEntry>> _questions = [];
    private readonly Dictionary<LinkId, List<EntryAck>> _acks = [];

    /// <summary>A Confirm or a Confirmed.</summary>
    public void Add(LinkId link, FrameKind kind, in ConfirmEntry entry) => ListOf(_questions, (link, kind)).Add(entry);

    /// <summary>An acknowledgement.</summary>
    public void Add(LinkId link, in EntryAck ack) => ListOf(_acks, link).Add(ack);

    public void Flush()
    {
        foreach (((LinkId link, FrameKind kind), List<ConfirmEntry> entries) in _questions)
        {
            foreach (ConfirmEntry[] some in entries.Chunk(SegmentsAFrame))
            {
                node.Outbox.Send(link, node.Header(kind), new ChainBody<ConfirmEntry>(node.Options.Node, node.Options.Incarnation, some));
            }

            entries.Clear();
        }

        foreach ((LinkId link, List<EntryAck> acks) in _acks)
        {
            foreach (EntryAck[] some in acks.Chunk(SegmentsAFrame))
            {
                node.Outbox.Send(link, node.Header(FrameKind.EntryAck), new ChainBody<EntryAck>(node.Options.Node, node.Options.Incarnation, some));
            }

            acks.Clear();
        }
    }

    private static List<TItem> ListOf<TKey, TItem>(Dictionary<TKey, List<TItem>> lists, TKey key)
        where TKey : notnull => CollectionsMarshal.GetValueRefOrAddDefault(lists, key, out _) ??= [];
}
