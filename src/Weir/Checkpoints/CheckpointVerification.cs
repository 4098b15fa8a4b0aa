using Weir.World;

namespace Weir.Checkpoints;

/// <summary>Reads a checkpoint and says all that is wrong with it: nothing of one is loaded before it is known to be whole. Not thread-safe.</summary>
/// <param name="store">Where it is.</param>
/// <param name="name">Its name.</param>
internal sealed class CheckpointVerification(ICheckpointStore store, string name)
{
    // Most are shorter; of one that is not the first reading tells how long it is.
    private const int ManifestBytes = 64 << 10;

    private readonly List<string> _faults = [];

    /// <summary>What is wrong, a sentence for each file; empty where nothing is.</summary>
    public IReadOnlyList<string> Faults => _faults;

    /// <summary>The manifest; null where it is missing or damaged.</summary>
    public Manifest? Manifest { get; private set; }

    /// <summary>Reads the manifest alone. True where it is sound.</summary>
    public async Task<bool> ReadManifestAsync(CancellationToken cancellation)
    {
        string path = $"{name}/{Manifest.Name}";
        if (await ReadAsync(path, cancellation) is not { } bytes)
        {
            _faults.Add($"{path} is missing: there is no checkpoint of this name, or it was not written to the end");
        }
        else if (Manifest.TryDecode(bytes, out Manifest manifest) is { } fault)
        {
            _faults.Add($"{path} {fault}");
        }
        else
        {
            Manifest = manifest;
        }

        return Manifest is not null;
    }

    /// <summary>Reads everything, and names every file that is truncated, damaged, missing or another checkpoint's.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        if (!await ReadManifestAsync(cancellation))
        {
            return;
        }

        int[] found = new int[Manifest!.Attempts.Length];
        string?[] faults = new string?[Manifest.Files.Length];
        await FileLanes.RunAsync(
            store,
            name,
            Manifest,
            (file, bytes, length, _) =>
            {
                faults[file] = length is { } whole ? FileFault(bytes.Span, whole, file, found) : "is missing";
                return Task.CompletedTask;
            },
            cancellation);
        _faults.AddRange(faults.Select((fault, file) => fault is null ? "" : $"{name}/{Manifest.FileName(file)} {fault}").Where(fault => fault.Length > 0));

        if (_faults.Count == 0 && FirstLacking(found) is >= 0 and int segment)
        {
            _faults.Add($"{name} lacks slices of segment {segment}, though each file is whole");
        }
    }

    /// <summary>What is wrong with a file; null where nothing is. Counts the slices of each segment that count.</summary>
    private string? FileFault(ReadOnlySpan<byte> bytes, long whole, int file, int[] found)
    {
        (int length, int blocks) = Manifest!.Files[file];
        int at = 0;
        for (int index = 0; index < blocks; index++)
        {
            if (Block.Read(bytes, ref at, out Block block, out _) is { } fault)
            {
                return fault;
            }

            if (block.Checkpoint != Manifest.Id)
            {
                return $"is of another checkpoint ({block.Checkpoint:x16}, and this one is {Manifest.Id:x16})";
            }

            if (block.File != file || block.Index != index || block.Segment >= found.Length)
            {
                return $"is another file of this checkpoint: it has block {block.Index} of {Manifest.FileName(block.File)} where block {index} belongs";
            }

            if (block.Attempt == Manifest.Attempts[block.Segment])
            {
                Interlocked.Increment(ref found[block.Segment]);
            }
        }

        return at == whole && at == length ? null : $"has {whole} bytes; {length} were written";
    }

    private int FirstLacking(int[] found)
    {
        int segment = 0;
        while (segment < found.Length && found[segment] == Manifest!.Slices[segment])
        {
            segment++;
        }

        return segment < found.Length ? segment : -1;
    }

    private async Task<byte[]?> ReadAsync(string path, CancellationToken cancellation)
    {
        byte[] bytes = new byte[ManifestBytes];
        while (true)
        {
            if (await store.ReadAsync(path, bytes, cancellation) is not { } length)
            {
                return null;
            }

            if (length <= bytes.Length)
            {
                return bytes[..(int)length];
            }

            bytes = new byte[length];
        }
    }
}
