using Weir.World;

namespace Weir.Tests.Checkpoints;

/// <summary>Checkpoints in memory, whose objects a test may change.</summary>
internal sealed class MemoryStore : ICheckpointStore
{
    public SortedDictionary<string, byte[]> Objects { get; } = new(StringComparer.Ordinal);

    /// <summary>How long a write or read takes; at once where it is null.</summary>
    public Func<Task>? Delay { get; init; }

    public async Task WriteAsync(string name, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        if (Delay is not null)
        {
            await Delay();
        }

        Objects[name] = [.. pieces.SelectMany(p => p.ToArray())];
    }

    public Task<long?> ReadAsync(string name, Memory<byte> into, CancellationToken cancellation)
    {
        byte[]? bytes = Objects.GetValueOrDefault(name);
        bytes.AsSpan(0, Math.Min(bytes?.Length ?? 0, into.Length)).CopyTo(into.Span);
        return Task.FromResult<long?>(bytes?.Length);
    }

    public Task<IReadOnlyList<StoredObject>> ListAsync(string checkpoint, CancellationToken cancellation) =>
        Task.FromResult<IReadOnlyList<StoredObject>>(
            [.. Objects.Where(o => checkpoint.Length == 0 || o.Key.StartsWith($"{checkpoint}/", StringComparison.Ordinal)).Select(o => new StoredObject(o.Key, o.Value.Length))]);

    public Task DeleteAsync(string name, CancellationToken cancellation)
    {
        Objects.Remove(name);
        return Task.CompletedTask;
    }
}
