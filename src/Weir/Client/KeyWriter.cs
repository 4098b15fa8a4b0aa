using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Client;

/// <summary>How a key list was written.</summary>
/// <param name="Encoding">The form.</param>
/// <param name="Bytes">Its bytes, without padding.</param>
/// <param name="List">The list that the bytes name; or the one that the node, once it has answered, is known to keep; or null.</param>
internal readonly record struct WrittenKeys(KeyEncoding Encoding, int Bytes, KeyList? List)
{
    /// <summary>The node is asked to keep the list.</summary>
    public bool Keep => Encoding != KeyEncoding.Cached && List is not null;
}

/// <summary>Writes the key lists of parts and items as short as the table's filters allow (design section 7). Guarded by the client's gate.</summary>
internal sealed class KeyWriter(ClientState state)
{
    /// <summary>Writes a list for a node.</summary>
    /// <param name="node">Who gets it: a list is named only to who has answered for it.</param>
    /// <param name="table">Its table.</param>
    /// <param name="filters">The table's filters.</param>
    /// <param name="segment">Its segment.</param>
    /// <param name="keys">Its keys, distinct, in Mix order.</param>
    /// <param name="sendsKeys">The node has asked for the keys: the list is not named.</param>
    /// <param name="into">Room for 8 bytes a key.</param>
    public WrittenKeys Write(NodeLink node, uint table, Filters filters, uint segment, ReadOnlySpan<ulong> keys, bool sendsKeys, Span<byte> into)
    {
        WrittenKeys written = WriteShortest(node, table, filters, segment, keys, sendsKeys, into);
        state.Tally.CountKeys(written.Encoding, keys.Length, written.Bytes);
        return written;
    }

    private WrittenKeys WriteShortest(NodeLink node, uint table, Filters filters, uint segment, ReadOnlySpan<ulong> keys, bool sendsKeys, Span<byte> into)
    {
        KeyList? list = null;
        if ((filters & Filters.KeyCache) != 0 && keys.Length >= KeyList.FewestKeys)
        {
            UInt128 hash = KeyList.HashOf(keys, state.Map!.Cluster);
            (list, bool mayBeNamed) = node.KeyLists.Find(table, segment, hash);
            if (list is not null && mayBeNamed && !sendsKeys)
            {
                BinaryPrimitives.WriteUInt128LittleEndian(into, hash);
                return new WrittenKeys(KeyEncoding.Cached, KeyList.ReferenceBytes, list);
            }

            list ??= new KeyList(table, segment, hash, keys.ToArray());
        }

        if ((filters & Filters.DeltaVarint) != 0)
        {
            KeyEncoding encoding = PackedKeys.Write(keys, KeyRange.OfSegment((int)segment, state.Map!.SegmentBits), into, out int bytes);
            return new WrittenKeys(encoding, bytes, list);
        }

        MemoryMarshal.AsBytes(keys).CopyTo(into);
        return new WrittenKeys(KeyEncoding.Raw, keys.Length * sizeof(ulong), list);
    }
}
