using System.Runtime.InteropServices;
using Weir.Client;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>
/// A set of 64-bit items on the servers that may take others for members too, but none of its own for another: a Bloom filter whose blocks of 512 bits are rows (Bloom 1970; Putze, Sanders and Singler 2007).
/// An item lies in one block, so adding it or asking for it touches one row of one server. Items are never removed. Items that are no numbers are hashed to 64 bits before.
/// The rates are those of hashes at random: who chooses items by the hash can do worse. What is added is no part of a worker's iteration, and adding an item again changes nothing.
/// Immutable and safe to share among threads.
/// </summary>
public sealed class WeirSet
{
    private readonly WeirClient _client;
    private readonly SetShape _shape;

    private WeirSet(WeirClient client, WeirTable table, SetShape shape, double rate) => (_client, Table, _shape, FalsePositiveRate) = (client, table, shape, rate);

    /// <summary>The table of its blocks: dropping it drops the set.</summary>
    public WeirTable Table { get; }

    /// <summary>How many blocks it has; those in which an item lies take 64 bytes and what a row's index takes.</summary>
    public long Blocks => (long)_shape.Blocks;

    /// <summary>How many bits an item sets in its block.</summary>
    public int BitsAnItem => _shape.BitsAnItem;

    /// <summary>The part of items never added that it takes for members once it has the expected ones: at most what was asked for, since blocks and bits are whole. That blocks are unevenly full is counted in.</summary>
    public double FalsePositiveRate { get; }

    /// <summary>Opens a set, creating it where the cluster has none of this name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The expected items or the rate are out of their range.</exception>
    /// <exception cref="WeirException">Conflict: a table of this name is something else, or a set of another size or rate; the message shows both.</exception>
    public static async Task<WeirSet> OpenAsync(WeirClient client, SetOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfEqual(options.ExpectedItems is >= 1 and <= 1_000_000_000_000, false, nameof(options.ExpectedItems));
        ArgumentOutOfRangeException.ThrowIfEqual(options.FalsePositiveRate is >= 1e-6 and <= 0.5, false, nameof(options.FalsePositiveRate));
        SetShape shape = SetShape.For(options.ExpectedItems, options.FalsePositiveRate);
        WeirTable table = await options.OpenTableAsync(client, SetShape.Width, UpdateRule.Union, new TableDimensions(shape.Blocks, (ulong)shape.BitsAnItem), cancellation);
        return new WeirSet(client, table, shape, shape.FalsePositiveRate(options.ExpectedItems));
    }

    /// <summary>Adds items, some thousand at a time: one that is asked for meanwhile may be there or not.</summary>
    /// <param name="items">Any; they may repeat. Unchanged until the task completes.</param>
    /// <param name="cancellation">Ends the waiting, not the addition of what was sent.</param>
    public Task AddAsync(ReadOnlyMemory<ulong> items, CancellationToken cancellation = default) =>
        SharedRows.PushAsync(_client, Table, items.Length, (rows, first, count) => Gather(rows, items.Span.Slice(first, count)), cancellation);

    /// <summary>Says of each item whether it may be a member. Who was added is; of others about <see cref="FalsePositiveRate"/> are said to be too.</summary>
    /// <param name="items">Any; they may repeat. Unchanged until the task completes.</param>
    /// <param name="contained">As many as items.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <exception cref="ArgumentException">Items and answers are not equally many.</exception>
    public async Task ContainsAsync(ReadOnlyMemory<ulong> items, Memory<bool> contained, CancellationToken cancellation = default)
    {
        if (items.Length != contained.Length)
        {
            throw new ArgumentException($"{items.Length} items need as many answers, not {contained.Length}", nameof(contained));
        }

        await SharedRows.PullAsync(
            _client,
            Table,
            items.Length,
            i => _shape.BlockOf(items.Span[i]),
            (i, block) => contained.Span[i] = _shape.Contains(items.Span[i], MemoryMarshal.Cast<float, ulong>(block.Span)),
            cancellation);
    }

    private void Gather(SharedRows rows, ReadOnlySpan<ulong> items)
    {
        foreach (ulong item in items)
        {
            _shape.Add(item, rows.Row<ulong>(_shape.BlockOf(item)));
        }
    }
}
