using Weir.Keys;

namespace Weir.Selection;

/// <summary>
/// The random skip filter: a row goes out with a chance q and is multiplied by 1/q, so that on the average the same arrives; the others are dropped (Li et al. 2014, NIPS, appendix A; PS-27). The chance of a
/// row follows from its key, the worker, the iteration and the push, so that a redo sends the same rows.
/// </summary>
public sealed class RandomRows : RowFilter
{
    // The chance is drawn from so many bits: a float holds no more.
    private const int Bits = 24;

    /// <summary>Filters by chance.</summary>
    /// <param name="chance">q, above 0 and at most 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The chance is out of its range.</exception>
    public RandomRows(float chance)
    {
        ArgumentOutOfRangeException.ThrowIfEqual(chance is > 0 and <= 1, false, nameof(chance));
        Chance = chance;
    }

    /// <inheritdoc/>
    public override string Name => "skip";

    /// <summary>With which chance a row is sent.</summary>
    public float Chance { get; }

    /// <inheritdoc/>
    public override void Choose(PushedRows rows, Span<RowChoice> choices)
    {
        // At least one of the draws sends a row, and what it is multiplied by is of the chance that it really has.
        ulong sent = Math.Max(1, (ulong)MathF.Round(Chance * (1 << Bits)));
        float scale = (1 << Bits) / (float)sent;
        ulong seed = Mix.Of((ulong)rows.Push, Mix.Of((ulong)rows.Iteration, (ulong)rows.Worker));
        for (int row = 0; row < choices.Length; row++)
        {
            if (Mix.Of(rows.Keys[row], seed) >> (64 - Bits) >= sent)
            {
                choices[row] = RowChoice.Drop;
                continue;
            }

            foreach (ref float value in rows.Row(row))
            {
                value *= scale;
            }
        }
    }
}
