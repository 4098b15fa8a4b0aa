using System.Runtime.InteropServices;

namespace Weir.Tests.Wire;

/// <summary>
/// Native memory whose last byte lies before a page that nobody may read: a reader that runs over the end of its span by one byte stops the
/// process. Where the system has no mprotect the span is still exact, so that bounds checks hold the end.
/// </summary>
internal sealed unsafe partial class GuardedBytes : IDisposable
{
    private const int NoAccess = 0;
    private const int ReadAndWrite = 3;

    private readonly byte* _memory;
    private readonly nuint _guard;

    public GuardedBytes(int capacity)
    {
        _guard = (nuint)Environment.SystemPageSize;
        nuint pages = ((nuint)capacity + _guard - 1) / _guard;
        Capacity = (int)(pages * _guard);
        _memory = (byte*)NativeMemory.AlignedAlloc((pages + 1) * _guard, _guard);
        Protect(NoAccess);
    }

    public int Capacity { get; }

    /// <summary>The last bytes before the guard, filled with a copy of <paramref name="bytes"/>.</summary>
    public Span<byte> AtEnd(ReadOnlySpan<byte> bytes)
    {
        var span = new Span<byte>(_memory + Capacity - bytes.Length, bytes.Length);
        bytes.CopyTo(span);
        return span;
    }

    public void Dispose()
    {
        Protect(ReadAndWrite);
        NativeMemory.AlignedFree(_memory);
    }

    private void Protect(int protection)
    {
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(0, SetProtection(_memory + Capacity, _guard, protection));
        }
    }

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int SetProtection(void* address, nuint bytes, int protection);
}
