using Weir.World;

namespace Weir.Checkpoints;

/// <summary>Reads a checkpoint and says all that is wrong with it: nothing of one is loaded before it is known to be whole. Not thread-safe.</summary>
/// <param name="store">Where it is.</param>
/// <param name="name">Its name.</param>
internal sealed class CheckpointVerification(ICheckpointStore store, string name)
{
    private readonly List<string> _faults = [];

    /// <summary>What is wrong, a sentence for each file; empty where nothing is.</summary>
    public IReadOnlyList<string> Faults => _faults;

    /// <summary>The manifest; null where it is missing or damaged.</summary>
    public Manifest? Manifest { get; private set; }

    /// <summary>Reads the manifest alone. True where it is sound.</summary>
    public async Task<bool> ReadManifestAsync(CancellationToken cancellation)
    {
        string path = $"{name}/{Manifest.Name}";
        if (await store.ReadAsync(path, cancellation) is not { } bytes)
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

        uint[] found = new uint[Manifest!.Attempts.Length];
        for (int file = 0; file < Manifest.Files.Length; file++)
        {
            string path = $"{name}/{Manifest.FileName(file)}";
            string? fault = await store.ReadAsync(path, cancellation) is { } bytes ? FileFault(bytes, file, found) : "is missing";
            if (fault is not null)
            {
                _faults.Add($"{path} {fault}");
            }
        }

        if (_faults.Count == 0 && !found.AsSpan().SequenceEqual(Manifest.Slices))
        {
            _faults.Add($"{name} lacks slices of segment {Enumerable.Range(0, found.Length).First(s => found[s] != Manifest.Slices[s])}, though each file is whole");
        }
    }

    /// <summary>What is wrong with a file; null where nothing is. Counts the slices of each segment that count.</summary>
    private string? FileFault(ReadOnlySpan<byte> bytes, int file, uint[] found)
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
                found[block.Segment]++;
            }
        }

        return at == bytes.Length && at == length ? null : $"has {bytes.Length} bytes; {length} were written";
    }
}
