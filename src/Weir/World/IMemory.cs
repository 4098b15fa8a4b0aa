namespace Weir.World;

/// <summary>
/// Where the large native arrays of a node come from. A port, because what makes them fast - huge pages, that a page costs nothing
/// until it is touched - is the operating system's and not the core's. Thread-safe.
/// </summary>
internal unsafe interface IMemory
{
    /// <summary>Memory of zeros, aligned to 64 bytes. It should cost time only as it is touched, however large it is.</summary>
    /// <param name="bytes">How much, at least 1.</param>
    /// <exception cref="OutOfMemoryException">The system has no more; nothing was taken.</exception>
    byte* Allocate(long bytes);

    /// <summary>
    /// Says that a stretch of an allocation will not be read again, so that its pages may go back to the system at once, a little at a
    /// time, and not all of them in the call that frees it. The stretch still belongs to the allocation, and each of its bytes is what it was or
    /// zero. A hint.
    /// </summary>
    void Discard(byte* from, long bytes);

    /// <summary>Frees what <see cref="Allocate"/> gave for this many bytes.</summary>
    void Free(byte* memory, long bytes);
}
