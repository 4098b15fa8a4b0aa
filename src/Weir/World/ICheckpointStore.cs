namespace Weir.World;

/// <summary>An object that a store holds.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Bytes">Its length.</param>
public readonly record struct StoredObject(string Name, long Bytes);

/// <summary>
/// Where checkpoints are kept: named objects of at most some tens of MiB, in a folder (<c>Weir.Host</c> has one) or in a store of objects. Names are
/// <c>checkpoint/object</c>, of letters, digits, <c>.</c>, <c>-</c> and <c>_</c>. To be implemented by whoever keeps them elsewhere. Thread-safe.
/// </summary>
public interface ICheckpointStore
{
    /// <summary>
    /// Writes an object whole: when the task completes it will be there after a loss of power, under its name, and before it nothing was; an object of
    /// that name is replaced. A failure is an exception, after which nobody knows what is there.
    /// </summary>
    /// <param name="name">Its name.</param>
    /// <param name="pieces">Its bytes, piece by piece; unchanged until the task completes.</param>
    /// <param name="cancellation">Ends the writing.</param>
    Task WriteAsync(string name, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation);

    /// <summary>Reads an object into memory that the caller may use again for the next one.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="into">Gets its bytes, as many of them as there is room for; nobody else looks at it until the task completes.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <returns>The length of the object, which may be more than there was room for; null where there is none.</returns>
    Task<long?> ReadAsync(string name, Memory<byte> into, CancellationToken cancellation);

    /// <summary>The objects of one checkpoint, or all where it is empty, in no order.</summary>
    Task<IReadOnlyList<StoredObject>> ListAsync(string checkpoint, CancellationToken cancellation);

    /// <summary>Takes an object out; one that is not there is passed over.</summary>
    Task DeleteAsync(string name, CancellationToken cancellation);
}
