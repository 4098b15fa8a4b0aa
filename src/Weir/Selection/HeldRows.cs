namespace Weir.Selection;

/// <summary>Rows that are held back: the sum of each key's, until they are taken. Not thread-safe.</summary>
internal sealed class HeldRows(int width)
{
    private readonly Dictionary<ulong, int> _places = [];
    private readonly Stack<int> _free = new();
    private float[] _values = [];

    public int Count => _places.Count;

    public IReadOnlyCollection<ulong> Keys => _places.Keys;

    /// <summary>Adds a row to what is held of its key.</summary>
    public void Add(ulong key, ReadOnlySpan<float> row)
    {
        if (!_places.TryGetValue(key, out int place))
        {
            place = _free.TryPop(out int free) ? free : _places.Count;
            _places.Add(key, place);
            if ((place + 1) * width > _values.Length)
            {
                Array.Resize(ref _values, Math.Max(64 * width, 2 * _values.Length));
            }

            Row(place).Clear();
        }

        Span<float> held = Row(place);
        for (int i = 0; i < width; i++)
        {
            held[i] += row[i];
        }
    }

    /// <summary>Adds what is held of a key to a row, and holds it no longer.</summary>
    public void Take(ulong key, Span<float> row)
    {
        if (_places.Remove(key, out int place))
        {
            _free.Push(place);
            ReadOnlySpan<float> held = Row(place);
            for (int i = 0; i < width; i++)
            {
                row[i] += held[i];
            }
        }
    }

    private Span<float> Row(int place) => _values.AsSpan(place * width, width);
}
