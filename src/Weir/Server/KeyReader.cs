using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Server;

/// <summary>How a part or item says which keys it means.</summary>
internal readonly record struct KeyListHead(KeyEncoding Encoding, bool Keep, uint Table, uint Segment, int Rows)
{
    public static KeyListHead Of(in PartHeader part) => new(part.KeyEncoding, part.KeepKeys, part.Table, part.Segment, part.Rows);

    public static KeyListHead Of(in PullItem item) => new(item.KeyEncoding, item.KeepKeys, item.Table, item.Segment, item.Rows);
}

/// <summary>Turns the keys of parts and items, however they are written, into the keys that store and fold work on.</summary>
internal sealed class KeyReader(NodeState node)
{
    private ulong[] _read = [];

    /// <summary>
    /// The keys, for a table and a segment that this node holds: distinct, in the segment, in Mix order. They stay good until the next call.
    /// </summary>
    /// <returns>Acked; SendKeys where the list is not kept here; Malformed where the bytes make no such list.</returns>
    public Status Read(in KeyListHead list, ReadOnlySpan<byte> bytes, out ReadOnlySpan<ulong> keys)
    {
        var range = KeyRange.OfSegment((int)list.Segment, node.Map!.SegmentBits);
        keys = default;
        bool sound;
        switch (list.Encoding)
        {
            case KeyEncoding.Raw:
                keys = MemoryMarshal.Cast<byte, ulong>(bytes);
                sound = AreOrdered(keys, range);
                break;
            case KeyEncoding.PackedDelta:
                Span<ulong> ofGaps = Room(list.Rows);
                keys = ofGaps;
                sound = PackedKeys.TryReadDelta(bytes, range, ofGaps);
                break;
            case KeyEncoding.Packed:
                Span<ulong> packed = Room(list.Rows);
                keys = packed;
                sound = PackedKeys.TryReadPacked(bytes, packed) && AreOrdered(packed, range);
                break;
            default:
                keys = node.KeyLists.Find(list.Table, list.Segment, BinaryPrimitives.ReadUInt128LittleEndian(bytes))?.Keys;
                bool kept = keys.Length == list.Rows && list.Rows > 0;
                node.KeyListHits += kept ? 1 : 0;
                node.KeyListMisses += kept ? 0 : 1;
                return kept ? Status.Acked : Status.SendKeys;
        }

        if (sound && list.Keep && list.Rows >= KeyList.FewestKeys && list.Rows <= bytes.Length)
        {
            Keep(list, keys);
        }

        return sound ? Status.Acked : Status.Malformed;
    }

    private void Keep(in KeyListHead list, ReadOnlySpan<ulong> keys)
    {
        UInt128 hash = KeyList.HashOf(keys, node.Map!.Cluster);
        if (node.KeyLists.Find(list.Table, list.Segment, hash) is null)
        {
            node.KeyLists.Keep(new KeyList(list.Table, list.Segment, hash, keys.ToArray()));
        }
    }

    /// <summary>Distinct, in the segment, in Mix order: what the store and the fold rest on is checked before they see it.</summary>
    private static bool AreOrdered(ReadOnlySpan<ulong> keys, KeyRange range)
    {
        if (keys.Length == 0)
        {
            return true;
        }

        ulong previous = Mix.Of(keys[0]);
        bool ordered = previous >= range.First;
        for (int i = 1; i < keys.Length; i++)
        {
            ulong mixed = Mix.Of(keys[i]);
            ordered &= mixed > previous;
            previous = mixed;
        }

        return ordered && previous <= range.Last;
    }

    // A frame names at most as many keys as fit one, so this is 1 MiB at the most.
    private Span<ulong> Room(int rows)
    {
        if (_read.Length < rows)
        {
            _read = new ulong[BitOperations.RoundUpToPowerOf2((uint)rows)];
        }

        return _read.AsSpan(0, rows);
    }
}
