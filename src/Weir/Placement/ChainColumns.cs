using System.IO.Hashing;
using System.Runtime.InteropServices;
using Weir.Keys;

namespace Weir.Placement;

/// <summary>
/// Chains as columns of numbers, which is how they are written: how many members each has and whether it is down, the epochs, when those were
/// given up that were, and then for each place who stands there and under which append, of the chains that have the place. Layout in
/// docs/protocol.md. Pure functions.
/// </summary>
internal static class ChainColumns
{
    private const ulong Down = 1;
    private const ulong Emptied = 2;
    private const int FlagBits = 2;

    /// <summary>The bytes of some chains.</summary>
    public static byte[] Encode(ReadOnlySpan<MapChain> chains)
    {
        byte[][] columns = Array.ConvertAll(Of(chains), column => PackedColumn.Encode(column));
        byte[] bytes = new byte[columns.Sum(c => c.Length)];
        var writer = new ByteWriter(bytes);
        foreach (byte[] column in columns)
        {
            writer.Raw(column);
        }

        return bytes;
    }

    /// <summary>Reads foreign bytes; null where they make no sense.</summary>
    /// <param name="reader">Stands behind the chains afterwards.</param>
    /// <param name="count">How many chains there are.</param>
    /// <param name="members">How many members the map has.</param>
    public static MapChain[]? Read(ref ByteReader reader, int count, int members)
    {
        if (PackedColumn.Read(ref reader, count) is not { } sizes || PackedColumn.Read(ref reader, count) is not { } epochs
            || sizes.AsSpan().ContainsAnyExceptInRange(0UL, ((ulong)MapSoundness.MaxChainMembers << FlagBits) | Emptied | Down)
            || ReadEmptied(ref reader, sizes) is not { } emptied)
        {
            return null;
        }

        // The columns are read before anything is made of them: a chain takes more memory than its bytes.
        ulong most = 0;
        var having = new int[MapSoundness.MaxChainMembers];
        foreach (ulong size in sizes)
        {
            most = Math.Max(most, size >> FlagBits);
            for (int place = 0; place < (int)(size >> FlagBits); place++)
            {
                having[place]++;
            }
        }

        var places = new (ulong[] Members, ulong[] Appended)[most];
        for (int place = 0; place < places.Length; place++)
        {
            if (PackedColumn.Read(ref reader, having[place]) is not { } nodes || PackedColumn.Read(ref reader, having[place]) is not { } appended
                || nodes.AsSpan().ContainsAnyExceptInRange(0UL, (ulong)Math.Max(0, members - 1)))
            {
                return null;
            }

            places[place] = (nodes, appended);
        }

        return Chains(sizes, epochs, emptied, places);
    }

    /// <summary>A number that other chains hardly have: XxHash3 over what the columns hold, chain by chain as u64 each.</summary>
    public static void AppendTo(XxHash3 hash, ReadOnlySpan<MapChain> chains)
    {
        Span<ulong> numbers = stackalloc ulong[3 + (2 * MapSoundness.MaxChainMembers)];
        foreach (MapChain chain in chains)
        {
            int count = 0;
            numbers[count++] = Size(chain);
            numbers[count++] = chain.Epoch;
            numbers[count++] = chain.Emptied;
            foreach (ChainMember member in chain.Members)
            {
                numbers[count++] = (ulong)member.Member;
                numbers[count++] = member.Appended;
            }

            hash.Append(MemoryMarshal.AsBytes(numbers[..count]));
        }
    }

    private static ulong[][] Of(ReadOnlySpan<MapChain> chains)
    {
        var having = new int[MapSoundness.MaxChainMembers];
        int most = 0;
        foreach (MapChain chain in chains)
        {
            most = Math.Max(most, chain.Members.Length);
            for (int place = 0; place < chain.Members.Length; place++)
            {
                having[place]++;
            }
        }

        ulong[] emptied = [.. chains.ToArray().Where(c => c.Emptied != 0).Select(c => c.Emptied)];
        int first = emptied.Length == 0 ? 2 : 3;
        ulong[][] columns = [new ulong[chains.Length], new ulong[chains.Length], .. emptied.Length == 0 ? Array.Empty<ulong[]>() : [emptied], .. Enumerable.Range(0, 2 * most).Select(c => new ulong[having[c / 2]])];
        Array.Clear(having);
        for (int i = 0; i < chains.Length; i++)
        {
            MapChain chain = chains[i];
            (columns[0][i], columns[1][i]) = (Size(chain), chain.Epoch);
            for (int place = 0; place < chain.Members.Length; place++)
            {
                int at = having[place]++;
                ChainMember member = chain.Members[place];
                (columns[first + (2 * place)][at], columns[first + 1 + (2 * place)][at]) = ((ulong)member.Member, member.Appended);
            }
        }

        return columns;
    }

    private static MapChain[] Chains(ulong[] sizes, ulong[] epochs, ulong[] emptied, (ulong[] Members, ulong[] Appended)[] places)
    {
        var chains = new MapChain[sizes.Length];
        var next = new int[places.Length];
        int nextEmptied = 0;
        for (int i = 0; i < chains.Length; i++)
        {
            var members = new ChainMember[sizes[i] >> FlagBits];
            for (int place = 0; place < members.Length; place++)
            {
                int at = next[place]++;
                members[place] = new ChainMember((int)places[place].Members[at], places[place].Appended[at]);
            }

            chains[i] = new MapChain(epochs[i], members, (sizes[i] & Down) != 0, (sizes[i] & Emptied) != 0 ? emptied[nextEmptied++] : 0);
        }

        return chains;
    }

    /// <summary>When the chains were emptied that say that they were; no column where none does.</summary>
    private static ulong[]? ReadEmptied(ref ByteReader reader, ulong[] sizes)
    {
        int count = 0;
        foreach (ulong size in sizes)
        {
            count += (size & Emptied) != 0 ? 1 : 0;
        }

        return count == 0 ? [] : PackedColumn.Read(ref reader, count);
    }

    private static ulong Size(in MapChain chain) =>
        ((ulong)chain.Members.Length << FlagBits) | (chain.Emptied != 0 ? Emptied : 0) | (chain.IsDown ? Down : 0);
}
