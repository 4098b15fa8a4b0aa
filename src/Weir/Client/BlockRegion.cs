using Weir.Keys;
using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// Rows and columns of a vector or matrix as blocks of a table (papers PS-1, PS-2): a computed list of keys, and of each block the columns that lie in the region.
/// Immutable and safe to share among threads.
/// </summary>
internal sealed class BlockRegion
{
    /// <summary>Blocks that one call names: their keys take 512 MiB.</summary>
    private const ulong MostBlocks = 1 << 26;

    private readonly ulong _firstRow;
    private readonly ulong _firstColumn;
    private Group[]? _groups;

    /// <summary>Blocks of which the same columns lie in the region.</summary>
    private sealed record Group(int FirstColumn, int Columns, ulong[] Keys, long[] Positions);

    /// <param name="client">Who calls the cluster.</param>
    /// <param name="table">A table with dimensions.</param>
    /// <param name="dimensions">Of the whole.</param>
    /// <param name="firstRow">The first row of the region.</param>
    /// <param name="rows">Its rows, at least 1.</param>
    /// <param name="firstColumn">The first column of the region.</param>
    /// <param name="columns">Its columns, at least 1.</param>
    public BlockRegion(WeirClient client, WeirTable table, TableDimensions dimensions, ulong firstRow, ulong rows, ulong firstColumn, ulong columns)
    {
        (Client, Table, Dimensions, _firstRow, Rows, _firstColumn, Columns) = (client, table, dimensions, firstRow, rows, firstColumn, columns);
    }

    public WeirClient Client { get; }

    public WeirTable Table { get; }

    public TableDimensions Dimensions { get; }

    public ulong Rows { get; }

    public ulong Columns { get; }

    public long Elements => (long)(Rows * Columns);

    // Cut at the first call: of a vector too large for one call ranges are taken.
    private Group[] Groups => _groups ??= Cut();

    /// <summary>Reads the elements, row by row.</summary>
    public Task PullAsync(Memory<float> elements, CancellationToken cancellation)
    {
        CheckElements(elements.Length, nameof(elements));
        return EachAsync(async group =>
        {
            int width = Table.Width;
            float[] blocks = new float[group.Keys.Length * width];
            await Client.PullAsync(Table, group.Keys, blocks, cancellation);
            for (int i = 0; i < group.Keys.Length; i++)
            {
                blocks.AsSpan((i * width) + group.FirstColumn, group.Columns).CopyTo(elements.Span[(int)group.Positions[i]..]);
            }
        });
    }

    /// <summary>Adds to the elements.</summary>
    public Task PushAsync(ReadOnlyMemory<float> changes, CancellationToken cancellation)
    {
        CheckElements(changes.Length, nameof(changes));
        return EachAsync(group => Client.PushAsync(Table, group.Keys, Blocks(group, changes.Span), cancellation));
    }

    /// <summary>Sets the elements. A block that lies in the region in part is set to zero there and added to: who reads between the two reads zeros.</summary>
    public async Task SetAsync(ReadOnlyMemory<float> elements, CancellationToken cancellation)
    {
        CheckElements(elements.Length, nameof(elements));

        // So that of two pushes to a block the first is the first.
        await Client.OpenOwnSessionAsync(cancellation);
        await EachAsync(group =>
        {
            float[] blocks = Blocks(group, elements.Span);
            if (group.Columns == Table.Width)
            {
                return Client.SetAsync(Table, group.Keys, blocks, cancellation);
            }

            // One after the other at the servers too: they are pushes of one session to the same blocks.
            Task cleared = ChangeAsync(group, ArithmeticKind.Fill, Table.Id, 0, 1, cancellation);
            return Task.WhenAll(cleared, Client.PushAsync(Table, group.Keys, blocks, cancellation));
        });
    }

    /// <summary>Changes the elements at the servers, by those of another region where there is one.</summary>
    public Task ChangeAsync(ArithmeticKind kind, BlockRegion? other, float factor, float own, CancellationToken cancellation)
    {
        CheckFinite(factor);
        CheckFinite(own);
        uint source = other is null ? Table.Id : Operand(other);
        return EachAsync(group => ChangeAsync(group, kind, source, factor, own, cancellation));
    }

    /// <summary>One number of all elements, computed where they lie.</summary>
    public async Task<double> ReduceAsync(ReductionKind kind, BlockRegion? other, CancellationToken cancellation)
    {
        uint second = other is null ? Table.Id : Operand(other);
        if (other is not null && other.Table.IsCommitted != Table.IsCommitted)
        {
            throw new ArgumentException($"{other} and {this} are read together: both must be committed, or neither", nameof(other));
        }

        double[] parts = await Task.WhenAll(Groups.Select(group =>
            Client.ReduceAsync(Table, group.Keys, new RowReduction(kind, second, group.FirstColumn, group.Columns), cancellation)));
        var whole = new RowReduction(kind, second, 0, 1);
        return parts.Aggregate(whole.Nothing, whole.Join);
    }

