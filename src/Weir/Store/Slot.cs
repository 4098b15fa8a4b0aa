using System.Runtime.InteropServices;

namespace Weir.Store;

/// <summary>An entry of an index, 12 bytes: a key as <c>Mix.Of</c> has it, and the number of its row.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly struct Slot(ulong mixed, uint row)
{
    /// <summary>The bytes of an entry.</summary>
    public const int Bytes = 12;

    /// <summary>The row number that no row bears: it marks an empty slot, since every key is legal.</summary>
    public const uint NoRow = uint.MaxValue;

    /// <summary>The key in hash order. An empty slot has the greatest, so that a search stops there without a second test.</summary>
    public readonly ulong Mixed = mixed;

    /// <summary>The row, or <see cref="NoRow"/>.</summary>
    public readonly uint Row = row;

    /// <summary>What a slot without an entry holds.</summary>
    public static Slot Empty => new(ulong.MaxValue, NoRow);
}
