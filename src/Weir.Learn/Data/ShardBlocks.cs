namespace Weir.Learn.Data;

/// <summary>Which blocks of rows a shard has: block b of batchRows rows belongs to shard b mod shards.</summary>
internal struct ShardBlocks
{
    private readonly int _shards;

    /// <summary>Checks the arguments of <see cref="ISparseSource.Open"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    public ShardBlocks(int shard, int shards, int batchRows, long skippedBatches)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shards, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(shard);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(shard, shards);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchRows, 1);
        ArgumentOutOfRangeException.ThrowIfNegative(skippedBatches);
        _shards = shards;
        BatchRows = batchRows;
        FirstRow = checked((shard + (skippedBatches * shards)) * batchRows);
    }

    /// <summary>Rows of a block.</summary>
    public int BatchRows { get; }

    /// <summary>The first row of the shard's next block, counted from 0.</summary>
    public long FirstRow { get; private set; }

    /// <summary>Goes on to the shard's next block.</summary>
    public void Advance() => FirstRow += (long)_shards * BatchRows;
}
