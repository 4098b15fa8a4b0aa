using System.Runtime.CompilerServices;

namespace Weir.Learn.Logistic;

/// <summary>
/// Numbers the distinct keys of a batch 0, 1, 2 ... in the order of their first appearance, by open addressing with linear probing. It is
/// cleared by raising a stamp, so a batch costs nothing for the slots that it does not touch. Every 64-bit key is legal. Not thread-safe.
/// </summary>
internal sealed class KeyIndex
{
    private Slot[] _slots = new Slot[1 << 12];
    private ulong[] _distinct = new ulong[1 << 11];
    private int _stamp = 1;

    /// <summary>How many distinct keys there are.</summary>
    public int Count { get; private set; }

    /// <summary>The distinct keys; the position is the number. Valid until the next <see cref="Clear"/> or addition.</summary>
    public ReadOnlyMemory<ulong> Distinct => _distinct.AsMemory(0, Count);

    /// <summary>Forgets all keys and keeps the memory.</summary>
    public void Clear()
    {
        Count = 0;
        if (_stamp == int.MaxValue)
        {
            Array.Clear(_slots);
            _stamp = 0;
        }

        _stamp++;
    }

    /// <summary>The number of each key, new ones numbered as they come.</summary>
    /// <param name="keys">Keys, in any order, with repeats.</param>
    /// <param name="numbers">As long as <paramref name="keys"/>; filled.</param>
    public void AddAll(ReadOnlySpan<ulong> keys, Span<int> numbers)
    {
        for (int index = 0; index < keys.Length; index++)
        {
            numbers[index] = Add(keys[index]);
        }
    }

    /// <summary>The number of a key, a new one if it was not there.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public int Add(ulong key)
    {
        Slot[] slots = _slots;
        int mask = slots.Length - 1;
        int at = Home(key) & mask;
        while (true)
        {
            ref Slot slot = ref slots[at];
            if (slot.Stamp != _stamp)
            {
                return AddNew(ref slot, key);
            }

            if (slot.Key == key)
            {
                return slot.Number;
            }

            at = (at + 1) & mask;
        }
    }

    // Two rounds of multiply and shift: small whole numbers and hashed ids alike spread over the low bits.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int Home(ulong key)
    {
        ulong mixed = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15UL;
        return (int)(mixed >> 32);
    }

    private int AddNew(ref Slot slot, ulong key)
    {
        int number = Count;
        if (number == _distinct.Length)
        {
            Grow();
            return Add(key);
        }

        slot = new Slot { Key = key, Number = number, Stamp = _stamp };
        _distinct[number] = key;
        Count = number + 1;
        return number;
    }

    // The table is always at least twice as long as the list, so it is never more than half full.
    private void Grow()
    {
        Array.Resize(ref _distinct, _distinct.Length * 2);
        _slots = new Slot[_slots.Length * 2];
        int mask = _slots.Length - 1;
        for (int number = 0; number < Count; number++)
        {
            int at = Home(_distinct[number]) & mask;
            while (_slots[at].Stamp == _stamp)
            {
                at = (at + 1) & mask;
            }

            _slots[at] = new Slot { Key = _distinct[number], Number = number, Stamp = _stamp };
        }
    }

    private struct Slot
    {
        public ulong Key;
        public int Number;
        public int Stamp;
    }
}
