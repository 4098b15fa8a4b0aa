using System.Runtime.InteropServices;

namespace Weir.World;

/// <summary>
/// Memory of the C library: what a simulation and an embedded default need. It is cleared at once, so a large array costs its time at
/// birth; a host with an operating system at hand does better.
/// </summary>
internal sealed unsafe class PlainMemory : IMemory
{
    /// <summary>A cache line: vectors and rows do not straddle more lines than they must.</summary>
    private const int AlignmentBytes = 64;

    private PlainMemory()
    {
    }

    /// <summary>The one instance: it has no state.</summary>
    public static PlainMemory Instance { get; } = new();

    /// <inheritdoc/>
    public byte* Allocate(long bytes)
    {
        void* memory = NativeMemory.AlignedAlloc((nuint)bytes, AlignmentBytes);
        NativeMemory.Clear(memory, (nuint)bytes);
        return (byte*)memory;
    }

    /// <inheritdoc/>
    public void Discard(byte* from, long bytes)
    {
    }

    /// <inheritdoc/>
    public void Free(byte* memory, long bytes) => NativeMemory.AlignedFree(memory);
}
