using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Weir.Host.Disk;

/// <summary>Files and folders whose content is there after a loss of power. Thread-safe.</summary>
internal static partial class DurableFiles
{
    /// <summary>A page, which is a multiple of every disk's sector.</summary>
    public const int DirectAlignment = 4096;

    private const int Interrupted = 4;
    private const int SetFlags = 4;

    /// <summary>Writes a whole file beside the old one, flushes it and renames it over that: whoever reads finds the old content or the new.</summary>
    public static void Replace(string folder, string name, ReadOnlySpan<byte> content)
    {
        string path = Path.Combine(folder, name);
        string beside = path + ".new";
        using (var file = new FileStream(beside, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0))
        {
            file.Write(content);
            Flush(file.SafeFileHandle);
        }

        File.Move(beside, path, overwrite: true);
        FlushFolder(folder);
    }

    /// <summary>
    /// What was written to a file is on its disk once this returns. The runtime's own flush says nothing of an fsync that failed, whatever the error (seen with
    /// .NET 10.0.12 on Linux), so that what is on no disk would be acknowledged.
    /// </summary>
    /// <exception cref="IOException">It could not be flushed: nobody knows what is on the disk.</exception>
    public static void Flush(SafeFileHandle file)
    {
        if (!OperatingSystem.IsLinux())
        {
            // On macOS it is this that has the drive empty its cache.
            RandomAccess.FlushToDisk(file);
        }

        if (OperatingSystem.IsWindows())
        {
            return;
        }

        while (FlushFile(file) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            if (error != Interrupted)
            {
                throw new IOException($"a file cannot be flushed ({Marshal.GetPInvokeErrorMessage(error)}): nobody knows what of it is on the disk");
            }
        }
    }

    /// <summary>A new name is in the folder, and a folder is flushed like a file. .NET opens no folders; Windows needs no flush for them.</summary>
    /// <exception cref="IOException">It could not be flushed.</exception>
    public static void FlushFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        int handle = OpenFile(folder, 0);
        if (handle < 0)
        {
            throw new IOException($"folder {folder} cannot be opened to flush it ({Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())})");
        }

        int flushed = FlushFile(handle);
        int error = Marshal.GetLastPInvokeError();
        _ = CloseFile(handle);
        if (flushed != 0)
        {
            throw new IOException($"folder {folder} cannot be flushed ({Marshal.GetPInvokeErrorMessage(error)})");
        }
    }

    /// <summary>
    /// Has what is written to an open file go from the caller's memory to the disk, past the system's cache: that costs no copy, and what others have
    /// in the cache stays there. Offset, length and address of every write must then be multiples of <see cref="DirectAlignment"/>.
    /// </summary>
    /// <param name="file">An open file.</param>
    /// <param name="isDirect">False to go through the cache again, as for the rest of a file that is no multiple.</param>
    /// <returns>False where the system or the file system has no such thing; the file is then as it was.</returns>
    public static bool TrySetDirect(SafeFileHandle file, bool isDirect)
    {
        int flag = RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm ? 0x10000 : 0x4000;
        return OperatingSystem.IsLinux() && Control(file, SetFlags, isDirect ? flag : 0) == 0;
    }

    /// <summary>Holds a folder for this process alone, until what is returned is disposed of.</summary>
    /// <exception cref="IOException">Another process has it, or it cannot be written.</exception>
    public static FileStream Hold(string folder)
    {
        try
        {
            return new FileStream(Path.Combine(folder, "lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException taken)
        {
            throw new IOException($"folder {folder} is in use by another process, or cannot be written: {taken.Message}", taken);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(SafeFileHandle file, int command, int value);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FlushFile(int handle);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FlushFile(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFile(int handle);
}
