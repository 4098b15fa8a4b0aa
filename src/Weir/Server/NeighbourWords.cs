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
            Say(link, kind, entries);
        }

        foreach ((LinkId link, List<EntryAck> acks) in _acks)
        {
            Say(link, FrameKind.EntryAck, acks);
        }
    }

    /// <summary>Sends what was gathered for one neighbour, if anything: most turns have nothing to say to most.</summary>
    private void Say<TWord>(LinkId link, FrameKind kind, List<TWord> words)
        where TWord : struct, IChainWord<TWord>
    {
        for (int from = 0; from < words.Count; from += SegmentsAFrame)
        {
            List<TWord> some = words.Count <= SegmentsAFrame ? words : words.GetRange(from, Math.Min(SegmentsAFrame, words.Count - from));
            node.Outbox.Send(link, node.Header(kind), new ChainBody<TWord>(node.Options.Node, node.Incarnation, some));
        }

        words.Clear();
    }

    private static List<TItem> ListOf<TKey, TItem>(Dictionary<TKey, List<TItem>> lists, TKey key)
        where TKey : notnull => CollectionsMarshal.GetValueRefOrAddDefault(lists, key, out _) ??= [];
}
