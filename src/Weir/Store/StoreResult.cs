namespace Weir.Store;

/// <summary>The outcome of <c>SegmentRows.Apply</c>. All but <see cref="Ok"/> changed nothing.</summary>
internal enum StoreResult : byte
{
    /// <summary>Applied to every key.</summary>
    Ok = 0,

    /// <summary>The memory limit leaves no room for the keys that have no row yet.</summary>
    Full = 1,

    /// <summary>A key belongs to another segment: foreign bytes were not sliced as the map says.</summary>
    WrongSegment = 2,

    /// <summary>More keys have no row yet than the caller allows to get one.</summary>
    TooManyNewRows = 3,
}
