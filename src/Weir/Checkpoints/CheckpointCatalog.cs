using Weir.Placement;
using Weir.World;

namespace Weir.Checkpoints;

/// <summary>A checkpoint in a store.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Rows">Rows in it, over all tables.</param>
/// <param name="Bytes">Bytes of its files.</param>
/// <param name="SegmentBits">2^this segments: a cluster that it is loaded into has as many.</param>
/// <param name="Tables">Its tables' names, with their namespace and a slash before them where they are not of the default one.</param>
/// <param name="Jobs">The jobs that go on from it, with their workers.</param>
/// <param name="Fault">What is wrong with its manifest; null where nothing is. Its files may be damaged all the same: see <see cref="CheckpointCatalog.VerifyAsync"/>.</param>
public sealed record StoredCheckpoint(
    string Name, long Rows, long Bytes, int SegmentBits, IReadOnlyList<string> Tables, IReadOnlyList<StoredJob> Jobs, string? Fault)
{
    /// <summary>Its tables as they were declared.</summary>
    internal IReadOnlyList<MapTable> Declarations { get; init; } = [];
}

/// <summary>A job in a checkpoint.</summary>
/// <param name="Name">Its name, like a table's.</param>
/// <param name="Group">Its number.</param>
/// <param name="Clocks">The clock that each worker goes on from.</param>
public sealed record StoredJob(string Name, uint Group, IReadOnlyList<long> Clocks);

/// <summary>The checkpoints that a store holds. Thread-safe as its store is.</summary>
/// <param name="store">The store.</param>
public sealed class CheckpointCatalog(ICheckpointStore store)
{
    private const int MaxNameLength = 100;

    /// <summary>All that have a manifest, by name: names that begin with a time are in its order.</summary>
    public async Task<IReadOnlyList<StoredCheckpoint>> ListAsync(CancellationToken cancellation = default)
    {
        List<StoredCheckpoint> found = [];
        foreach (string name in await NamesAsync(cancellation))
        {
            found.Add(await ReadAsync(name, cancellation));
        }

        return found;
    }

    /// <summary>What the manifest of one says.</summary>
    public async Task<StoredCheckpoint> ReadAsync(string name, CancellationToken cancellation = default)
    {
        CheckName(name);
        var verification = new CheckpointVerification(store, name);
        if (!await verification.ReadManifestAsync(cancellation))
        {
            return new StoredCheckpoint(name, 0, 0, 0, [], [], verification.Faults[0]);
        }

        Manifest manifest = verification.Manifest!;
        Dictionary<(uint, uint), long> clocks = manifest.Clocks.ToDictionary(c => (c.Group, c.Worker), c => c.Clock);
        return new StoredCheckpoint(
            name,
            manifest.Rows,
            manifest.Bytes,
            manifest.Map.SegmentBits,
            [.. manifest.Map.Tables.Select(t => t.Name)],
            [.. manifest.Map.Jobs.Select(j => new StoredJob(
                j.Name, j.Group, [.. j.Workers.Select((w, index) => Math.Max(Math.Max(w.From - 1, w.FinishedThrough), clocks.GetValueOrDefault((j.Group, (uint)index))))]))],
            null)
        {
            Declarations = manifest.Map.Tables,
        };
    }

    /// <summary>Reads all of one, and names every file that is truncated, damaged, missing or another checkpoint's; nothing where it is sound.</summary>
    public async Task<IReadOnlyList<string>> VerifyAsync(string name, CancellationToken cancellation = default)
    {
        CheckName(name);
        var verification = new CheckpointVerification(store, name);
        await verification.RunAsync(cancellation);
        return verification.Faults;
    }

    /// <summary>Takes out all but the last by name, and what is left of older ones that were never completed.</summary>
    /// <param name="kept">How many stay, at least 1.</param>
    /// <param name="cancellation">Ends it in between; what is half taken out has no manifest.</param>
    public async Task KeepAsync(int kept, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(kept, 1);
        string[] names = await NamesAsync(cancellation);
        if (names.Length == 0)
        {
            return;
        }

        HashSet<string> stay = [.. names.TakeLast(kept)];
        foreach (IGrouping<string, StoredObject> checkpoint in (await store.ListAsync("", cancellation)).GroupBy(o => NameOf(o.Name)))
        {
            if (!stay.Contains(checkpoint.Key) && string.CompareOrdinal(checkpoint.Key, names[^1]) < 0)
            {
                await DeleteAsync(checkpoint, cancellation);
            }
        }
    }

    /// <summary>Takes out what there is of one: the manifest first, so that none is left with files missing.</summary>
    internal async Task DeleteAsync(string name, CancellationToken cancellation) => await DeleteAsync(await store.ListAsync(name, cancellation), cancellation);

    private async Task DeleteAsync(IEnumerable<StoredObject> checkpoint, CancellationToken cancellation)
    {
        foreach (StoredObject gone in checkpoint.OrderBy(o => o.Name.EndsWith($"/{Manifest.Name}", StringComparison.Ordinal) ? 0 : 1))
        {
            await store.DeleteAsync(gone.Name, cancellation);
        }
    }

    /// <summary>A checkpoint's name is one part of an object's: it cannot lead out of its store.</summary>
    /// <exception cref="ArgumentException">It is empty, too long, or has other characters.</exception>
    public static void CheckName(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (!IsName(name))
        {
            throw new ArgumentException($"a checkpoint's name has 1 to {MaxNameLength} letters, digits, '.', '-' or '_' and does not begin with '.'; '{name}' is none", nameof(name));
        }
    }

    /// <summary>Whether a text may be a checkpoint's name, or one of its objects'.</summary>
    internal static bool IsName(string text) =>
        text.Length is > 0 and <= MaxNameLength && text[0] != '.' && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');

    private static string NameOf(string path) => path[..path.IndexOf('/')];

    private async Task<string[]> NamesAsync(CancellationToken cancellation) =>
        [.. (await store.ListAsync("", cancellation)).Where(o => o.Name.EndsWith($"/{Manifest.Name}", StringComparison.Ordinal)).Select(o => NameOf(o.Name)).Order(StringComparer.Ordinal)];
}
