using System.Buffers;
using System.Numerics;
using System.Runtime.InteropServices;
using Weir.Keys;

namespace Weir.Client;

/// <summary>
/// A call's keys in Mix order, distinct, with where each came from: the order in which segments, pieces, parts and frames are cut. Counted:
/// both halves of a PushPull and the list of recent cuts hold the same one; the last <see cref="Dispose"/> gives its arrays back.
/// Unchanging once cut, so any number of threads may read it.
/// </summary>
internal sealed class KeySlices : IDisposable
{
    // Small lists keep their arrays in the object, which is used again; larger ones rent theirs.
    private const int SmallKeys = 64;
    private const int KeptSmall = 256;

    private static readonly Stack<KeySlices> Small = new();

    private ulong _fingerprint;
    private int[] _order;
    private int[] _firstOfRow = [];
    private int _references;

    private KeySlices(int keys)
    {
        bool small = keys <= SmallKeys;
        Keys = small ? new ulong[SmallKeys] : ArrayPool<ulong>.Shared.Rent(keys);
        _order = small ? new int[SmallKeys] : ArrayPool<int>.Shared.Rent(keys);
    }

    /// <summary>The distinct keys, in Mix order; only the first <see cref="Rows"/> count.</summary>
    public ulong[] Keys { get; private set; }

    /// <summary>Distinct keys.</summary>
    public int Rows { get; private set; }

    /// <summary>Keys as the caller gave them, repeated ones each time.</summary>
    public int Positions { get; private set; }

    /// <summary>Bytes that the arrays take.</summary>
    public long Bytes => (long)Positions * (sizeof(ulong) + sizeof(int) + (AreDistinct ? 0 : sizeof(int)));

    /// <summary>No key came twice: every row has one position.</summary>
    private bool AreDistinct => Rows == Positions;

    /// <summary>Sorts the keys. The caller holds one reference.</summary>
    /// <param name="keys">Any keys.</param>
    /// <param name="fingerprint">See <see cref="MayBeOf"/>.</param>
    public static KeySlices Cut(ReadOnlySpan<ulong> keys, ulong fingerprint = 0)
    {
        KeySlices slices = Rent(keys.Length);
        MixSort.Sort(keys, slices.Keys.AsSpan(0, keys.Length), slices._order.AsSpan(0, keys.Length));
        slices.Number(keys.Length);
        slices._fingerprint = fingerprint;
        return slices;
    }

    /// <summary>One more holder.</summary>
    public KeySlices Retain()
    {
        Interlocked.Increment(ref _references);
        return this;
    }

    /// <summary>The caller's positions of one row, in call order.</summary>
    public ReadOnlySpan<int> PositionsOf(int row) =>
        AreDistinct ? _order.AsSpan(row, 1) : _order.AsSpan(_firstOfRow[row], _firstOfRow[row + 1] - _firstOfRow[row]);

    /// <summary>Whether <see cref="IsOf"/> is worth asking.</summary>
    public bool MayBeOf(int keys, ulong fingerprint) => keys == Positions && fingerprint == _fingerprint;

