using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Weir.Wire;

/// <summary>
/// A key list that both ends of a link know, so that a frame names it by its hash (design section 7): a table's keys in one segment, distinct,
/// in the order of their hash. Unchanging.
/// </summary>
/// <param name="table">The table.</param>
/// <param name="segment">The segment that the keys lie in.</param>
/// <param name="hash">Their hash.</param>
/// <param name="keys">A copy of its own.</param>
internal sealed class KeyList(uint table, uint segment, UInt128 hash, ulong[] keys)
{
    /// <summary>The bytes that stand for a list in a frame.</summary>
    public const int ReferenceBytes = 16;

    /// <summary>
    /// Shorter lists are always sent: a reference to one, and remembering it, would save next to nothing. Nor is a list kept that was written
    /// in less than a byte a key: keys of one segment that were not made for it take more, and what a frame makes its receiver keep must
    /// follow from its bytes.
    /// </summary>
    public const int FewestKeys = 8;

    // The objects that hold a list, in a cache.
    private const long FixedBytes = 192;

    public uint Table { get; } = table;

    public uint Segment { get; } = segment;

    public UInt128 Hash { get; } = hash;

    public ulong[] Keys { get; } = keys;

    /// <summary>What it takes in a cache.</summary>
    public long Bytes => FixedBytes + (Keys.Length * (long)sizeof(ulong));

    /// <summary>
    /// The name of a list: XxHash128 of its keys as 8 bytes each, seeded with the cluster's number. 2^64 lists would have to be remembered for
    /// two to share one by chance. It is no cryptographic hash: the seed, a random number, keeps those who only supply data from making two lists
    /// that share one; members of the cluster, who know it, may push to any key as it is.
    /// </summary>
    public static UInt128 HashOf(ReadOnlySpan<ulong> keys, ulong cluster) => XxHash128.HashToUInt128(MemoryMarshal.AsBytes(keys), unchecked((long)cluster));
}
