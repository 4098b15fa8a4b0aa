using System.Runtime.CompilerServices;

namespace Weir.Learn.Data;

/// <summary>
/// Draws from a discrete distribution in one look-up (Walker 1977, built as by Vose 1991). Immutable, hence thread-safe. The table is
/// built from IEEE additions, multiplications and divisions in a fixed order: the same on every platform. A probability is exact to 2^-32.
/// </summary>
internal sealed class AliasTable
{
    // The high half is the threshold in 2^-32, below which a slot gives its own index; the low half is the index it gives otherwise.
    private readonly ulong[] _slots;

    /// <summary>A table over 0 .. weights.Length - 1.</summary>
    /// <param name="weights">At least one, each above 0.</param>
    public AliasTable(ReadOnlySpan<double> weights)
    {
        int count = weights.Length;
        double total = 0;
        foreach (double weight in weights)
        {
            total += weight;
        }

        var scaled = new double[count];
        var small = new Stack<int>();
        var large = new Stack<int>();
        _slots = new ulong[count];
        for (int index = 0; index < count; index++)
        {
            scaled[index] = weights[index] / total * count;
            (scaled[index] < 1 ? small : large).Push(index);
        }

        while (small.Count > 0 && large.Count > 0)
        {
            int poor = small.Pop();
            int rich = large.Pop();
            _slots[poor] = Slot(scaled[poor], rich);
            scaled[rich] -= 1 - scaled[poor];
            (scaled[rich] < 1 ? small : large).Push(rich);
        }

        // What is left is 1 but for rounding.
        foreach (int index in small.Concat(large))
        {
            _slots[index] = Slot(1, index);
        }
    }

    /// <summary>The index that 64 uniform bits draw.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Draw(ulong uniform)
    {
        // The product's high half is a uniform slot, its low half a uniform fraction within it.
        ulong index = Math.BigMul(uniform, (ulong)_slots.Length, out ulong fraction);
        ulong slot = _slots[index];
        return fraction >> 32 < slot >> 32 ? (int)index : (int)(uint)slot;
    }

    private static ulong Slot(double threshold, int alias) =>
        ((ulong)Math.Min(uint.MaxValue, threshold * 4294967296.0) << 32) | (uint)alias;
}
