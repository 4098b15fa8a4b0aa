namespace Weir.Selection;

/// <summary>
/// Top-k with error feedback: of a push the rows with the largest norms go out, the others are held back and added to what their keys push next (Stich, Cordonnier and Jaggi 2018, Sparsified SGD with memory,
/// algorithm 1). A row with a float that is not a number counts as the largest. Of rows with the same norm the first are sent.
/// </summary>
public sealed class LargestRows : RowFilter
{
    private float[] _norms = [];

    /// <summary>Filters by norm.</summary>
    /// <param name="fraction">Which part of a push's rows is sent, above 0 and at most 1; of its rows at least one.</param>
    /// <exception cref="ArgumentOutOfRangeException">The fraction is out of its range.</exception>
    public LargestRows(float fraction)
    {
        ArgumentOutOfRangeException.ThrowIfEqual(fraction is > 0 and <= 1, false, nameof(fraction));
        Fraction = fraction;
    }

    /// <inheritdoc/>
    public override string Name => "top-k";

    /// <summary>Which part of a push's rows is sent.</summary>
    public float Fraction { get; }

    /// <inheritdoc/>
    public override void Choose(PushedRows rows, Span<RowChoice> choices)
    {
        int count = choices.Length, sent = Math.Max(1, (int)MathF.Ceiling(Fraction * count));
        if (_norms.Length < 2 * count)
        {
            _norms = new float[2 * count];
        }

        Span<float> norms = _norms.AsSpan(0, count), sorted = _norms.AsSpan(count, count);
        for (int row = 0; row < count; row++)
        {
            norms[row] = SquaredNorm(rows.Row(row));
        }

        norms.CopyTo(sorted);
        float least = Select(sorted, count - sent);
        int above = 0;
        foreach (float norm in norms)
        {
            above += norm > least ? 1 : 0;
        }

        int alike = sent - above;
        for (int row = 0; row < count; row++)
        {
            bool isSent = norms[row] > least || (norms[row] == least && alike-- > 0);
            choices[row] = isSent ? RowChoice.Send : RowChoice.Hold;
        }
    }

    private static float SquaredNorm(ReadOnlySpan<float> row)
    {
        float sum = 0;
        foreach (float value in row)
        {
            sum += value * value;
        }

        return float.IsNaN(sum) ? float.PositiveInfinity : sum;
    }

    /// <summary>The value that stands at a place once all are sorted (Hoare 1961, algorithm 65: Find).</summary>
    private static float Select(Span<float> values, int place)
    {
        int low = 0, high = values.Length - 1;
        while (low < high)
        {
            float pivot = values[low + ((high - low) / 2)];
            int left = low, right = high;
            while (left <= right)
            {
                while (values[left] < pivot)
                {
                    left++;
                }

                while (pivot < values[right])
                {
                    right--;
                }

                if (left <= right)
                {
                    (values[left], values[right]) = (values[right], values[left]);
                    left++;
                    right--;
                }
            }

            if (place <= right)
            {
                high = right;
            }
            else if (place >= left)
            {
                low = left;
            }
            else
            {
                break;
            }
        }

        return values[place];
    }
}
