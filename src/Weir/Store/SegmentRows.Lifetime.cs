using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <content>Which keys get a row, and which rows have grown old.</content>
internal sealed unsafe partial class SegmentRows
{
    /// <summary>The bytes of the admission state, which a copy of the segment takes along (design R17); 0 where there is none.</summary>
    public int AdmissionStateBytes => _admission?.StateBytes ?? 0;

    /// <summary>Writes <see cref="AdmissionStateBytes"/> bytes.</summary>
    public void WriteAdmissionState(Span<byte> state) => _admission?.WriteState(state);

    /// <summary>Takes over what a copy of the segment wrote. False, with nothing changed, where it does not fit the table or the memory.</summary>
    public bool TryReadAdmissionState(ReadOnlySpan<byte> state) => _admission?.TryReadState(state) ?? state.IsEmpty;

    /// <summary>The clock of the last push that touched a key's row; null where it has none. Only where the table keeps it.</summary>
    public long? LastClock(ulong key)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Invariant.That(_table.Slabs.KeepsLastClock, "the age of rows is asked of a table that keeps it");
        uint row = _index.Find(Mix.Of(key));
        return row == Slot.NoRow ? null : *_table.Slabs.LastClock(row);
    }

    /// <summary>
    /// Looks for rows whose last push is older than a clock, in ascending <c>Mix</c> order, and changes nothing. The head of a chain
    /// makes a deletion of what it finds, so that the members need not agree on how far a walk comes.
    /// </summary>
    /// <param name="clock">Rows whose last clock is below this are old. Clocks from 2^32 - 1 on count as that.</param>
    /// <param name="fromMixed">0 at first, then the last call's <paramref name="nextMixed"/>.</param>
    /// <param name="mostSlots">Index entries to look at, at least 1: it bounds the call, about 10 ns each.</param>
    /// <param name="keys">Gets the keys of old rows, at least one long.</param>
    /// <param name="nextMixed">The cursor of the next call; 0 where <paramref name="done"/>.</param>
    /// <param name="done">The walk has come to the end; the next begins anew.</param>
    /// <returns>The keys found.</returns>
    public int FindOlderThan(long clock, ulong fromMixed, int mostSlots, Span<ulong> keys, out ulong nextMixed, out bool done)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Invariant.That(_table.Slabs.KeepsLastClock, "rows expire where the table keeps their last clocks");
        if (keys.IsEmpty || mostSlots < 1)
        {
            throw new ArgumentException("room for at least one key, and one slot to look at, are needed", nameof(keys));
        }

        uint oldest = ToStored(clock);
        Span<Slot> chunk = stackalloc Slot[ScanChunk];
        int found = 0;
        nextMixed = fromMixed;
        done = false;
        while (found < keys.Length && mostSlots > 0 && !done)
        {
            int slots = Math.Min(mostSlots, 2 * ScanChunk);
            int read = _index.Walk(nextMixed, chunk, slots, out nextMixed, out done);
            mostSlots -= slots;
            foreach (Slot slot in chunk[..read])
            {
                Prefetch.Line(_table.Slabs.LastClock(slot.Row));
            }

            for (int i = 0; i < read; i++)
            {
                if (*_table.Slabs.LastClock(chunk[i].Row) >= oldest)
                {
                    continue;
                }

                keys[found++] = Mix.Inverse(chunk[i].Mixed);
                if (found == keys.Length && i < read - 1)
                {
                    // The rest of the chunk was not looked at: the next call begins with it.
                    nextMixed = chunk[i].Mixed + 1;
                    done = false;
                    break;
                }
            }
        }

        return found;
    }

    // Four thousand million iterations, at a thousand a second, are 50 days: a clock beyond them is kept as the greatest.
    private static uint ToStored(long clock) => (uint)Math.Clamp(clock, 0, uint.MaxValue);

    /// <summary>Marks the missing keys that stay without a row, and says how many they are. Counts nothing yet.</summary>
    private int MarkRareKeys(ReadOnlySpan<ulong> keys, Span<uint> rows)
    {
        int rare = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            if (rows[i] == Slot.NoRow && !_admission!.Admits(Mix.Of(keys[i])))
            {
                rows[i] = Slot.NotAdmitted;
                rare++;
            }
        }

        return rare;
    }

    /// <summary>Counts a sighting of each missing key, admitted or not. The caller has paid for the sketch.</summary>
    private void CountSightings(ReadOnlySpan<ulong> keys, ReadOnlySpan<uint> rows)
    {
        for (int i = 0; i < keys.Length; i++)
        {
            if (rows[i] >= Slot.NotAdmitted)
            {
                _admission!.Sight(Mix.Of(keys[i]));
                SightingsWithoutRow += rows[i] == Slot.NotAdmitted ? 1 : 0;
            }
        }
    }

    /// <summary>The rows and values of the keys that have a row, in their order. The rows are moved in place, the values copied.</summary>
    private RowBatch Admitted(Span<uint> rows, ReadOnlySpan<float> values)
    {
        int width = _table.Width, kept = 0;
        foreach (uint row in rows)
        {
            kept += row == Slot.NotAdmitted ? 0 : 1;
        }

        if (kept == rows.Length)
        {
            return new RowBatch(rows, values);
        }

        Span<float> packed = _table.ValueBuffer(kept * width);
        int count = 0;
        for (int i = 0; i < rows.Length; i++)
        {
            if (rows[i] != Slot.NotAdmitted)
            {
                rows[count] = rows[i];
                values.Slice(i * width, width).CopyTo(packed[(count * width)..]);
                count++;
            }
        }

        return new RowBatch(rows[..kept], packed);
    }

    private void RaiseLastClocks(ReadOnlySpan<uint> rows, long clock)
    {
        uint stored = ToStored(clock);
        for (int i = 0; i < rows.Length; i++)
        {
            if (i + Prefetch.RowDistance < rows.Length)
            {
                Prefetch.Line(_table.Slabs.LastClock(rows[i + Prefetch.RowDistance]));
            }

            uint* last = _table.Slabs.LastClock(rows[i]);
            *last = Math.Max(*last, stored);
        }
    }

    private readonly ref struct RowBatch(Span<uint> rows, ReadOnlySpan<float> values)
    {
        private readonly Span<uint> _rows = rows;
        private readonly ReadOnlySpan<float> _values = values;

        public void Deconstruct(out Span<uint> rows, out ReadOnlySpan<float> values)
        {
            rows = _rows;
            values = _values;
        }
    }
}
