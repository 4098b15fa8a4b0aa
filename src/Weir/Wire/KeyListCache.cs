namespace Weir.Wire;

/// <summary>
/// Key lists by table, segment and hash: at a server those it was asked to keep, at a client those that a node has answered for. Bounded in
/// bytes; the list least recently used goes first. A cache and no state: whoever names a list that is gone is asked for its keys.
/// </summary>
/// <param name="limitBytes">The most bytes that the lists take.</param>
internal sealed class KeyListCache(long limitBytes)
{
    private readonly Dictionary<(uint Table, uint Segment, UInt128 Hash), LinkedListNode<KeyList>> _lists = [];
    private readonly LinkedList<KeyList> _latestFirst = new();

    /// <summary>Bytes of the lists kept, at most the limit.</summary>
    public long Bytes { get; private set; }

    /// <summary>The list, which counts as used now; null where it is not, or no longer, kept.</summary>
    public KeyList? Find(uint table, uint segment, UInt128 hash)
    {
        if (!_lists.TryGetValue((table, segment, hash), out LinkedListNode<KeyList>? found))
        {
            return null;
        }

        _latestFirst.Remove(found);
        _latestFirst.AddFirst(found);
        return found.Value;
    }

    /// <summary>Keeps a list, as the one used last. One that is larger than all the room is not kept.</summary>
    public void Keep(KeyList list)
    {
        if (Find(list.Table, list.Segment, list.Hash) is not null || list.Bytes > limitBytes)
        {
            return;
        }

        while (Bytes + list.Bytes > limitBytes)
        {
            Remove(_latestFirst.Last!);
        }

        _lists.Add((list.Table, list.Segment, list.Hash), _latestFirst.AddFirst(list));
        Bytes += list.Bytes;
    }

    /// <summary>Forgets one list.</summary>
    public void Drop(KeyList list)
    {
        if (_lists.TryGetValue((list.Table, list.Segment, list.Hash), out LinkedListNode<KeyList>? found))
        {
            Remove(found);
        }
    }

    /// <summary>Forgets the lists of tables and segments that are gone.</summary>
    public void Drop(Func<KeyList, bool> isGone)
    {
        for (LinkedListNode<KeyList>? next = _latestFirst.First; next is { } node;)
        {
            next = node.Next;
            if (isGone(node.Value))
            {
                Remove(node);
            }
        }
    }

    private void Remove(LinkedListNode<KeyList> node)
    {
        KeyList list = node.Value;
        _lists.Remove((list.Table, list.Segment, list.Hash));
        _latestFirst.Remove(node);
        Bytes -= list.Bytes;
    }
}
