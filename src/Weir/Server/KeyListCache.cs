using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// Key lists that peers asked this node to keep, so that later parts and items name one by its hash (design section 7). Bounded in bytes; the
/// list least recently used goes first. A cache and no state: whoever names a list that is gone is asked for its keys.
/// </summary>
internal sealed class KeyListCache(long limitBytes)
{
    /// <summary>What a list takes besides its keys: the objects that hold it.</summary>
    private const long ListBytes = 192;

    private readonly Dictionary<Name, LinkedListNode<Kept>> _lists = [];
    private readonly LinkedList<Kept> _latestFirst = new();

    private readonly record struct Name(uint Table, uint Segment, UInt128 Hash);

    private readonly record struct Kept(Name Name, ulong[] Keys)
    {
        public long Bytes => ListBytes + (Keys.Length * (long)sizeof(ulong));
    }

    /// <summary>Bytes of the lists kept, at most the limit.</summary>
    public long Bytes { get; private set; }

    /// <summary>References that named a list kept here.</summary>
    public long Hits { get; private set; }

    /// <summary>References that did not.</summary>
    public long Misses { get; private set; }

    /// <summary>The list of this table and segment with the hash; null where it is not, or no longer, kept.</summary>
    public ulong[]? Find(uint table, uint segment, UInt128 hash)
    {
        if (!_lists.TryGetValue(new Name(table, segment, hash), out LinkedListNode<Kept>? found))
        {
            Misses++;
            return null;
        }

        Hits++;
        _latestFirst.Remove(found);
        _latestFirst.AddFirst(found);
        return found.Value.Keys;
    }

    /// <summary>Keeps a copy of a list that was found sound: keys of the segment, in the order of their hash.</summary>
    public void Keep(uint table, uint segment, ReadOnlySpan<ulong> keys)
    {
        var name = new Name(table, segment, KeyListHash.Of(keys));
        if (_lists.TryGetValue(name, out LinkedListNode<Kept>? known))
        {
            _latestFirst.Remove(known);
            _latestFirst.AddFirst(known);
            return;
        }

        var kept = new Kept(name, keys.ToArray());
        if (kept.Bytes > limitBytes)
        {
            return;
        }

        while (Bytes + kept.Bytes > limitBytes)
        {
            Remove(_latestFirst.Last!);
        }

        _lists.Add(name, _latestFirst.AddFirst(kept));
        Bytes += kept.Bytes;
    }

    /// <summary>Forgets the lists of tables and segments that are gone.</summary>
    public void Drop(Func<uint, uint, bool> isGone)
    {
        for (LinkedListNode<Kept>? next = _latestFirst.First; next is { } node;)
        {
            next = node.Next;
            if (isGone(node.Value.Name.Table, node.Value.Name.Segment))
            {
                Remove(node);
            }
        }
    }

    private void Remove(LinkedListNode<Kept> node)
    {
        _lists.Remove(node.Value.Name);
        _latestFirst.Remove(node);
        Bytes -= node.Value.Bytes;
    }
}
