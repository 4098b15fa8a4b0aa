using System.Runtime.InteropServices;
using Weir.Client;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>
/// Counts of 64-bit items on the servers in memory that does not grow with them: a count-min sketch (Cormode and Muthukrishnan 2005; Li et al. 2014 (OSDI), algorithm 4). An estimate is never too small, and too large by more than
/// <see cref="Epsilon"/> of the sum of all counts with a chance of at most <see cref="Delta"/>, however the counts are distributed. All counters of an item lie in one row of one server; an insertion is
/// applied once, whatever is sent again. The sum of all counts stays below 2^63. The chance is that of hashes at random: who chooses items by the hash can do worse.
/// Items that are no numbers are hashed to 64 bits before. What is added is no part of a worker's iteration, as of <see cref="WeirCounters"/>. Immutable and safe to share among threads.
/// </summary>
public sealed class WeirSketch
{
    private readonly WeirClient _client;
    private readonly SketchShape _shape;

    private WeirSketch(WeirClient client, WeirTable table, SketchShape shape, double epsilon) =>
        (_client, Table, _shape, Epsilon, Delta) = (client, table, shape, epsilon, shape.Delta(epsilon));

    /// <summary>The table of its rows: dropping it drops the sketch.</summary>
    public WeirTable Table { get; }

    /// <summary>As declared.</summary>
    public double Epsilon { get; }

    /// <summary>At most as declared: the bound of the shape that it has.</summary>
    public double Delta { get; }

    /// <summary>How many rows it has; those in which an item lies take 8 bytes a counter and what a row's index takes.</summary>
    public long Rows => (long)_shape.Rows;

    /// <summary>Counters of 64 bits a row.</summary>
    public int CountersARow => _shape.Counters;

    /// <summary>How many of its row's counters an item has.</summary>
    public int Depth => _shape.Depth;

    /// <summary>Opens a sketch, creating it where the cluster has none of this name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Epsilon or delta is out of its range.</exception>
    /// <exception cref="WeirException">Conflict: a table of this name is something else, or a sketch with another bound; the message shows both.</exception>
    public static async Task<WeirSketch> OpenAsync(WeirClient client, SketchOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfEqual(options.Epsilon is >= 1e-9 and <= 0.5, false, nameof(options.Epsilon));
        ArgumentOutOfRangeException.ThrowIfEqual(options.Delta is >= 1e-9 and <= 0.5, false, nameof(options.Delta));
        SketchShape shape = SketchShape.For(options.Epsilon, options.Delta);
        WeirTable table = await options.OpenTableAsync(client, shape.Width, UpdateRule.Count, new TableDimensions(shape.Rows, (ulong)shape.Depth), cancellation);
        return new WeirSketch(client, table, shape, options.Epsilon);
    }

    /// <summary>Counts each item once more, some thousand at a time: an estimate meanwhile has some and not others.</summary>
    /// <param name="items">Any; one that stands there several times is counted as often. Unchanged until the task completes.</param>
    /// <param name="cancellation">Ends the waiting, not the addition of what was sent.</param>
    public Task AddAsync(ReadOnlyMemory<ulong> items, CancellationToken cancellation = default) =>
        SharedRows.PushAsync(_client, Table, items.Length, (rows, first, count) => Gather(rows, items.Span.Slice(first, count), default), cancellation);

    /// <summary>Adds to the counts of items.</summary>
    /// <param name="items">As for the other.</param>
    /// <param name="counts">One for each item, 0 or above: with less than nothing estimates could be too small.</param>
    /// <param name="cancellation">As for the other.</param>
    /// <exception cref="ArgumentException">Items and counts are not equally many, or a count is below 0.</exception>
    public Task AddAsync(ReadOnlyMemory<ulong> items, ReadOnlyMemory<long> counts, CancellationToken cancellation = default)
    {
        CheckEqual(items.Length, counts.Length, nameof(counts));
        foreach (long count in counts.Span)
        {
            if (count < 0)
            {
                throw new ArgumentException($"{count} is no count of a sketch: they are 0 or above, so that no estimate is too small", nameof(counts));
            }
        }

        return SharedRows.PushAsync(_client, Table, items.Length, (rows, first, count) => Gather(rows, items.Span.Slice(first, count), counts.Span.Slice(first, count)), cancellation);
    }

    /// <summary>Estimates the counts of items.</summary>
    /// <param name="items">Any; they may repeat. Unchanged until the task completes.</param>
    /// <param name="estimates">As many as items.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <exception cref="ArgumentException">Items and estimates are not equally many.</exception>
    public async Task EstimateAsync(ReadOnlyMemory<ulong> items, Memory<long> estimates, CancellationToken cancellation = default)
    {
        CheckEqual(items.Length, estimates.Length, nameof(estimates));
        await SharedRows.PullAsync(
            _client,
            Table,
            items.Length,
            i => _shape.RowOf(items.Span[i]),
            (i, row) => estimates.Span[i] = _shape.Estimate(items.Span[i], MemoryMarshal.Cast<float, long>(row.Span)),
            cancellation);
    }

    private void Gather(SharedRows rows, ReadOnlySpan<ulong> items, ReadOnlySpan<long> counts)
    {
        for (int i = 0; i < items.Length; i++)
        {
            _shape.Add(items[i], counts.IsEmpty ? 1 : counts[i], rows.Row<long>(_shape.RowOf(items[i])));
        }
    }

    private static void CheckEqual(int items, int numbers, string name)
    {
        if (items != numbers)
        {
            throw new ArgumentException($"{items} items need as many numbers, not {numbers}", name);
        }
    }
}
