using Weir.Client;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>
/// Signed 64-bit counters by key on the servers. Each addition is applied once, whatever is sent again; sums wrap around as long does. A counter that nobody has added to is 0.
/// What is added goes in the order of the client's own pushes, and is no part of a worker's iteration: a worker that is redone adds again. Immutable and safe to share among threads.
/// </summary>
public sealed class WeirCounters
{
    private readonly NumberRows<long> _rows;

    private WeirCounters(NumberRows<long> rows) => _rows = rows;

    /// <summary>The table of its rows: dropping it drops the counters.</summary>
    public WeirTable Table => _rows.Table;

    /// <summary>Opens counters, creating them where the cluster has none of this name.</summary>
    /// <exception cref="WeirException">Conflict: a table of this name is something else; the message shows both.</exception>
    public static async Task<WeirCounters> OpenAsync(WeirClient client, CounterOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new WeirCounters(new NumberRows<long>(client, await options.OpenTableAsync(client, NumberRows<long>.Width, UpdateRule.Count, default, cancellation)));
    }

    /// <summary>Adds to counters. Keys may come in any order and repeat.</summary>
    /// <param name="keys">Any 64-bit keys.</param>
    /// <param name="amounts">One for each key, of either sign.</param>
    /// <param name="cancellation">Ends the waiting, not the addition: once sent it may still be applied, once.</param>
    /// <exception cref="ArgumentException">Keys and amounts are not equally many.</exception>
    public Task AddAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<long> amounts, CancellationToken cancellation = default) => _rows.PushAsync(keys, amounts, cancellation);

    /// <summary>Adds to counters and reads them with the amounts added, in one round trip. As <see cref="AddAsync"/> and <see cref="ReadAsync"/>.</summary>
    public Task AddAndReadAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<long> amounts, Memory<long> counts, CancellationToken cancellation = default) =>
        _rows.PushPullAsync(keys, amounts, counts, cancellation);

    /// <summary>Reads counters.</summary>
    /// <param name="keys">Any keys; repeated keys get the same count.</param>
    /// <param name="counts">As many as keys.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <returns>How many of the distinct keys have a counter; the others read as 0.</returns>
    /// <exception cref="ArgumentException">Keys and counts are not equally many.</exception>
    public Task<int> ReadAsync(ReadOnlyMemory<ulong> keys, Memory<long> counts, CancellationToken cancellation = default) => _rows.PullAsync(keys, counts, cancellation);

    /// <summary>Sets counters, whatever they were. Each key once.</summary>
    /// <exception cref="ArgumentException">Keys and counts are not equally many.</exception>
    public Task SetAsync(ReadOnlyMemory<ulong> keys, ReadOnlyMemory<long> counts, CancellationToken cancellation = default) => _rows.SetAsync(keys, counts, cancellation);

    /// <summary>Removes counters: they take no memory any more and read as 0. Keys without one are passed over.</summary>
    public Task RemoveAsync(ReadOnlyMemory<ulong> keys, CancellationToken cancellation = default) => _rows.DeleteAsync(keys, cancellation);
}
