using Weir.Keys;
using Weir.Store;
using Weir.World;

namespace Weir.Cli.Bench;

/// <summary>
/// What the store is compared with: rows in one array, values and state side by side, found by multiplying and not by looking up a key,
/// asked for ahead, and changed by the same arithmetic. Not thread-safe.
/// </summary>
internal sealed unsafe class BareRows : IDisposable
{
    // Addresses ahead of the batch that is changed, so that its last rows are asked for as early as its first.
    private const int BatchRows = 256;

    private readonly int _width;
    private readonly int _stateWidth;
    private readonly IUpdateRule _rule;
    private readonly IMemory _memory;
    private readonly long _bytes;
    private readonly float* _rows;

    /// <summary>Rows of zeros, each touched once.</summary>
    public BareRows(int rows, int width, UpdateRule rule, IMemory memory)
    {
        _rule = UpdateRules.Create(rule);
        (_width, _stateWidth, _memory) = (width, _rule.StateWidth(width), memory);
        _bytes = (long)rows * (_width + _stateWidth) * sizeof(float);
        _rows = (float*)memory.Allocate(_bytes);
        float[] zeros = new float[width];
        for (int row = 0; row < rows; row++)
        {
            _rule.Assign(new Span<float>(At(row), width), new Span<float>(At(row) + width, _stateWidth), zeros, width);
        }
    }

    /// <summary>Copies the rows' values one after another.</summary>
    public void LookUp(ReadOnlySpan<int> rows, Span<float> values)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            if (i + Prefetch.RowDistance < rows.Length)
            {
                Prefetch.Row((byte*)At(rows[i + Prefetch.RowDistance]), _width * sizeof(float));
            }

            Elementwise.Copy(At(rows[i]), ref values[i * _width], _width);
        }
    }

    /// <summary>Puts a gradient on each row.</summary>
    public void Update(ReadOnlySpan<int> rows, ReadOnlySpan<float> gradients)
    {
        if (!_rule.RunsInPlace(_width))
        {
            UpdateOneByOne(rows, gradients);
            return;
        }

        Span<nint> values = stackalloc nint[BatchRows + Prefetch.RowDistance], state = stackalloc nint[BatchRows + Prefetch.RowDistance];
        for (int first = 0; first < rows.Length; first += BatchRows)
        {
            int count = Math.Min(BatchRows, rows.Length - first), known = Math.Min(values.Length, rows.Length - first);
            for (int i = 0; i < known; i++)
            {
                values[i] = (nint)At(rows[first + i]);
                state[i] = values[i] + (_width * sizeof(float));
            }

            RowAddresses addresses = new(values[..known], state[..known], count);
            _rule.RunInPlace(addresses, gradients.Slice(first * _width, count * _width), _width, RowOperation.Update);
        }
    }

    public void Dispose() => _memory.Free((byte*)_rows, _bytes);

    private void UpdateOneByOne(ReadOnlySpan<int> rows, ReadOnlySpan<float> gradients)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            if (i + Prefetch.RowDistance < rows.Length)
            {
                Prefetch.Row((byte*)At(rows[i + Prefetch.RowDistance]), (_width + _stateWidth) * sizeof(float));
            }

            Span<float> values = new(At(rows[i]), _width), state = new(At(rows[i]) + _width, _stateWidth);
            _rule.Apply(values, state, gradients.Slice(i * _width, _width), _width);
        }
    }

    private float* At(int row) => _rows + ((long)row * (_width + _stateWidth));
}
