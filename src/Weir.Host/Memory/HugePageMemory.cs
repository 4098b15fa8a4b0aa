using System.Runtime.InteropServices;
using Weir.World;

namespace Weir.Host.Memory;

/// <summary>
/// Memory straight from Linux, with huge pages of 2 MiB where the system grants them on request (transparent_hugepage at madvise or
/// always). Random rows among gigabytes of 4 KiB pages miss the address cache at every access; with huge pages the whole of it is
/// covered by some thousand entries. A fresh page is zero and costs time when it is first touched, so that even the largest array is
/// born at once. Below <see cref="SmallestBytes"/>, and on other systems, it is <see cref="PlainMemory"/>. Thread-safe.
/// </summary>
internal sealed unsafe partial class HugePageMemory : IMemory
{
    /// <summary>What is smaller comes from the C library: a mapping costs two calls into the system and a huge page holds 2 MiB.</summary>
    public const long SmallestBytes = 1L << 20;

    private const long HugePageBytes = 2L << 20;
    private const int ReadWrite = 3;
    private const int PrivateAnonymous = 0x22;
    private const int AdviseHugePage = 14;
    private const int AdviseDontNeed = 4;
    private const nint MapFailed = -1;

    /// <inheritdoc/>
    public byte* Allocate(long bytes)
    {
        if (!IsMapped(bytes))
        {
            return PlainMemory.Instance.Allocate(bytes);
        }

        // The kernel aligns a mapping to 4 KiB; the part of a huge page before the first boundary is cut off again, as is what is behind.
        long mapped = PageCeiling(bytes) + HugePageBytes;
        nint start = MemoryMap(0, (nuint)mapped, ReadWrite, PrivateAnonymous, -1, 0);
        if (start == MapFailed)
        {
            throw new InsufficientMemoryException($"the system has no {bytes} bytes for rows");
        }

        nint aligned = (nint)((start + HugePageBytes - 1) / HugePageBytes * HugePageBytes);
        Unmap(start, aligned - start);
        Unmap(aligned + (nint)PageCeiling(bytes), start + (nint)mapped - aligned - (nint)PageCeiling(bytes));
        // Where it is refused there are plain pages, which work as well, only slower.
        _ = MemoryAdvise(aligned, (nuint)PageCeiling(bytes), AdviseHugePage);
        return (byte*)aligned;
    }

    /// <inheritdoc/>
    public void Discard(byte* from, long bytes)
    {
        // Only whole huge pages: to break one up costs more than it gives.
        nint first = (nint)(((nint)from + HugePageBytes - 1) / HugePageBytes * HugePageBytes);
        nint end = (nint)(((nint)from + bytes) / HugePageBytes * HugePageBytes);
        if (OperatingSystem.IsLinux() && end > first)
        {
            _ = MemoryAdvise(first, (nuint)(end - first), AdviseDontNeed);
        }
    }

    /// <inheritdoc/>
    public void Free(byte* memory, long bytes)
    {
        if (IsMapped(bytes))
        {
            Unmap((nint)memory, (nint)PageCeiling(bytes));
        }
        else
        {
            PlainMemory.Instance.Free(memory, bytes);
        }
    }

    private static bool IsMapped(long bytes) => bytes >= SmallestBytes && OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    private static long PageCeiling(long bytes) => (bytes + Environment.SystemPageSize - 1) / Environment.SystemPageSize * Environment.SystemPageSize;

    private static void Unmap(nint start, nint bytes)
    {
        if (bytes > 0)
        {
            _ = MemoryUnmap(start, (nuint)bytes);
        }
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial nint MemoryMap(nint address, nuint bytes, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int MemoryUnmap(nint address, nuint bytes);

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int MemoryAdvise(nint address, nuint bytes, int advice);
}
