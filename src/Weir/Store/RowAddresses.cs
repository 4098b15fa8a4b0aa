namespace Weir.Store;

/// <summary>
/// Where a batch of rows lies in native memory: for each row its values and its state. There are more addresses than rows to change:
/// those behind are the rows that come next, so that they can be asked for in time.
/// </summary>
/// <param name="values">The first float of each row's values.</param>
/// <param name="state">The first float of each row's state; as many, and never read where the rule has no state.</param>
/// <param name="count">How many of them are changed, from the first on.</param>
internal readonly ref struct RowAddresses(ReadOnlySpan<nint> values, ReadOnlySpan<nint> state, int count)
{
    /// <summary>The first float of each row's values.</summary>
    public ReadOnlySpan<nint> Values { get; } = values;

    /// <summary>The first float of each row's state.</summary>
    public ReadOnlySpan<nint> State { get; } = state;

    /// <summary>How many rows are changed.</summary>
    public int Count { get; } = count;
}
