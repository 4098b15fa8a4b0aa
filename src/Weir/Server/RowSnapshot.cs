using Weir.Keys;
using Weir.Store;

namespace Weir.Server;

/// <summary>
/// One table of one segment as it is at this moment, read slice by slice while the segment serves (design R24): who is about to change a row that was
/// not read yet has its old image saved first. So what is read is one prefix of the log with its last[], and each row is read once.
/// </summary>
internal sealed class RowSnapshot : IDisposable
{
    private const int ChunkRows = 256;

    /// <summary>What a saved row takes beside its floats: its clock, and its place in the dictionary.</summary>
    private const int SavedRowBytes = 48;

    private const int Absent = -1;

    private readonly TableSegment _table;
    private readonly MemoryBudget _budget;
    private readonly Dictionary<ulong, int> _saved = [];
    private readonly List<(float[] Images, uint[] Clocks)> _chunks = [];
    private int _count;
    private long _taken;
    private ulong _fromMixed;
    private bool _isScanned;

    /// <param name="table">The table's rows in the segment.</param>
    /// <param name="budget">Pays for the rows that are saved.</param>
    public RowSnapshot(TableSegment table, MemoryBudget budget)
    {
        (_table, _budget) = (table, budget);
        Updates = [.. table.Updates.OrderBy(l => l.Key.Value)];
        Deletes = [.. table.Deletes.OrderBy(l => l.Key.Value)];
        Closed = table.Aggregation?.Closed;
        Admission = new byte[table.Rows.AdmissionStateBytes];
        table.Rows.WriteAdmissionState(Admission);
    }

    /// <summary>last[] of the updates, as of then.</summary>
    public KeyValuePair<WorkerId, LastPush>[] Updates { get; }

    public KeyValuePair<WorkerId, LastPush>[] Deletes { get; }

    public byte[] Admission { get; }

    /// <summary>The last iteration that the table had closed then; null where it does not aggregate.</summary>
    public long? Closed { get; }

    /// <summary>Reading has begun: another walk needs a snapshot of its own.</summary>
    public bool HasBegun { get; private set; }

    /// <summary>All rows have been read.</summary>
    public bool IsRead => _isScanned && _saved.Count == 0;

    /// <summary>There was no memory for what had to be saved: this is no snapshot any more.</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Rows that are saved for being read.</summary>
    public int SavedRows => _saved.Count;

    /// <summary>To be called before the rows of some keys change, come or go.</summary>
    public void Save(ReadOnlySpan<ulong> keys)
    {
        if (_isScanned || HasFailed)
        {
            return;
        }

        foreach (ulong key in keys)
        {
            if (Mix.Of(key) >= _fromMixed && !_saved.ContainsKey(key) && !TrySave(key))
            {
                Fail();
                return;
            }
        }
    }

    /// <summary>Reads the next rows, in no particular order.</summary>
    /// <param name="keys">Gets the keys, at least one long.</param>
    /// <param name="images">Gets an image for each key.</param>
    /// <param name="clocks">Gets a clock for each key, where the table keeps them.</param>
    /// <returns>The rows given; perhaps none before the end.</returns>
    public int Read(Span<ulong> keys, Span<float> images, Span<uint> clocks)
    {
        HasBegun = true;
        return _isScanned ? ReadGone(keys, images, clocks) : Scan(keys, images, clocks);
    }

    public void Dispose()
    {
        _budget.Give(_taken);
        _taken = 0;
        _saved.Clear();
        _chunks.Clear();
        _isScanned = true;
    }

    private int Scan(Span<ulong> keys, Span<float> images, Span<uint> clocks)
    {
        int floats = _table.Rows.ImageFloats;
        bool hasClocks = _table.Rows.KeepsLastClock;
        int read = _table.Rows.ScanImages(_fromMixed, keys, images, clocks, out _fromMixed, out _isScanned);
        if (_saved.Count == 0)
        {
            return read;
        }

        int kept = 0;
        for (int i = 0; i < read; i++)
        {
            bool isSaved = _saved.Remove(keys[i], out int saved);
            if (isSaved && saved == Absent)
            {
                continue;
            }

            keys[kept] = keys[i];
            Span<float> image = images.Slice(kept * floats, floats);
            if (isSaved)
            {
                ReadSaved(saved, image, hasClocks ? clocks.Slice(kept, 1) : default);
            }
            else if (kept != i)
            {
                images.Slice(i * floats, floats).CopyTo(image);
                clocks[hasClocks ? i..(i + 1) : ..0].CopyTo(clocks[(hasClocks ? kept : 0)..]);
            }

            kept++;
        }

        if (_isScanned)
        {
            // Those that came and went again.
            foreach (ulong absent in _saved.Where(s => s.Value == Absent).Select(s => s.Key).ToArray())
            {
                _saved.Remove(absent);
            }
        }

        return kept;
    }

    /// <summary>Rows that stood then and were gone by the time the walk came to their place.</summary>
    private int ReadGone(Span<ulong> keys, Span<float> images, Span<uint> clocks)
    {
        int floats = _table.Rows.ImageFloats, count = 0;
        foreach ((ulong key, int saved) in _saved.Take(keys.Length).ToArray())
        {
            keys[count] = key;
            ReadSaved(saved, images.Slice(count * floats, floats), _table.Rows.KeepsLastClock ? clocks.Slice(count, 1) : default);
            _saved.Remove(key);
            count++;
        }

        return count;
    }

    private void ReadSaved(int saved, Span<float> image, Span<uint> clock)
    {
        (float[] images, uint[] clocks) = _chunks[saved / ChunkRows];
        images.AsSpan(saved % ChunkRows * image.Length, image.Length).CopyTo(image);
        if (!clock.IsEmpty)
        {
            clock[0] = clocks[saved % ChunkRows];
        }
    }

    private bool TrySave(ulong key)
    {
        int floats = _table.Rows.ImageFloats, at = _count % ChunkRows;
        if (at == 0 && _chunks.Count * ChunkRows == _count)
        {
            // The last sixteenth of the memory is for rows.
            long bytes = ChunkRows * ((floats * (long)sizeof(float)) + SavedRowBytes);
            if (bytes > _budget.Limit - (_budget.Limit / 16) - _budget.Used || !_budget.TryTake(bytes))
            {
                return false;
            }

            _taken += bytes;
            _chunks.Add((new float[ChunkRows * floats], new uint[_table.Rows.KeepsLastClock ? ChunkRows : 1]));
        }

        (float[] images, uint[] clocks) = _chunks[^1];
        Span<uint> clock = clocks.AsSpan(_table.Rows.KeepsLastClock ? at : 0, 1);
        if (!_table.Rows.TryReadImage(key, images.AsSpan(at * floats, floats), clock))
        {
            _saved.Add(key, Absent);
            return true;
        }

        _saved.Add(key, _count++);
        return true;
    }

    private void Fail()
    {
        Dispose();
        HasFailed = true;
    }
}
