using System.Runtime.InteropServices;

namespace Weir.Host.Disk;

/// <summary>A new name is in its folder, and a folder is flushed like a file. .NET opens no folders; Windows needs no flush for them.</summary>
internal static partial class FolderFlush
{
    /// <summary>Has a folder's names be there after a loss of power.</summary>
    /// <exception cref="IOException">It could not be flushed.</exception>
    public static void Run(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        int handle = OpenFile(folder, 0);
        if (handle < 0)
        {
            throw new IOException($"folder {folder} cannot be opened to flush it (error {Marshal.GetLastPInvokeError()})");
        }

        int flushed = FlushFile(handle);
        int error = Marshal.GetLastPInvokeError();
        _ = CloseFile(handle);
        if (flushed != 0)
        {
            throw new IOException($"folder {folder} cannot be flushed (error {error})");
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FlushFile(int handle);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int CloseFile(int handle);
}
