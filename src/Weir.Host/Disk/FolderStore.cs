using System.Collections.Concurrent;
using Microsoft.Win32.SafeHandles;
using Weir.Checkpoints;
using Weir.World;

namespace Weir.Host.Disk;

/// <summary>
/// Checkpoints in a folder: each is a folder of its own, each of its objects a file, written beside its name, flushed, renamed, and the folder flushed.
/// Thread-safe; two processes may share a folder for checkpoints of different names.
/// </summary>
public sealed class FolderStore : ICheckpointStore
{
    private const string Unfinished = ".new";

    /// <summary>From so many bytes on a file is written past the system's cache (docs/decisions/0084).</summary>
    private const int DirectBytes = 1 << 20;

    /// <summary>Bytes of a read: whoever cancels waits for one.</summary>
    private const int ReadBytes = 4 << 20;

    private const int WritersKept = 4;

    /// <summary>For all folders of the process: each has some MiB.</summary>
    private static readonly ConcurrentBag<DirectWriter> Writers = [];

    private readonly string _folder;

    /// <param name="folder">The folder; it is made at the first write.</param>
    public FolderStore(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        _folder = Path.GetFullPath(folder);
    }

    /// <inheritdoc/>
    /// <exception cref="IOException">The disk is full, or failed: nobody knows what is there.</exception>
    public async Task WriteAsync(string name, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        string path = PathOf(name), folder = Path.GetDirectoryName(path)!, beside = path + Unfinished;
        if (!Directory.Exists(folder))
        {
            Directory.CreateDirectory(folder);
            DurableFiles.FlushFolder(_folder);
        }

        try
        {
            // On a thread of its own: it waits for the disk, and the pool has few.
            await Task.Factory.StartNew(() => Write(beside, pieces, cancellation), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default).ConfigureAwait(false);
            File.Move(beside, path, overwrite: true);
            DurableFiles.FlushFolder(folder);
        }
        catch (IOException)
        {
            // Of a full disk it takes no room, and no folder stays where nothing else was written.
            TryTakeOut(beside, folder);
            throw;
        }
    }

    /// <inheritdoc/>
    public Task<long?> ReadAsync(string name, Memory<byte> into, CancellationToken cancellation)
    {
        string path = PathOf(name);
        return Task.Factory.StartNew(() => Read(path, into, cancellation), cancellation, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredObject>> ListAsync(string checkpoint, CancellationToken cancellation)
    {
        List<StoredObject> found = [];
        foreach (string folder in Directory.Exists(_folder) ? Directory.GetDirectories(_folder) : [])
        {
            string name = Path.GetFileName(folder);
            if (checkpoint.Length == 0 || name == checkpoint)
            {
                found.AddRange(new DirectoryInfo(folder).GetFiles().Select(f => new StoredObject($"{name}/{f.Name}", f.Length)));
            }
        }

        return Task.FromResult<IReadOnlyList<StoredObject>>(found);
    }

    /// <inheritdoc/>
    public Task DeleteAsync(string name, CancellationToken cancellation)
    {
        string path = PathOf(name), folder = Path.GetDirectoryName(path)!;
        if (File.Exists(path))
        {
            File.Delete(path);
            DurableFiles.FlushFolder(folder);
            DeleteIfEmpty(folder);
        }

        return Task.CompletedTask;
    }

    private static void TryTakeOut(string beside, string folder)
    {
        try
        {
            File.Delete(beside);
            DeleteIfEmpty(folder);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // The disk has failed already, and the caller is told how.
        }
    }

    private static void DeleteIfEmpty(string folder)
    {
        if (!Directory.EnumerateFileSystemEntries(folder).Any())
        {
            Directory.Delete(folder);
        }
    }

    private static void Write(string path, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        long bytes = pieces.Sum(p => (long)p.Length);
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Create, FileAccess.Write, FileShare.None, preallocationSize: bytes);
        if (bytes < DirectBytes || !TryWriteDirect(file, pieces, cancellation))
        {
            RandomAccess.Write(file, pieces, 0);
        }

        try
        {
            DurableFiles.Flush(file);
        }
        catch (IOException failure)
        {
            throw new IOException($"{path}: {failure.Message}", failure);
        }
    }

    private static bool TryWriteDirect(SafeFileHandle file, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        DirectWriter writer = Writers.TryTake(out DirectWriter? free) ? free : new DirectWriter();
        try
        {
            return writer.TryWrite(file, pieces, cancellation);
        }
        finally
        {
            if (Writers.Count < WritersKept)
            {
                Writers.Add(writer);
            }
            else
            {
                writer.Dispose();
            }
        }
    }

    private static long? Read(string path, Memory<byte> into, CancellationToken cancellation)
    {
        SafeFileHandle file;
        try
        {
            file = File.OpenHandle(path, options: FileOptions.SequentialScan);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }

        using (file)
        {
            long length = RandomAccess.GetLength(file);
            Memory<byte> left = into[..(int)Math.Min(length, into.Length)];
            for (long at = 0; left.Length > 0;)
            {
                cancellation.ThrowIfCancellationRequested();
                int read = RandomAccess.Read(file, left.Span[..Math.Min(left.Length, ReadBytes)], at);
                if (read == 0)
                {
                    // It became shorter meanwhile.
                    return at;
                }

                left = left[read..];
                at += read;
            }

            return length;
        }
    }

    private string PathOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        string[] parts = name.Split('/');
        if (parts.Length != 2)
        {
            throw new ArgumentException($"an object's name is checkpoint/object; '{name}' is none", nameof(name));
        }

        CheckpointCatalog.CheckName(parts[0]);
        CheckpointCatalog.CheckName(parts[1]);
        return Path.Combine(_folder, parts[0], parts[1]);
    }
}
