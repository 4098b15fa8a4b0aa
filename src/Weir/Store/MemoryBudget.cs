using Weir.World;

namespace Weir.Store;

/// <summary>
/// The native bytes that the tables of one node may hold together, and how many they hold now. Whoever allocates takes first and gives
/// back when it frees, so that a node at its limit answers <c>Full</c> and goes on instead of dying. Not thread-safe: a node is one loop.
/// </summary>
/// <param name="limitBytes">The most bytes that may be taken at once, 0 or above.</param>
/// <param name="memory">Where the bytes come from; null for the C library.</param>
internal sealed class MemoryBudget(long limitBytes, IMemory? memory = null)
{
    /// <summary>Where the bytes come from once they are taken.</summary>
    public IMemory Memory { get; } = memory ?? PlainMemory.Instance;

    /// <summary>The most bytes that may be taken at once.</summary>
    public long Limit { get; } = limitBytes >= 0
        ? limitBytes
        : throw new ArgumentOutOfRangeException(nameof(limitBytes), limitBytes, "must be 0 or above");

    /// <summary>The bytes taken now.</summary>
    public long Used { get; private set; }

    /// <summary>The system had less than the budget when it was last asked: the limit is not what was reached.</summary>
    public bool SystemHasNoMore { get; set; }

    /// <summary>Takes <paramref name="bytes"/>, or takes nothing and says false where they do not fit any more.</summary>
    public bool TryTake(long bytes)
    {
        Invariant.That(bytes >= 0, "bytes are taken from a budget in counts of 0 or above");
        if (bytes > Limit - Used)
        {
            return false;
        }

        Used += bytes;
        return true;
    }

    /// <summary>Gives back bytes that were taken.</summary>
    public void Give(long bytes)
    {
        Invariant.That(bytes >= 0 && bytes <= Used, "no more bytes are given back to a budget than were taken");
        Used -= bytes;
    }
}
