using System.Buffers;
using System.Runtime.InteropServices;
using Weir.Client;

namespace Weir.Structures;

/// <summary>Rows of a table that are each one number of 8 bytes, a long or a double. Immutable and safe to share among threads.</summary>
internal sealed class NumberRows<T>(WeirClient client, WeirTable table)
    where T : unmanaged
{
    /// <summary>Floats that a number takes.</summary>
    public const int Width = 2;

    public WeirClient Client => client;

    public WeirTable Table => table;

    public async Task PushAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<T> numbers, CancellationToken cancellation)
    {
        float[] rows = Rent(keys, numbers, nameof(numbers));
        try
        {
            await client.PushAsync(table, keys, rows.AsMemory(0, keys.Length * Width), cancellation);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rows);
        }
    }

    public async Task SetAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<T> numbers, CancellationToken cancellation)
    {
        float[] rows = Rent(keys, numbers, nameof(numbers));
        try
        {
            await client.SetAsync(table, keys, rows.AsMemory(0, keys.Length * Width), cancellation);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rows);
        }
    }

    public async Task<int> PullAsync(ReadOnlyMemory<ulong> keys, Memory<T> numbers, CancellationToken cancellation)
    {
        float[] rows = Rent(keys, numbers, nameof(numbers));
        try
        {
            PullResult result = await client.PullAsync(table, keys, rows.AsMemory(0, keys.Length * Width), cancellation);
            Read(rows, numbers.Span);
            return result.Found;
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rows);
        }
    }

    public async Task PushPullAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<T> pushed, Memory<T> pulled, CancellationToken cancellation)
    {
        float[] rows = Rent(keys, pushed, nameof(pushed)), read = Rent(keys, pulled, nameof(pulled));
        try
        {
            await client.PushPullAsync(table, keys, rows.AsMemory(0, keys.Length * Width), read.AsMemory(0, keys.Length * Width), cancellation);
            Read(read, pulled.Span);
        }
        finally
        {
            ArrayPool<float>.Shared.Return(rows);
            ArrayPool<float>.Shared.Return(read);
        }
    }

    public Task DeleteAsync(ReadOnlyMemory<ulong> keys, CancellationToken cancellation) => client.DeleteAsync(table, keys, cancellation);

    private float[] Rent(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<T> numbers, string name)
    {
        if (keys.Length != numbers.Length)
        {
            throw new ArgumentException($"{keys.Length} keys of {table.Name} need as many numbers, not {numbers.Length}", name);
        }

        if (keys.Length > Array.MaxLength / Width)
        {
            throw new ArgumentException($"{keys.Length} keys are more than one call takes: {Array.MaxLength / Width}", nameof(keys));
        }

        float[] rows = ArrayPool<float>.Shared.Rent(keys.Length * Width);
        MemoryMarshal.Cast<T, float>(numbers.Span).CopyTo(rows);
        return rows;
    }

    private static void Read(float[] rows, Span<T> numbers) => MemoryMarshal.Cast<float, T>(rows)[..numbers.Length].CopyTo(numbers);
}
