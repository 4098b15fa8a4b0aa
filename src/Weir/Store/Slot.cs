using System.Runtime.InteropServices;

namespace Weir.Store;

/// <summary>
/// An entry of an index, 12 bytes: a key as <c>Mix.Of</c> has it, and the number of its row. Both are stored so that zeros are the empty
/// slot: fresh memory of the system is an empty table, and nobody has to fill it.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly struct Slot(ulong mixed, uint row)
{
    /// <summary>The bytes of an entry.</summary>
    public const int Bytes = 12;

    /// <summary>The row number that no row bears: it marks an empty slot, since every key is legal.</summary>
    public const uint NoRow = uint.MaxValue;

    /// <summary>In a list of a call's rows: the key was seen too rarely to have one yet. No row bears it either.</summary>
    public const uint NotAdmitted = uint.MaxValue - 1;

    private readonly ulong _inverted = ~mixed;
    private readonly uint _rowAndOne = unchecked(row + 1);

    /// <summary>The key in hash order. An empty slot has the greatest, so that a search stops there without a second test.</summary>
    public ulong Mixed => ~_inverted;

    /// <summary>The row, or <see cref="NoRow"/>.</summary>
    public uint Row => unchecked(_rowAndOne - 1);
}
