using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// A vector of floats on the servers, or a range of one, with the operations of BLAS level 1 (Li et al. OSDI 2014, section 3.1; papers PS-1 to PS-3). An operation runs
/// where the elements lie: numbers alone cross the network to this process (between replicas the elements do that change). It is applied exactly once, whatever is
/// sent again, block by block: who reads meanwhile may see some blocks changed and others not yet. Calls that change one vector keep their order; one that reads another vector is to be made when the
/// calls that change that one have completed. Elements that nobody has set are 0.
/// Immutable and safe to share among threads.
/// </summary>
public sealed class WeirVector
{
    private readonly BlockRegion _region;
    private readonly long _first;

    private WeirVector(BlockRegion region, long first) => (_region, _first) = (region, first);

    /// <summary>Elements.</summary>
    public long Length => _region.Elements;

    /// <summary>The table of its blocks: dropping it drops the vector.</summary>
    public WeirTable Table => _region.Table;

    /// <summary>Opens a vector, creating it where the cluster has none of this name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The length or the block width is out of its range.</exception>
    /// <exception cref="WeirException">Conflict: a table of this name has another shape; the message shows both.</exception>
    public static async Task<WeirVector> OpenAsync(WeirClient client, VectorOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var matrix = new MatrixOptions(options.Name, 1, options.Length) { BlockWidth = options.BlockWidth, Durable = options.Durable, Committed = options.Committed };
        return new WeirVector(await matrix.OpenAsync(client, cancellation), 0);
    }

