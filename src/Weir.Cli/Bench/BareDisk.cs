using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using Weir.Host.Disk;

namespace Weir.Cli.Bench;

/// <summary>What a folder's disk does by itself: one file, written from its beginning to its end and flushed, and read again from the disk.</summary>
/// <param name="path">The file, which is replaced.</param>
internal sealed unsafe partial class BareDisk(string path)
{
    // Long enough that calls cost nothing beside their bytes, short enough for a core's cache.
    private const int PieceBytes = 4 << 20;

    private const int DontNeed = 4;

    /// <summary>Whether files can be taken out of the system's cache, so that reading means the disk.</summary>
    public static bool CanForget => OperatingSystem.IsLinux();

    /// <summary>Writes at least so many bytes, which no disk can compress, past the system's cache where there is a way, and flushes them.</summary>
    /// <returns>The seconds that it took, the flush included.</returns>
    public double Write(long bytes, CancellationToken cancellation)
    {
        byte* piece = (byte*)NativeMemory.AlignedAlloc(PieceBytes, DurableFiles.DirectAlignment);
        try
        {
            RandomNumberGenerator.Fill(new Span<byte>(piece, PieceBytes));
            long begin = Stopwatch.GetTimestamp();
            using SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.Write, FileShare.None, preallocationSize: bytes);
            DurableFiles.TrySetDirect(file, true);
            for (long at = 0; at < bytes; at += PieceBytes)
            {
                cancellation.ThrowIfCancellationRequested();
                RandomAccess.Write(file, new ReadOnlySpan<byte>(piece, PieceBytes), at);
            }

            RandomAccess.FlushToDisk(file);
            return Stopwatch.GetElapsedTime(begin).TotalSeconds;
        }
        finally
        {
            NativeMemory.AlignedFree(piece);
        }
    }

    /// <summary>Reads the file that was written, from the disk where <see cref="CanForget"/>.</summary>
    /// <returns>The seconds that it took.</returns>
    public double Read(CancellationToken cancellation)
    {
        Forget(path);
        byte[] piece = new byte[PieceBytes];
        long begin = Stopwatch.GetTimestamp();
        using SafeFileHandle file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        for (long at = 0, read = 1; read > 0; at += read)
        {
            cancellation.ThrowIfCancellationRequested();
            read = RandomAccess.Read(file, piece, at);
        }

        return Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    /// <summary>Has the system forget what it keeps in memory of a file that was flushed.</summary>
    public static void Forget(string path)
    {
        if (!CanForget)
        {
            return;
        }

        using SafeFileHandle file = File.OpenHandle(path);
        int fault = Advise(file, 0, 0, DontNeed);
        if (fault != 0)
        {
            throw new IOException($"{path} cannot be taken out of the system's cache (error {fault})");
        }
    }

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(SafeFileHandle file, long offset, long bytes, int advice);
}
