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

        long bytes = pieces.Sum(p => (long)p.Length);
        using (SafeFileHandle file = File.OpenHandle(beside, FileMode.Create, FileAccess.Write, FileShare.None, FileOptions.Asynchronous, bytes))
        {
            await RandomAccess.WriteAsync(file, pieces, 0, cancellation);
            DurableFiles.Flush(file);
        }

        File.Move(beside, path, overwrite: true);
        DurableFiles.FlushFolder(folder);
    }

    /// <inheritdoc/>
    public async Task<byte[]?> ReadAsync(string name, CancellationToken cancellation)
    {
        string path = PathOf(name);
        return File.Exists(path) ? await File.ReadAllBytesAsync(path, cancellation) : null;
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
            if (!Directory.EnumerateFileSystemEntries(folder).Any())
            {
                Directory.Delete(folder);
            }
        }

        return Task.CompletedTask;
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
