using System.Globalization;
using Weir.Selection;

namespace PlugIn;

/// <summary>
/// A filter of rows of one's own for <c>weir train --plug-ins FOLDER --filters in-turns:N</c>: a key's gradient goes out in every N-th iteration only, another part of the keys in each, and is held back and summed meanwhile.
/// </summary>
public sealed class RowsInTurnsFactory : IRowFilterFactory
{
    /// <inheritdoc/>
    public string Name => "in-turns";

    /// <inheritdoc/>
    public RowFilter Create(string argument) => ulong.TryParse(argument, NumberStyles.None, CultureInfo.InvariantCulture, out ulong turns) && turns > 0
        ? new RowsInTurns(turns)
        : throw new ArgumentException("it needs a whole number of iterations above 0, as in in-turns:4");

    private sealed class RowsInTurns(ulong turns) : RowFilter
    {
        public override string Name => "in-turns";

        public override void Choose(PushedRows rows, Span<RowChoice> choices)
        {
            for (int row = 0; row < choices.Length; row++)
            {
                // By what the row says of itself: a redo of the iteration chooses the same.
                choices[row] = (rows.Keys[row] + (ulong)rows.Iteration) % turns == 0 ? RowChoice.Send : RowChoice.Hold;
            }
        }
    }
}
