using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <content>Whole rows as a copy of a segment carries them (design R17): values, optimizer state and last clock.</content>
internal sealed unsafe partial class SegmentRows
{
    /// <summary>Floats of a row's image: its values, then its optimizer state.</summary>
    public int ImageFloats => _table.ImageFloats;

    /// <summary>True where an image has the clock of the row's last push.</summary>
    public bool KeepsLastClock => _table.Slabs.KeepsLastClock;

    /// <summary>Reads images in ascending <c>Mix</c> order, as <see cref="Scan"/> reads values: one call's cost is bounded by the span.</summary>
    /// <param name="fromMixed">0 at first, then the last call's <paramref name="nextMixed"/>.</param>
    /// <param name="keys">Gets the keys, at least one long.</param>
    /// <param name="floats">Gets <see cref="ImageFloats"/> floats for each key.</param>
    /// <param name="clocks">Gets a clock for each key, where the table keeps them.</param>
    /// <param name="nextMixed">The cursor of the next call; 0 where <paramref name="done"/>.</param>
    /// <param name="done">No row is left.</param>
    /// <returns>The rows given.</returns>
    public int ScanImages(ulong fromMixed, Span<ulong> keys, Span<float> floats, Span<uint> clocks, out ulong nextMixed, out bool done)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Span<Slot> chunk = stackalloc Slot[ScanChunk];
        int count = 0;
        long slots = (4L * keys.Length) + ScanChunk;
        nextMixed = fromMixed;
        done = false;
        while (count < keys.Length && slots > 0 && !done)
        {
            int mostSlots = (int)Math.Min(slots, 4 * ScanChunk);
            int read = _index.Walk(nextMixed, chunk[..Math.Min(ScanChunk, keys.Length - count)], mostSlots, out nextMixed, out done);
            for (int i = 0; i < read; i++)
            {
                Slot slot = chunk[i];
                if (i + Prefetch.RowDistance < read)
                {
                    // Hash order is no order of rows: each is a cache miss, which is under way by the time it is read.
                    uint ahead = chunk[i + Prefetch.RowDistance].Row;
                    Prefetch.Row((byte*)_table.Slabs.Values(ahead), _table.Width * sizeof(float));
                    Prefetch.Row((byte*)_table.Slabs.State(ahead), (ImageFloats - _table.Width) * sizeof(float));
                }

                keys[count] = Mix.Inverse(slot.Mixed);
                ReadImage(slot.Row, floats.Slice(count * ImageFloats, ImageFloats), KeepsLastClock ? clocks.Slice(count, 1) : default);
                count++;
            }

            slots -= mostSlots;
        }

        return count;
    }

    /// <summary>Reads the image of one key; false where it has no row.</summary>
    public bool TryReadImage(ulong key, Span<float> floats, Span<uint> clock)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        uint row = _index.Find(Mix.Of(key));
        if (row == Slot.NoRow)
        {
            return false;
        }

        ReadImage(row, floats, KeepsLastClock ? clock : default);
        return true;
    }

    /// <summary>Makes the rows of the keys what their images say, whatever admission says. All or nothing.</summary>
    /// <param name="keys">Distinct keys of this segment.</param>
    /// <param name="floats"><see cref="ImageFloats"/> floats for each key.</param>
    /// <param name="clocks">A clock for each key, where the table keeps them.</param>
    public StoreResult WriteImages(ReadOnlySpan<ulong> keys, ReadOnlySpan<float> floats, ReadOnlySpan<uint> clocks)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _index.MoveSome(keys.Length);
        Span<uint> rows = _table.RowBuffer(keys.Length);
        int missing = keys.Length - FindRows(keys, rows);
        if (missing > 0 && Insert(keys, rows, missing, asksSketch: false) is var result && result != StoreResult.Ok)
        {
            return result;
        }

        int width = _table.Width, state = ImageFloats - width;
        for (int i = 0; i < keys.Length; i++)
        {
            ReadOnlySpan<float> image = floats.Slice(i * ImageFloats, ImageFloats);
            image[..width].CopyTo(new Span<float>(_table.Slabs.Values(rows[i]), width));
            image[width..].CopyTo(new Span<float>(_table.Slabs.State(rows[i]), state));
            if (KeepsLastClock)
            {
                *_table.Slabs.LastClock(rows[i]) = clocks[i];
            }
        }

        return StoreResult.Ok;
    }

    private void ReadImage(uint row, Span<float> floats, Span<uint> clock)
    {
        int width = _table.Width;
        new ReadOnlySpan<float>(_table.Slabs.Values(row), width).CopyTo(floats);
        new ReadOnlySpan<float>(_table.Slabs.State(row), ImageFloats - width).CopyTo(floats[width..]);
        if (!clock.IsEmpty)
        {
            clock[0] = *_table.Slabs.LastClock(row);
        }
    }
}
