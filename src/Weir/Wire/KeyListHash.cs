using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Weir.Wire;

/// <summary>The name of a whole key list in a key cache: XxHash128, seed 0, of its keys as 8 bytes each, little-endian.</summary>
internal static class KeyListHash
{
    /// <summary>The bytes that stand for a list in a frame.</summary>
    public const int Size = 16;

    /// <summary>Shorter lists are always sent: their reference, and remembering them, would save next to nothing.</summary>
    public const int FewestKeys = 8;

    /// <summary>The hash of distinct keys in the order of their hash. 2^64 lists would have to be remembered for two to share one.</summary>
    public static UInt128 Of(ReadOnlySpan<ulong> keys) => XxHash128.HashToUInt128(MemoryMarshal.AsBytes(keys));
}
