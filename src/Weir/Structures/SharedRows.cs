using System.Buffers;
using System.Runtime.InteropServices;
using Weir.Client;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>
/// The rows that the items of one push share, brought together by this client: so many items cost one row on the wire for each row that they lie in. Not thread-safe; used again after <see cref="Clear"/>.
/// </summary>
internal sealed class SharedRows : IDisposable
{
    /// <summary>Items that are brought together at a time: rows of 128 bytes for them fit a core's own cache.</summary>
    public const int MostItems = 16_384;

    private const int Places = 2 * MostItems;

    private readonly int _width;
    private readonly ulong[] _keys = ArrayPool<ulong>.Shared.Rent(MostItems);
    private readonly float[] _values;

    // One above a row's number; 0 for none.
    private readonly int[] _rowAt = ArrayPool<int>.Shared.Rent(Places);

    public SharedRows(int width)
    {
        _width = width;
        _values = ArrayPool<float>.Shared.Rent(MostItems * width);
        Clear();
    }

    public int Count { get; private set; }

    public ReadOnlyMemory<ulong> Keys => _keys.AsMemory(0, Count);

    public ReadOnlyMemory<float> Values => _values.AsMemory(0, Count * _width);

    /// <summary>The row of a key as numbers of 8 bytes, all zero at first.</summary>
    public Span<T> Row<T>(ulong key)
        where T : unmanaged
    {
        // Open addressing with linear probing: half of the places are free.
        int place = (int)(Mix.Of(key) % Places);
        for (; _rowAt[place] != 0; place = (place + 1) % Places)
        {
            if (_keys[_rowAt[place] - 1] == key)
            {
                return MemoryMarshal.Cast<float, T>(_values.AsSpan((_rowAt[place] - 1) * _width, _width));
            }
        }

        _keys[Count] = key;
        Span<float> row = _values.AsSpan(Count * _width, _width);
        row.Clear();
        _rowAt[place] = ++Count;
        return MemoryMarshal.Cast<float, T>(row);
    }

    public void Clear()
    {
        Count = 0;
        _rowAt.AsSpan(0, Places).Clear();
    }

    public void Dispose()
    {
        ArrayPool<ulong>.Shared.Return(_keys);
        ArrayPool<float>.Shared.Return(_values);
        ArrayPool<int>.Shared.Return(_rowAt);
    }

    /// <summary>Pushes many items, some thousand at a time, and brings the next ones together while those before are on their way.</summary>
    /// <param name="client">Who pushes.</param>
    /// <param name="table">Where to.</param>
    /// <param name="items">How many.</param>
    /// <param name="gather">Puts the items from the first on, so many, into rows.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    public static async Task PushAsync(WeirClient client, WeirTable table, int items, Action<SharedRows, int, int> gather, CancellationToken cancellation)
    {
        using var one = new SharedRows(table.Width);
        using SharedRows? other = items > MostItems ? new SharedRows(table.Width) : null;
        SharedRows next = one;
        Task before = Task.CompletedTask;
        try
        {
            for (int first = 0; first < items; first += MostItems)
            {
                next.Clear();
                gather(next, first, Math.Min(MostItems, items - first));
                await before;
                before = client.PushAsync(table, next.Keys, next.Values, cancellation);
                next = next == one ? other! : one;
            }
        }
        finally
        {
            // Whatever became of the others: what a push sends from is not to be written to before it has ended.
            await before;
        }
    }

    /// <summary>Pulls the rows of many items, some thousand at a time, and reads each.</summary>
    /// <param name="client">Who pulls.</param>
    /// <param name="table">Where from.</param>
    /// <param name="items">How many.</param>
    /// <param name="keyOf">The row of an item.</param>
    /// <param name="read">Reads an item's row.</param>
    /// <param name="cancellation">Ends the call.</param>
    public static async Task PullAsync(WeirClient client, WeirTable table, int items, Func<int, ulong> keyOf, Action<int, ReadOnlyMemory<float>> read, CancellationToken cancellation)
    {
        int most = Math.Min(items, MostItems), width = table.Width;
        ulong[] keys = ArrayPool<ulong>.Shared.Rent(most);
        float[] rows = ArrayPool<float>.Shared.Rent(most * width);
        try
        {
            for (int first = 0; first < items; first += MostItems)
            {
                int count = Math.Min(MostItems, items - first);
                for (int i = 0; i < count; i++)
                {
                    keys[i] = keyOf(first + i);
                }

                await client.PullAsync(table, keys.AsMemory(0, count), rows.AsMemory(0, count * width), cancellation);
                for (int i = 0; i < count; i++)
                {
                    read(first + i, rows.AsMemory(i * width, width));
                }
            }
        }
        finally
        {
            ArrayPool<ulong>.Shared.Return(keys);
            ArrayPool<float>.Shared.Return(rows);
        }
    }

    /// <summary>A number below <paramref name="count"/> from a hash, each as likely as any other.</summary>
    public static ulong Below(ulong hash, ulong count) => Math.BigMul(hash, count, out _);
}