    private Task ChangeAsync(Group group, ArithmeticKind kind, uint source, float factor, float own, CancellationToken cancellation) =>
        Client.ArithmeticAsync(Table, group.Keys, new RowArithmetic(kind, source, factor, own, group.FirstColumn, group.Columns), cancellation);

    private Task EachAsync(Func<Group, Task> call) => Groups.Length == 1 ? call(Groups[0]) : Task.WhenAll(Groups.Select(call));

    /// <summary>The table of an operand, whose elements must lie where this region's lie.</summary>
    private uint Operand(BlockRegion other)
    {
        if (other.Client != Client)
        {
            throw new ArgumentException($"{other} and {this} are open in different clients: operands of one operation are of one cluster, opened by one client", nameof(other));
        }

        return other.Dimensions == Dimensions && other.Table.Width == Table.Width && (other._firstRow, other.Rows, other._firstColumn, other.Columns) == (_firstRow, Rows, _firstColumn, Columns)
            ? other.Table.Id
            : throw new ArgumentException($"{other} is no operand for {this}: both must be of the same shape and block width, and the same range of it", nameof(other));
    }

    public override string ToString() =>
        Dimensions.Rows == 1
            ? $"elements {_firstColumn} to {_firstColumn + Columns - 1} of vector {Table.Name} ({Dimensions.Columns} elements in blocks of {Table.Width})"
            : $"rows {_firstRow} to {_firstRow + Rows - 1} of matrix {Table.Name} ({Dimensions.Rows} by {Dimensions.Columns} elements in blocks of {Table.Width})";

    private float[] Blocks(Group group, ReadOnlySpan<float> elements)
    {
        int width = Table.Width;
        float[] blocks = new float[group.Keys.Length * width];
        for (int i = 0; i < group.Keys.Length; i++)
        {
            elements.Slice((int)group.Positions[i], group.Columns).CopyTo(blocks.AsSpan((i * width) + group.FirstColumn));
        }

        return blocks;
    }

    private void CheckElements(int given, string name)
    {
        if (Groups.Max(group => (long)group.Keys.Length) * Table.Width > Array.MaxLength)
        {
            throw new ArgumentException($"{this} has more elements than one call takes, with those that fill its blocks: take ranges of it", name);
        }

        if (given != Elements)
        {
            throw new ArgumentException($"{this} has {Elements} elements, not {given}", name);
        }
    }

    private static void CheckFinite(float factor)
    {
        if (!float.IsFinite(factor))
        {
            throw new ArgumentOutOfRangeException(nameof(factor), factor, "a factor is a finite number");
        }
    }

    private Group[] Cut()
    {
        ulong width = (ulong)Table.Width, blocks = BlocksOf(Dimensions, Table.Width);
        if (Rows > MostBlocks / blocks && (((_firstColumn + Columns - 1) / width) - (_firstColumn / width) + 1) * Rows > MostBlocks)
        {
            throw new InvalidOperationException($"{this} has more blocks than the {MostBlocks} that one call names: take ranges of it");
        }

        Dictionary<(int First, int Columns), (List<ulong> Keys, List<long> Positions)> groups = [];
        ulong firstBlock = _firstColumn / width, endColumn = _firstColumn + Columns, endBlock = (endColumn + width - 1) / width;
        for (ulong row = 0; row < Rows; row++)
        {
            for (ulong block = firstBlock; block < endBlock; block++)
            {
                ulong from = Math.Max(_firstColumn, block * width), to = Math.Min(endColumn, (block + 1) * width);
                (int, int) columns = ((int)(from - (block * width)), (int)(to - from));
                if (!groups.TryGetValue(columns, out (List<ulong> Keys, List<long> Positions) group))
                {
                    groups.Add(columns, group = ([], []));
                }

                group.Keys.Add(((_firstRow + row) * blocks) + block);
                group.Positions.Add((long)((row * Columns) + from - _firstColumn));
            }
        }

        return [.. groups.Select(g => new Group(g.Key.First, g.Key.Columns, [.. g.Value.Keys], [.. g.Value.Positions]))];
    }

    /// <summary>The blocks of one row.</summary>
    public static ulong BlocksOf(TableDimensions dimensions, int width) => (dimensions.Columns + (ulong)width - 1) / (ulong)width;
}
