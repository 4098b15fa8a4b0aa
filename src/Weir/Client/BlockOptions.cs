using Weir.Keys;

namespace Weir.Client;

/// <summary>Declares a vector. The same declaration again gives the same vector; another under the same name is refused.</summary>
/// <param name="Name">1 to 256 bytes of UTF-8, which are those of its table too.</param>
/// <param name="Length">Elements, at least 1; those of one call at most 2^31 - 1.</param>
public sealed record VectorOptions(string Name, long Length)
{
    /// <summary>Elements that lie together as one row of the table, 1 to 65,536. Default 256: 1 KiB. Vectors are operands of one operation only where theirs are equal.</summary>
    public int BlockWidth { get; init; } = 256;

    /// <summary>As <see cref="TableOptions.Durable"/>.</summary>
    public bool Durable { get; init; }

    /// <summary>As <see cref="TableOptions.Committed"/>.</summary>
    public bool Committed { get; init; }
}

/// <summary>Declares a matrix. The same declaration again gives the same matrix; another under the same name is refused.</summary>
/// <param name="Name">1 to 256 bytes of UTF-8, which are those of its table too.</param>
/// <param name="Rows">At least 1.</param>
/// <param name="Columns">At least 1.</param>
public sealed record MatrixOptions(string Name, long Rows, long Columns)
{
    /// <summary>Elements of a row that lie together, 1 to 65,536. Default 256, and no more than there are columns.</summary>
    public int BlockWidth { get; init; } = 256;

    /// <summary>As <see cref="TableOptions.Durable"/>.</summary>
    public bool Durable { get; init; }

    /// <summary>As <see cref="TableOptions.Committed"/>.</summary>
    public bool Committed { get; init; }

    /// <summary>Opens the table of its blocks.</summary>
    internal async Task<BlockRegion> OpenAsync(WeirClient client, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(client);
        ArgumentOutOfRangeException.ThrowIfLessThan(Rows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Columns, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(BlockWidth, 1);
        var dimensions = new TableDimensions((ulong)Rows, (ulong)Columns);
        int width = (int)Math.Min(BlockWidth, Columns);

        // A block is a key, of which there are 2^64.
        ArgumentOutOfRangeException.ThrowIfGreaterThan((ulong)Rows, ulong.MaxValue / BlockRegion.BlocksOf(dimensions, width), nameof(Rows));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Rows, long.MaxValue / Columns, nameof(Rows));
        WeirTable table = await client.OpenTableAsync(
            new TableOptions { Name = Name, Width = width, Rule = UpdateRule.Add, Durable = Durable, Committed = Committed, Dimensions = dimensions }, cancellation);
        return new BlockRegion(client, table, dimensions, 0, dimensions.Rows, 0, dimensions.Columns);
    }
}
