namespace Weir.Selection;

/// <summary>
/// The significantly-modified filter: a row goes out once some float of it has changed by more than a threshold since it went out last, and is held back until then (Li et al. 2014, NIPS, section 4.3; PS-26).
/// Nothing is lost: what is held back is sent with the next push of the key that is significant, or by a flush. A float that is not a number is sent.
/// </summary>
public sealed class SignificantRows : RowFilter
{
    /// <summary>Filters by a threshold.</summary>
    /// <param name="threshold">In units of what is pushed; finite, above 0.</param>
    /// <param name="falls">Whether it is divided by the iteration: the O(1/t) under which the delayed block proximal gradient method converges (NIPS'14, theorem 2). False keeps it.</param>
    /// <exception cref="ArgumentOutOfRangeException">The threshold is out of its range.</exception>
    public SignificantRows(float threshold, bool falls = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(threshold);
        ArgumentOutOfRangeException.ThrowIfEqual(float.IsFinite(threshold), false, nameof(threshold));
        (Threshold, Falls) = (threshold, falls);
    }

    /// <inheritdoc/>
    public override string Name => "significant";

    /// <summary>The threshold in the first iteration.</summary>
    public float Threshold { get; }

    /// <summary>Whether it is divided by the iteration.</summary>
    public bool Falls { get; }

    /// <inheritdoc/>
    public override void Choose(PushedRows rows, Span<RowChoice> choices)
    {
        float threshold = Falls ? Threshold / rows.Iteration : Threshold;
        for (int row = 0; row < choices.Length; row++)
        {
            choices[row] = RowChoice.Hold;
            foreach (float value in rows.Row(row))
            {
                if (!(Math.Abs(value) <= threshold))
                {
                    choices[row] = RowChoice.Send;
                    break;
                }
            }
        }
    }
}
