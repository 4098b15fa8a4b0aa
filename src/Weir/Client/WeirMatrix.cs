using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// A matrix of floats on the servers, or some rows of one, with element-wise operations as <see cref="WeirVector"/> has them, which says what they promise
/// (Li et al. OSDI 2014, section 3.1; papers PS-1 to PS-3). Elements are given and read row by row. Immutable and safe to share among threads.
/// </summary>
public sealed class WeirMatrix
{
    private readonly BlockRegion _region;
    private readonly long _first;

    private WeirMatrix(BlockRegion region, long first) => (_region, _first) = (region, first);

    /// <summary>Rows.</summary>
    public long Rows => (long)_region.Rows;

    /// <summary>Columns.</summary>
    public long Columns => (long)_region.Columns;

    /// <summary>The table of its blocks: dropping it drops the matrix.</summary>
    public WeirTable Table => _region.Table;

    /// <summary>Opens a matrix, creating it where the cluster has none of this name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The rows, columns or the block width are out of their range.</exception>
    /// <exception cref="WeirException">Conflict: a table of this name has another shape; the message shows both.</exception>
    public static async Task<WeirMatrix> OpenAsync(WeirClient client, MatrixOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new WeirMatrix(await options.OpenAsync(client, cancellation), 0);
    }

    /// <summary>Some rows, with all operations. Two are operands of one operation where they are the same rows of matrices of one shape.</summary>
    /// <param name="first">The first row.</param>
    /// <param name="rows">How many, at least 1.</param>
    public WeirMatrix RowRange(long first, long rows)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfLessThan(rows, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rows, Rows - first);
        return new WeirMatrix(new BlockRegion(_region.Client, Table, _region.Dimensions, (ulong)(_first + first), (ulong)rows, 0, _region.Columns), _first + first);
    }

    /// <summary>Reads the elements.</summary>
    /// <exception cref="ArgumentException">The buffer is of another length.</exception>
    public Task PullAsync(Memory<float> elements, CancellationToken cancellation = default) => _region.PullAsync(elements, cancellation);

    /// <summary>Adds to the elements.</summary>
    /// <exception cref="ArgumentException">The changes are of another number.</exception>
    public Task PushAsync(ReadOnlyMemory<float> changes, CancellationToken cancellation = default) => _region.PushAsync(changes, cancellation);

    /// <summary>Sets the elements; as <see cref="WeirVector.SetAsync"/>, where the last block of a row is not full.</summary>
    /// <exception cref="ArgumentException">The elements are of another number.</exception>
    public Task SetAsync(ReadOnlyMemory<float> elements, CancellationToken cancellation = default) => _region.SetAsync(elements, cancellation);

    /// <summary>Every element = value.</summary>
    public Task FillAsync(float value, CancellationToken cancellation = default) => _region.ChangeAsync(ArithmeticKind.Fill, null, value, 1, cancellation);

    /// <summary>W = other.</summary>
    /// <exception cref="ArgumentException">The other is of another shape or range, or of another client's.</exception>
    public Task CopyFromAsync(WeirMatrix other, CancellationToken cancellation = default) => LinearAsync(other, 1, 0, cancellation);

    /// <summary>W = W + factor other.</summary>
    /// <exception cref="ArgumentException">As for <see cref="CopyFromAsync"/>; or the factor is not finite.</exception>
    public Task AddAsync(WeirMatrix other, float factor = 1, CancellationToken cancellation = default) => LinearAsync(other, factor, 1, cancellation);

    /// <summary>W = own W + factor other.</summary>
    /// <exception cref="ArgumentException">As for <see cref="AddAsync"/>.</exception>
    public Task LinearAsync(WeirMatrix other, float factor, float own, CancellationToken cancellation = default) =>
        _region.ChangeAsync(ArithmeticKind.Linear, Of(other), factor, own, cancellation);

    /// <summary>W = factor W.</summary>
    public Task ScaleAsync(float factor, CancellationToken cancellation = default) => _region.ChangeAsync(ArithmeticKind.Linear, null, 0, factor, cancellation);

    /// <summary>Each element times that of the other (the Hadamard product).</summary>
    /// <exception cref="ArgumentException">As for <see cref="CopyFromAsync"/>.</exception>
    public Task MultiplyAsync(WeirMatrix other, CancellationToken cancellation = default) => _region.ChangeAsync(ArithmeticKind.Multiply, Of(other), 1, 1, cancellation);

    /// <summary>The sum of the products of equal elements (the Frobenius inner product), in double precision.</summary>
    /// <exception cref="ArgumentException">As for <see cref="CopyFromAsync"/>.</exception>
    public Task<double> DotAsync(WeirMatrix other, CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.Dot, Of(other), cancellation);

    /// <summary>The sum of the elements, in double precision.</summary>
    public Task<double> SumAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.Sum, null, cancellation);

    /// <summary>The largest element.</summary>
    public Task<double> MaximumAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.Maximum, null, cancellation);

    /// <summary>The Frobenius norm, in double precision.</summary>
    public async Task<double> NormAsync(CancellationToken cancellation = default) => Math.Sqrt(await _region.ReduceAsync(ReductionKind.SumOfSquares, null, cancellation));

    /// <summary>The sum of the magnitudes, in double precision.</summary>
    public Task<double> AbsoluteSumAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.SumOfMagnitudes, null, cancellation);

    /// <summary>The largest magnitude.</summary>
    public Task<double> MaximumMagnitudeAsync(CancellationToken cancellation = default) => _region.ReduceAsync(ReductionKind.MaximumMagnitude, null, cancellation);

    /// <inheritdoc/>
    public override string ToString() => _region.ToString();

    private static BlockRegion Of(WeirMatrix other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return other._region;
    }
}
