using System.Text;
using Weir.Keys;

namespace Weir.Placement;

internal delegate void WriteItem<T>(ref ByteWriter writer, T item);

internal delegate T ReadItem<T>(ref ByteReader reader);

/// <summary>One of the lists of a map: how it is written whole, and as what changed of it. Immutable.</summary>
internal abstract class MapList
{
    /// <summary>The bytes of the list, its length included.</summary>
    public abstract int Bytes(ClusterMap map);

    public abstract void Write(ref ByteWriter writer, ClusterMap map);

    /// <summary>Reads foreign bytes into a copy of the map; the reader has failed where they make no sense.</summary>
    public abstract ClusterMap Read(ref ByteReader reader, ClusterMap into);

    /// <summary>What turns the older map's list into the newer's.</summary>
    public abstract byte[] Difference(ClusterMap older, ClusterMap newer);

    /// <summary>Applies foreign bytes of <see cref="Difference"/> to a copy of a map; the reader has failed where they make no sense.</summary>
    public abstract ClusterMap Apply(ref ByteReader reader, ClusterMap older, ClusterMap into);
}

/// <param name="get">The list of a map.</param>
/// <param name="set">A copy of a map with another list.</param>
/// <param name="smallestItemBytes">What the shortest item takes: a count that promises more items than could follow is refused.</param>
/// <param name="itemBytes">What an item takes.</param>
/// <param name="write">Writes an item.</param>
/// <param name="read">Reads one; the reader has failed where it makes no sense.</param>
internal sealed class MapList<T>(
    Func<ClusterMap, T[]> get, Func<ClusterMap, T[], ClusterMap> set, int smallestItemBytes, Func<T, int> itemBytes, WriteItem<T> write, ReadItem<T> read)
    : MapList
{
    private const int PieceHeadBytes = 3 * sizeof(uint);

    public override int Bytes(ClusterMap map) => Bytes(get(map));

    public override void Write(ref ByteWriter writer, ClusterMap map) => Write(ref writer, get(map));

    public override ClusterMap Read(ref ByteReader reader, ClusterMap into) => set(into, ReadItems(ref reader));

    /// <summary>
    /// Pieces, each of which leaves out some items of the older list, keeps some, and then has new ones. Whoever changes a map keeps the
    /// order of its lists, so what stayed is found from the front.
    /// </summary>
    public override byte[] Difference(ClusterMap older, ClusterMap newer)
    {
        (T[] from, T[] to) = (get(older), get(newer));
        if (ReferenceEquals(from, to))
        {
            return new byte[sizeof(uint)];
        }

        Dictionary<string, int> places = [];
        for (int i = from.Length - 1; i >= 0; i--)
        {
            places[Text(from[i])] = i;
        }

        List<(int Skipped, int Kept, List<T> Added)> pieces = [(0, 0, [])];
        int at = 0;
        foreach (T item in to)
        {
            if (!places.TryGetValue(Text(item), out int place) || place < at)
            {
                pieces[^1].Added.Add(item);
                continue;
            }

            (int skipped, int kept, List<T> added) = pieces[^1];
            if (place > at || added.Count > 0)
            {
                pieces.Add((place - at, 1, []));
            }
            else
            {
                pieces[^1] = (skipped, kept + 1, added);
            }

            at = place + 1;
        }

        bool isSame = at == from.Length && pieces is [(0, _, { Count: 0 })];
        return isSame ? new byte[sizeof(uint)] : Encode(pieces);
    }

    /// <inheritdoc/>
    public override ClusterMap Apply(ref ByteReader reader, ClusterMap older, ClusterMap into)
    {
        ReadOnlySpan<T> from = get(older);
        int count = reader.Count(PieceHeadBytes);
        if (count == 0)
        {
            return into;
        }

        List<T> items = [];
        for (int i = 0; i < count && !reader.Failed; i++)
        {
            uint skipped = reader.UInt32(), kept = reader.UInt32();
            if (skipped > (uint)from.Length || kept > (uint)from.Length - skipped)
            {
                reader.Fail();
                break;
            }

            items.AddRange(from.Slice((int)skipped, (int)kept));
            from = from[(int)(skipped + kept)..];
            items.AddRange(ReadItems(ref reader));
        }

        return set(into, [.. items]);
    }

    private byte[] Encode(List<(int Skipped, int Kept, List<T> Added)> pieces)
    {
        byte[] bytes = new byte[sizeof(uint) + pieces.Sum(p => 8 + Bytes([.. p.Added]))];
        var writer = new ByteWriter(bytes);
        writer.Int32(pieces.Count);
        foreach ((int skipped, int kept, List<T> added) in pieces)
        {
            writer.Int32(skipped);
            writer.Int32(kept);
            Write(ref writer, [.. added]);
        }

        return bytes;
    }

    private int Bytes(T[] items) => sizeof(uint) + items.Sum(itemBytes);

    private void Write(ref ByteWriter writer, T[] items)
    {
        writer.Int32(items.Length);
        foreach (T item in items)
        {
            write(ref writer, item);
        }
    }

    private T[] ReadItems(ref ByteReader reader)
    {
        var items = new T[reader.Count(smallestItemBytes)];
        for (int i = 0; i < items.Length && !reader.Failed; i++)
        {
            items[i] = read(ref reader);
        }

        return items;
    }

    /// <summary>An item as it is written, a character a byte: two items are the same where their bytes are.</summary>
    private string Text(T item)
    {
        byte[] bytes = new byte[itemBytes(item)];
        var writer = new ByteWriter(bytes);
        write(ref writer, item);
        return Encoding.Latin1.GetString(bytes);
    }
}
