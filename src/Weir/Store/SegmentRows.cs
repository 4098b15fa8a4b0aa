using Weir.Keys;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// The rows of one table in one segment. The keys of one call are distinct and belong to the segment; spans may be of any alignment.
/// Not thread-safe: a node is one loop.
/// </summary>
internal sealed unsafe partial class SegmentRows : IDisposable
{
    private const int BlockKeys = 512;
    private const int ScanChunk = 64;

    private readonly TableRows _table;
    private readonly KeyIndex _index;
    private readonly AdmissionSketch? _admission;
    private bool _isCounted;
    private bool _disposed;

    internal SegmentRows(TableRows table, int segment, int segmentBits)
    {
        _table = table;
        _index = new KeyIndex(segment, segmentBits, table.Budget);
        _admission = table.Lifetime.AdmitAfterSightings > 1 ? new AdmissionSketch(table.Lifetime, table.Budget) : null;
    }

    /// <summary>Keys that have a row.</summary>
    public long Rows => _index.Count;

    /// <summary>
    /// Whether the table counts these rows in <see cref="TableRows.CountedRows"/>; not at first. A node has it count those of the segments that it heads,
    /// so that of the copies of a row one counts.
    /// </summary>
    public bool IsCounted
    {
        get => _isCounted;
        set
        {
            _table.CountedRows += value == _isCounted ? 0 : value ? Rows : -Rows;
            _isCounted = value;
        }
    }

    /// <summary>The bytes of the rows, values and state, of the index and of the sketch.</summary>
    public long Bytes => IndexBytes + SketchBytes + (Rows * _table.RowBytes);

    /// <summary>The bytes of one row: values, state and clock.</summary>
    public long RowBytes => _table.RowBytes;

    /// <summary>What one row takes of a quota; see <see cref="TableRows.CountedBytesOfRow"/>.</summary>
    public long CountedBytesOfRow => _table.CountedBytesOfRow;

    /// <summary>The bytes of the index alone.</summary>
    public long IndexBytes => _index.Bytes;

    /// <summary>The bytes of the sketch of sightings; 0 where the table admits every key or nothing was sighted.</summary>
    public long SketchBytes => _admission?.Bytes ?? 0;

    /// <summary>Pushes of keys that had no row and got none, since the segment was opened.</summary>
    public long SightingsWithoutRow { get; private set; }

    /// <summary>Index entries moved by growth so far: a call moves at most a constant for each of its keys.</summary>
    internal long EntriesMoved => _index.EntriesMoved;

    /// <summary>
    /// Updates or assigns the rows of the keys; a key without a row gets one, which begins at the table's initial value. All or nothing.
    /// Where the table admits keys only after some sightings, an update of a rarer one counts as a sighting, has no other effect and is
    /// <c>Ok</c>; an assignment admits at once. Counts are read before the call's own sightings are added.
    /// </summary>
    /// <param name="keys">Distinct keys of this segment, in any order.</param>
    /// <param name="values">Width floats for each key, in the order of the keys.</param>
    /// <param name="operation">Through the update rule, or in place of the values.</param>
    /// <param name="clock">The iteration of the push, 0 or above: where the table keeps it, a row's last clock rises to it.</param>
    /// <param name="mostNewRows">Where more keys would get a row the call gives <c>TooManyNewRows</c> and changes nothing.</param>
    public StoreResult Apply(ReadOnlySpan<ulong> keys, ReadOnlySpan<float> values, RowOperation operation, long clock = 0, long mostNewRows = long.MaxValue)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (values.Length != (long)keys.Length * _table.Width)
        {
            throw new ArgumentException($"{keys.Length} keys need {(long)keys.Length * _table.Width} floats", nameof(values));
        }

        _index.MoveSome(keys.Length);
        Span<uint> rows = _table.RowBuffer(keys.Length);
        int missing = keys.Length - FindRows(keys, rows);
        if (missing > 0)
        {
            StoreResult result = Insert(keys, rows, missing, _admission is not null && operation == RowOperation.Update, mostNewRows);
            if (result != StoreResult.Ok)
            {
                return result;
            }

            if (_admission is not null)
            {
                (rows, values) = Admitted(rows, values);
            }
        }