    /// <summary>A range of the vector, with all its operations. Two ranges are operands of one operation where they are the same range of vectors of one shape.</summary>
    /// <param name="first">The first element.</param>
    /// <param name="length">Elements, at least 1.</param>
    public WeirVector Range(long first, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length - first);
        return new WeirVector(new BlockRegion(_region.Client, Table, _region.Dimensions, 0, 1, (ulong)(_first + first), (ulong)length), _first + first);
    }

    /// <summary>Reads the elements.</summary>
    /// <param name="elements">As many floats as the vector, or range, is long.</param>
    /// <param name="cancellation">Ends the call; the buffer may then hold part of the elements.</param>
    /// <exception cref="ArgumentException">The buffer is of another length.</exception>
    public Task PullAsync(Memory<float> elements, CancellationToken cancellation = default) => _region.PullAsync(elements, cancellation);

    /// <summary>Adds to the elements: w = w + changes.</summary>
    /// <exception cref="ArgumentException">The changes are of another length.</exception>
    public Task PushAsync(ReadOnlyMemory<float> changes, CancellationToken cancellation = default) => _region.PushAsync(changes, cancellation);

    /// <summary>Sets the elements. Blocks at either end that lie in the range in part are cleared and added to: who reads between the two reads zeros there.</summary>
    /// <exception cref="ArgumentException">The elements are of another number.</exception>
    public Task SetAsync(ReadOnlyMemory<float> elements, CancellationToken cancellation = default) => _region.SetAsync(elements, cancellation);

    /// <summary>w_i = value.</summary>
    public Task FillAsync(float value, CancellationToken cancellation = default) => _region.ChangeAsync(ArithmeticKind.Fill, null, value, 1, cancellation);

    /// <summary>w = other.</summary>
    /// <exception cref="ArgumentException">The other is of another shape or range, or of another client's.</exception>
    public Task CopyFromAsync(WeirVector other, CancellationToken cancellation = default) => LinearAsync(other, 1, 0, cancellation);

    /// <summary>w = w + factor other (axpy).</summary>
    /// <exception cref="ArgumentException">As for <see cref="CopyFromAsync"/>; or the factor is not finite.</exception>
    public Task AddAsync(WeirVector other, float factor = 1, CancellationToken cancellation = default) => LinearAsync(other, factor, 1, cancellation);

    /// <summary>w = own w + factor other (axpby).</summary>
    /// <exception cref="ArgumentException">As for <see cref="AddAsync"/>.</exception>
    public Task LinearAsync(WeirVector other, float factor, float own, CancellationToken cancellation = default) =>
        _region.ChangeAsync(ArithmeticKind.Linear, Of(other), factor, own, cancellation);

    /// <summary>w = factor w.</summary>
    public Task ScaleAsync(float factor, CancellationToken cancellation = default) => _region.ChangeAsync(ArithmeticKind.Linear, null, 0, factor, cancellation);

    /// <summary>w_i = w_i other_i.</summary>
    /// <exception cref="ArgumentException">As for <see cref="CopyFromAsync"/>.</exception>
    public Task MultiplyAsync(WeirVector other, CancellationToken cancellation = default) => _region.ChangeAsync(ArithmeticKind.Multiply, Of(other), 1, 1, cancellation);

    /// <summary>The sum of w_i other_i, in double precision.</summary>
    /// <exception cref="ArgumentException">As for <see cref="CopyFromAsync"/>.</exception>
    public Task<double> DotAsync(WeirVector other, CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.Dot, Of(other), cancellation);

    /// <summary>The sum of the elements, in double precision.</summary>
    public Task<double> SumAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.Sum, null, cancellation);

    /// <summary>The largest element.</summary>
    public Task<double> MaximumAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.Maximum, null, cancellation);

    /// <summary>The Euclidean norm |w|_2, in double precision.</summary>
    public async Task<double> NormAsync(CancellationToken cancellation = default) => Math.Sqrt(await _region.ReduceAsync(ReductionKind.SumOfSquares, null, cancellation));

    /// <summary>The sum of the magnitudes |w|_1, in double precision.</summary>
    public Task<double> AbsoluteSumAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.SumOfMagnitudes, null, cancellation);

    /// <summary>The largest magnitude |w|_infinity.</summary>
    public Task<double> MaximumMagnitudeAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.MaximumMagnitude, null, cancellation);

    /// <summary>X w for a sparse matrix X of this process, row by row; the blocks that X touches are pulled, each once.</summary>
    /// <param name="rowEnds">Of each row of X, where its entries end; they begin where those of the row before end.</param>
    /// <param name="columns">The column of each entry: an element of this vector or range.</param>
    /// <param name="entries">The entries.</param>
    /// <param name="products">As many floats as X has rows; each is summed in double precision.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <exception cref="ArgumentException">The lengths do not agree, the row ends fall, or a column is not of the vector.</exception>
    public async Task MultiplyByAsync(ReadOnlyMemory<int> rowEnds, ReadOnlyMemory<long> columns, ReadOnlyMemory<float> entries, Memory<float> products, CancellationToken cancellation = default)
    {
        CheckSparse(rowEnds.Span, columns.Span, entries.Length, products.Length);
        int width = Table.Width;
        Dictionary<ulong, int> placeOf = [];
        List<ulong> blocks = [];
        foreach (long column in columns.Span)
        {
            ulong block = (ulong)(_first + column) / (ulong)width;
            if (placeOf.TryAdd(block, blocks.Count))
            {
                blocks.Add(block);
            }
        }

        if ((long)blocks.Count * width > Array.MaxLength)
        {
            throw new ArgumentException($"the columns lie in {blocks.Count} blocks of {width} elements: more than one call takes", nameof(columns));
        }

        float[] weights = new float[blocks.Count * width];
        await _region.Client.PullAsync(Table, blocks.ToArray(), weights, cancellation);
        int at = 0;
        for (int row = 0; row < rowEnds.Length; row++)
        {
            double sum = 0;
            for (; at < rowEnds.Span[row]; at++)
            {
                (ulong block, ulong within) = Math.DivRem((ulong)(_first + columns.Span[at]), (ulong)width);
                sum += (double)entries.Span[at] * weights[(placeOf[block] * width) + (int)within];
            }

            products.Span[row] = (float)sum;
        }
    }

    /// <inheritdoc/>
    public override string ToString() => _region.ToString();

    private static BlockRegion Of(WeirVector other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other._region;
    }

    private void CheckSparse(ReadOnlySpan<int> rowEnds, ReadOnlySpan<long> columns, int entries, int products)
    {
        int end = 0;
        foreach (int rowEnd in rowEnds)
        {
            if (rowEnd < end)
            {
                throw new ArgumentException($"a row ends at entry {rowEnd}, and the one before it at {end}", nameof(rowEnds));
            }

            end = rowEnd;
        }

        if (end != columns.Length || entries != columns.Length || products != rowEnds.Length)
        {
            throw new ArgumentException($"{rowEnds.Length} rows with {end} entries need as many columns and entries, of which there are {columns.Length} and {entries}, and a product each, of which there are {products}", nameof(rowEnds));
        }

        foreach (long column in columns)
        {
            if (column < 0 || column >= Length)
            {
                throw new ArgumentException($"column {column} is none of {this}, whose columns are 0 to {Length - 1}", nameof(columns));
            }
        }
    }
}