    /// <summary>Whether this is the cut of exactly these keys in this order.</summary>
    public bool IsOf(ReadOnlySpan<ulong> keys)
    {
        if (keys.Length != Positions)
        {
            return false;
        }

        if (!AreDistinct)
        {
            for (int row = 0; row < Rows; row++)
            {
                foreach (int position in PositionsOf(row))
                {
                    if (keys[position] != Keys[row])
                    {
                        return false;
                    }
                }
            }

            return true;
        }

        ReadOnlySpan<ulong> sorted = Keys.AsSpan(0, keys.Length);
        ReadOnlySpan<int> order = _order.AsSpan(0, keys.Length);
        for (int row = 0; row < order.Length; row++)
        {
            if (keys[order[row]] != sorted[row])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The first row at or after <paramref name="from"/> that lies in another segment than it.</summary>
    public int EndOfSegment(int from, int segmentBits)
    {
        ulong last = KeyRange.OfSegment(Mix.Segment(Keys[from], segmentBits), segmentBits).Last;
        int low = from + 1, high = Rows;
        while (low < high)
        {
            int middle = (int)(((uint)low + (uint)high) / 2);
            if (Mix.Of(Keys[middle]) <= last)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    /// <summary>Writes rows [from, to) of the caller's values, repeated keys brought together in call order: summed, as the rule sums.</summary>
    public void GatherRows(ReadOnlySpan<float> values, int width, UpdateRule rule, int from, int to, Span<float> into)
    {
        if (AreDistinct)
        {
            RowCopies.Gather(values, width, _order.AsSpan(from, to - from), into);
            return;
        }

        for (int row = from; row < to; row++)
        {
            ReadOnlySpan<int> positions = PositionsOf(row);
            Span<float> sum = into.Slice((row - from) * width, width);
            values.Slice(positions[0] * width, width).CopyTo(sum);
            for (int p = 1; p < positions.Length; p++)
            {
                Add(rule, sum, values.Slice(positions[p] * width, width));
            }
        }
    }

    /// <summary>Writes rows [from, to) to every place that the caller gave for them. All of <paramref name="rows"/> is there: none is absent.</summary>
    public void ScatterRows(ReadOnlySpan<float> rows, int width, int from, int to, Span<float> into)
    {
        if (AreDistinct)
        {
            RowCopies.Scatter(rows, width, _order.AsSpan(from, to - from), into);
            return;
        }

        for (int row = from; row < to; row++)
        {
            foreach (int position in PositionsOf(row))
            {
                rows.Slice((row - from) * width, width).CopyTo(into[(position * width)..]);
            }
        }
    }

    /// <summary>Two pushes of one row as one.</summary>
    private static void Add(UpdateRule rule, Span<float> sum, ReadOnlySpan<float> addend)
    {
        switch (rule.Kind)
        {
            case UpdateRuleKind.Count:
                Add(MemoryMarshal.Cast<float, long>(sum), MemoryMarshal.Cast<float, long>(addend));
                break;
            case UpdateRuleKind.Score:
                AddScores(MemoryMarshal.Cast<float, double>(sum), MemoryMarshal.Cast<float, double>(addend));
                break;
            case UpdateRuleKind.Union:
                Span<uint> bits = MemoryMarshal.Cast<float, uint>(sum);
                ReadOnlySpan<uint> others = MemoryMarshal.Cast<float, uint>(addend);
                for (int i = 0; i < bits.Length; i++)
                {
                    bits[i] |= others[i];
                }

                break;
            default:
                Add<float>(sum, addend);
                break;
        }
    }

    /// <summary>As the rule does it: a sum of finite numbers beyond the largest is the largest.</summary>
    private static void AddScores(Span<double> sum, ReadOnlySpan<double> addend)
    {
        for (int i = 0; i < sum.Length; i++)
        {
            double added = sum[i] + addend[i];
            bool isBeyond = double.IsInfinity(added) && double.IsFinite(sum[i]) && double.IsFinite(addend[i]);
            sum[i] = isBeyond ? Math.CopySign(double.MaxValue, added) : added;
        }
    }

    private static void Add<T>(Span<T> sum, ReadOnlySpan<T> addend)
        where T : struct, IAdditionOperators<T, T, T>
    {
        for (int i = 0; i < sum.Length; i++)
        {
            sum[i] += addend[i];
        }
    }

    /// <summary>One holder less.</summary>
    public void Dispose()
    {
        int left = Interlocked.Decrement(ref _references);
        World.Invariant.That(left >= 0, "a cut is given back once by each holder");
        if (left > 0)
        {
            return;
        }

        if (Keys.Length > SmallKeys)
        {
            ArrayPool<ulong>.Shared.Return(Keys);
            ArrayPool<int>.Shared.Return(_order);
            if (_firstOfRow.Length > 0)
            {
                ArrayPool<int>.Shared.Return(_firstOfRow);
            }

            (Keys, _order, _firstOfRow) = ([], [], []);
            return;
        }

        lock (Small)
        {
            if (Small.Count < KeptSmall)
            {
                Small.Push(this);
            }
        }
    }

    private static KeySlices Rent(int keys)
    {
        KeySlices? slices = null;
        if (keys <= SmallKeys)
        {
            lock (Small)
            {
                Small.TryPop(out slices);
            }
        }

        slices ??= new KeySlices(keys);
        slices._references = 1;
        return slices;
    }

    // Keys holds the sorted hashes. Most lists repeat none, which spares them the index of first positions.
    private void Number(int count)
    {
        Positions = count;
        Rows = count;
        Span<ulong> keys = Keys.AsSpan(0, count);
        bool repeated = false;
        for (int i = 1; i < keys.Length; i++)
        {
            repeated |= keys[i] == keys[i - 1];
        }

        if (repeated)
        {
            Merge(keys);
        }

        foreach (ref ulong key in keys[..Rows])
        {
            key = Mix.Inverse(key);
        }
    }

    private void Merge(Span<ulong> keys)
    {
        if (_firstOfRow.Length <= keys.Length)
        {
            _firstOfRow = keys.Length <= SmallKeys ? new int[SmallKeys + 1] : ArrayPool<int>.Shared.Rent(keys.Length + 1);
        }

        int rows = 0;
        for (int i = 0; i < keys.Length; i++)
        {
            if (i == 0 || keys[i] != keys[rows - 1])
            {
                _firstOfRow[rows] = i;
                keys[rows++] = keys[i];
            }
        }

        _firstOfRow[rows] = keys.Length;
        Rows = rows;
    }
}
