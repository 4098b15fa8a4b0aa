namespace Weir.Store;

/// <summary>What <c>SegmentRows.Apply</c> does with the values that it is given.</summary>
internal enum RowOperation : byte
{
    /// <summary>The values are gradients or changes: they go through the table's update rule.</summary>
    Update = 0,

    /// <summary>The values become the rows' values, and the optimizer state is made consistent with them.</summary>
    Assign = 1,
}
