namespace Weir.Selection;

/// <summary>What becomes of a row of a push.</summary>
public enum RowChoice : byte
{
    /// <summary>It goes to the servers now.</summary>
    Send,

    /// <summary>It stays here and is added to what the same key pushes next, or sent by a flush.</summary>
    Hold,

    /// <summary>It goes nowhere: what the filter sends of others must make up for it.</summary>
    Drop,
}

/// <summary>The rows of one push as a filter sees them: what the call gave, what was held back of the same keys before added to it, without what filters before it have held or dropped.</summary>
public readonly ref struct PushedRows
{
    /// <summary>The worker's index in its job.</summary>
    public required int Worker { get; init; }

    /// <summary>The worker's iteration, from 1.</summary>
    public required long Iteration { get; init; }

    /// <summary>Which push of the iteration it is, from 0.</summary>
    public required int Push { get; init; }

    /// <summary>Floats a row.</summary>
    public required int Width { get; init; }

    /// <summary>The rows' keys, in the order of the call.</summary>
    public required ReadOnlySpan<ulong> Keys { get; init; }

    /// <summary><see cref="Width"/> floats for each key. A filter may change those of rows that it sends.</summary>
    public required Span<float> Values { get; init; }

    /// <summary>The floats of a row.</summary>
    public Span<float> Row(int row) => Values.Slice(row * Width, Width);
}

/// <summary>
/// Chooses which rows of a worker's pushes are sent, held back or dropped; <see cref="FilteredPushes"/> runs several in a row and keeps what they hold back. To filter by
/// a rule of one's own, derive from it. An instance serves one worker on one table, and is called for one push at a time, in the order of the calls. A worker that is hosted anew redoes its iteration with filters that
/// remember nothing: of a push that stood already the older choice stands (design R11, R14), so chance is to be drawn from what the rows say of themselves alone.
/// </summary>
public abstract class RowFilter
{
    /// <summary>What it is called in reports.</summary>
    public abstract string Name { get; }

    /// <summary>Decides about each row.</summary>
    /// <param name="rows">The rows, at least one.</param>
    /// <param name="choices">One for each, all <see cref="RowChoice.Send"/> before the call.</param>
    public abstract void Choose(PushedRows rows, Span<RowChoice> choices);
}
