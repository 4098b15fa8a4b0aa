using Weir.World;

namespace Weir.Sim;

/// <summary>Checkpoints in memory, whose objects anybody may change. Not thread-safe.</summary>
internal sealed class MemoryCheckpoints : ICheckpointStore
{
    public SortedDictionary<string, byte[]> Objects { get; } = new(StringComparer.Ordinal);

    /// <summary>How long a write takes; at once where it is null.</summary>
    public Func<Task>? Delay { get; init; }

    public async Task WriteAsync(string name, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        if (Delay is not null)
        {
            await Delay();
        }

        byte[] bytes = new byte[pieces.Sum(p => p.Length)];
        int at = 0;
        foreach (ReadOnlyMemory<byte> piece in pieces)
        {
            piece.CopyTo(bytes.AsMemory(at));
            at += piece.Length;
        }

        Objects[name] = bytes;
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