        _table.Runs.Apply(rows, values, operation);
        if (_table.Slabs.KeepsLastClock)
        {
            RaiseLastClocks(rows, clock);
        }

        return StoreResult.Ok;
    }

    /// <summary>Reads the rows that exist.</summary>
    /// <param name="keys">Keys in any order.</param>
    /// <param name="packedValues">Gets width floats for each key found, one after another in the order of the keys.</param>
    /// <param name="foundBits">One bit a key, lowest first in each byte: set where the key has a row. The unused bits are cleared.</param>
    /// <returns>How many keys have a row.</returns>
    /// <exception cref="ArgumentException">A span is too short for what was found.</exception>
    public int ReadFound(ReadOnlySpan<ulong> keys, Span<float> packedValues, Span<byte> foundBits)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (foundBits.Length < (keys.Length + 7) / 8)
        {
            throw new ArgumentException("one bit a key is needed", nameof(foundBits));
        }

        int found = 0;
        for (int first = 0; first < keys.Length; first += BlockKeys)
        {
            ReadOnlySpan<ulong> block = keys[first..Math.Min(keys.Length, first + BlockKeys)];
            Span<uint> rows = _table.RowBuffer(block.Length);
            FindRows(block, rows);
            int kept = KeepFound(rows, foundBits.Slice(first / 8, (block.Length + 7) / 8));
            CopyValues(rows[..kept], packedValues[(found * _table.Width)..]);
            found += kept;
        }

        return found;
    }

    /// <summary>Reads rows, those that do not exist as a row that was never changed.</summary>
    /// <param name="keys">Keys in any order.</param>
    /// <param name="values">Gets width floats for each key, in the order of the keys.</param>
    /// <param name="initial">What an absent row has in each of its elements.</param>
    public void Read(ReadOnlySpan<ulong> keys, Span<float> values, float initial)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        int width = _table.Width;
        for (int first = 0; first < keys.Length; first += BlockKeys)
        {
            ReadOnlySpan<ulong> block = keys[first..Math.Min(keys.Length, first + BlockKeys)];
            Span<uint> rows = _table.RowBuffer(block.Length);
            FindRows(block, rows);
            for (int i = 0; i < rows.Length; i++)
            {
                Span<float> into = values.Slice((first + i) * width, width);
                if (rows[i] == Slot.NoRow)
                {
                    into.Fill(initial);
                }
                else
                {
                    new ReadOnlySpan<float>(_table.Slabs.Values(rows[i]), width).CopyTo(into);
                }
            }
        }
    }

    /// <summary>Moves the rows that exist to the front, in their order, and sets a bit for each of them.</summary>
    private static int KeepFound(Span<uint> rows, Span<byte> foundBits)
    {
        int kept = 0;
        for (int at = 0; at < foundBits.Length; at++)
        {
            Span<uint> eight = rows[(8 * at)..Math.Min(rows.Length, (8 * at) + 8)];
            int bits = 0;
            for (int i = 0; i < eight.Length; i++)
            {
                uint row = eight[i];
                int exists = row == Slot.NoRow ? 0 : 1;
                bits |= exists << i;
                rows[kept] = row;
                kept += exists;
            }

            foundBits[at] = (byte)bits;
        }

        return kept;
    }

    /// <summary>Takes out the rows of the keys and says how many had one. Their room is used again by this table.</summary>
    public int Delete(ReadOnlySpan<ulong> keys)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _index.MoveSome(keys.Length);
        int deleted = 0;
        foreach (ulong key in keys)
        {
            uint row = _index.Remove(Mix.Of(key));
            if (row != Slot.NoRow)
            {
                _table.Slabs.Release(row);
                deleted++;
            }
        }

        _table.CountedRows -= _isCounted ? deleted : 0;
        _index.ShrinkIfSparse();
        return deleted;
    }

    /// <summary>
    /// Reads rows in ascending <c>Mix</c> order. A row that exists during a whole scan appears in it exactly once; one that comes or goes
    /// meanwhile may appear. A call's cost is bounded by the span, so it may give few rows, or none, before the end.
    /// </summary>
    /// <param name="fromMixed">0 at first, then the last call's <paramref name="nextMixed"/>.</param>
    /// <param name="keys">Gets the keys, at least one long: its length is the most rows that a call gives.</param>
    /// <param name="values">Gets width floats for each key.</param>
    /// <param name="nextMixed">The cursor of the next call; 0 where <paramref name="done"/>.</param>
    /// <param name="done">No row is left.</param>
    /// <returns>The rows given.</returns>
    public int Scan(ulong fromMixed, Span<ulong> keys, Span<float> values, out ulong nextMixed, out bool done)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        if (keys.IsEmpty || values.Length < (long)keys.Length * _table.Width)
        {
            throw new ArgumentException("room for at least one row, and for the values of every key, is needed", nameof(values));
        }

        Span<Slot> chunk = stackalloc Slot[ScanChunk];
        Span<uint> rows = stackalloc uint[ScanChunk];
        int count = 0;
        // A quarter of the slots is filled unless most rows were deleted.
        long slots = (4L * keys.Length) + ScanChunk;
        nextMixed = fromMixed;
        done = false;
        while (count < keys.Length && slots > 0 && !done)
        {
            int most = Math.Min(ScanChunk, keys.Length - count), mostSlots = (int)Math.Min(slots, 4 * ScanChunk);
            int read = _index.Walk(nextMixed, chunk[..most], mostSlots, out nextMixed, out done);
            for (int i = 0; i < read; i++)
            {
                keys[count + i] = Mix.Inverse(chunk[i].Mixed);
                rows[i] = chunk[i].Row;
            }

            CopyValues(rows[..read], values[(count * _table.Width)..]);
            count += read;
            slots -= mostSlots;
        }

        return count;
    }

    /// <summary>Gives the rows back to the table and the index's bytes to the budget.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            IsCounted = false;
            _table.GiveBack(_index);
            Close();
        }
    }

    /// <summary>As <see cref="Dispose"/>, where the table frees all rows at once and none need be given back.</summary>
    internal void CloseWithTable()
    {
        IsCounted = false;
        _index.Dispose();
        Close();
    }

    private void Close()
    {
        _disposed = true;
        _admission?.Dispose();
        _table.Closed(this);
    }

    /// <summary>Looks the keys up, asking for slots ahead, and says how many have a row; the others get <see cref="Slot.NoRow"/>.</summary>
    private int FindRows(ReadOnlySpan<ulong> keys, Span<uint> rows)
    {
        Span<ulong> mixed = stackalloc ulong[Math.Min(keys.Length, BlockKeys)];
        int found = 0;
        for (int first = 0; first < keys.Length; first += BlockKeys)
        {
            int count = Math.Min(BlockKeys, keys.Length - first);
            for (int i = 0; i < count; i++)
            {
                mixed[i] = Mix.Of(keys[first + i]);
            }

            for (int i = 0; i < Math.Min(count, Prefetch.IndexDistance); i++)
            {
                _index.PrefetchSlot(mixed[i]);
            }

            for (int i = 0; i < count; i++)
            {
                if (i + Prefetch.IndexDistance < count)
                {
                    _index.PrefetchSlot(mixed[i + Prefetch.IndexDistance]);
                }

                uint row = _index.Find(mixed[i]);
                rows[first + i] = row;
                found += row == Slot.NoRow ? 0 : 1;
            }
        }

        return found;
    }

    /// <summary>Gives the keys without a row new ones, once the budget has paid for all of them.</summary>
    private StoreResult Insert(ReadOnlySpan<ulong> keys, Span<uint> rows, int missing, bool asksSketch, long mostNewRows = long.MaxValue)
    {
        ulong lowest = ulong.MaxValue, highest = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            if (rows[i] == Slot.NoRow)
            {
                ulong mixed = Mix.Of(keys[i]);
                if (!_index.Range.Contains(mixed))
                {
                    return StoreResult.WrongSegment;
                }

                (lowest, highest) = (Math.Min(lowest, mixed), Math.Max(highest, mixed));
            }
        }

        _index.Expect(lowest, highest);

        if (asksSketch)
        {
            missing -= MarkRareKeys(keys, rows);
        }

        if (missing > mostNewRows)
        {
            return StoreResult.TooManyNewRows;
        }

        if (!TryMakeRoom(missing, asksSketch))
        {
            return StoreResult.Full;
        }

        if (asksSketch)
        {
            CountSightings(keys, rows);
        }

        long before = Rows;
        for (int i = 0; i < keys.Length; i++)
        {
            if (rows[i] == Slot.NoRow)
            {
                ulong mixed = Mix.Of(keys[i]);
                // Distinct keys were asked for; where a peer sent one twice, its second finds the row of its first.
                rows[i] = _index.Find(mixed);
                if (rows[i] == Slot.NoRow)
                {
                    rows[i] = _table.NewRow();
                    _index.Insert(mixed, rows[i]);
                }
            }
        }

        _table.CountedRows += _isCounted ? Rows - before : 0;
        return StoreResult.Ok;
    }

    /// <summary>
    /// Makes room for so many new keys, all of it paid for by the budget. False where the budget, or the system, has no more: what the system
    /// granted of it stays, as room for later.
    /// </summary>
    private bool TryMakeRoom(int missing, bool asksSketch)
    {
        // From closed segments first: a table grows no further than if theirs had been given back at once.
        _table.GiveBack(missing);
        return (_index.IsCrowded(missing) && TryMakeRoom(missing, asksSketch, spreads: true)) || TryMakeRoom(missing, asksSketch, spreads: false)
            || (_table.GiveBack(int.MaxValue) && TryMakeRoom(missing, asksSketch, spreads: false));
    }

    private bool TryMakeRoom(int missing, bool asksSketch, bool spreads)
    {
        MemoryBudget budget = _table.Budget;
        int capacity = missing == 0 ? 0 : _index.CapacityFor(missing, spreads);
        long indexBytes = capacity == 0 ? 0 : OrderedSlots.BytesOf(capacity), sketchBytes = asksSketch ? _admission!.MissingBytes : 0;
        long before = (_admission?.Bytes ?? 0) + _table.Slabs.Bytes;
        long bytes = indexBytes + sketchBytes + _table.Slabs.GrowthBytes(missing);
        if (!_table.Slabs.HasNumbers(missing) || !budget.TryTake(bytes))
        {
            return false;
        }

        try
        {
            if (asksSketch)
            {
                _admission!.Begin();
            }

            _table.Slabs.Grow(missing);
            if (capacity > 0)
            {
                // The last, so that nothing is to be undone: it gets all or changes nothing.
                _index.Grow(capacity, missing);
            }

            budget.SystemHasNoMore = false;
            return true;
        }
        catch (OutOfMemoryException)
        {
            budget.Give(bytes - ((_admission?.Bytes ?? 0) + _table.Slabs.Bytes - before));
            budget.SystemHasNoMore = true;
            return false;
        }
    }

    private void CopySingles(ReadOnlySpan<uint> rows, Span<float> packed)
    {
        RowSlabs slabs = _table.Slabs;
        for (int i = 0; i < rows.Length; i++)
        {
            if (i + Prefetch.RowDistance < rows.Length)
            {
                Prefetch.Line(slabs.Values(rows[i + Prefetch.RowDistance]));
            }

            packed[i] = *slabs.Values(rows[i]);
        }
    }

    private void CopyValues(ReadOnlySpan<uint> rows, Span<float> packed)
    {
        int width = _table.Width;
        RowSlabs slabs = _table.Slabs;
        packed = packed[..(rows.Length * width)];
        if (width == 1)
        {
            CopySingles(rows, packed);
            return;
        }

        for (int i = 0; i < Math.Min(rows.Length, Prefetch.RowDistance); i++)
        {
            Prefetch.Row((byte*)slabs.Values(rows[i]), width * sizeof(float));
        }

        for (int i = 0; i < rows.Length; i++)
        {
            if (i + Prefetch.RowDistance < rows.Length)
            {
                Prefetch.Row((byte*)slabs.Values(rows[i + Prefetch.RowDistance]), width * sizeof(float));
            }

            Elementwise.Copy(slabs.Values(rows[i]), ref packed[i * width], width);
        }
    }
}
