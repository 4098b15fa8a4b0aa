namespace Weir.Learn.Data;

/// <summary>
/// Rows to train or to measure on: a file, the generated click log, or a user's own. Cut into blocks of batchRows rows in order; shard s
/// of N has the blocks s, s + N, s + 2N and so on, the same in every pass, so a batch is a function of its number alone and a worker that
/// is hosted anew redoes exactly the batches it owes. Thread-safe: readers of several shards run at once.
/// </summary>
public interface ISparseSource
{
    /// <summary>What to call the source in messages: a file's name as the user gave it.</summary>
    string Name { get; }

    /// <summary>Reads everything once and checks it, so that a fault on the last line shows before anything was trained or written.</summary>
    /// <param name="cancellation">Ends the pass early.</param>
    /// <returns>What was counted.</returns>
    /// <exception cref="DataException">The source cannot be read, has no rows, or a row is malformed.</exception>
    DataSummary Scan(CancellationToken cancellation = default);

    /// <summary>Begins a pass over one shard.</summary>
    /// <param name="shard">Which shard, 0 up to <paramref name="shards"/> - 1.</param>
    /// <param name="shards">How many shards, at least 1.</param>
    /// <param name="batchRows">Rows of a block, at least 1.</param>
    /// <param name="skippedBatches">How many of the shard's batches to leave out at the start, at least 0.</param>
    /// <returns>A reader for one thread at a time.</returns>
    /// <exception cref="DataException">The source cannot be opened.</exception>
    ISparseReader Open(int shard, int shards, int batchRows, long skippedBatches = 0);
}

/// <summary>One pass over one shard. Not thread-safe.</summary>
public interface ISparseReader : IDisposable
{
    /// <summary>Replaces the batch's rows by the next ones of the shard.</summary>
    /// <param name="batch">Filled; empty after the shard's last batch.</param>
    /// <returns>False once there is no further batch.</returns>
    /// <exception cref="DataException">A row is malformed or cannot be read.</exception>
    bool Read(SparseBatch batch);
}

/// <summary>How a file writes its two classes.</summary>
public enum LabelKind
{
    /// <summary>Every label is 1, so either kind may be meant.</summary>
    OnlyPositive = 0,

    /// <summary>0 and 1.</summary>
    ZeroOne = 1,

    /// <summary>-1 and +1.</summary>
    MinusPlus = 2,
}

/// <summary>What a pass over a source counted.</summary>
public sealed record DataSummary
{
    /// <summary>Rows.</summary>
    public required long Rows { get; init; }

    /// <summary>Key and value pairs of all rows.</summary>
    public required long Nonzeros { get; init; }

    /// <summary>Rows with label 1.</summary>
    public required long Positives { get; init; }

    /// <summary>How the labels were written.</summary>
    public required LabelKind Labels { get; init; }

    /// <summary>The share of rows with label 1.</summary>
    public double BaseRate => (double)Positives / Rows;

    /// <summary>The number of batches that every shard goes through in a pass; in the last one some shards have no rows.</summary>
    /// <param name="shards">How many shards, at least 1.</param>
    /// <param name="batchRows">Rows of a batch, at least 1.</param>
    /// <returns>The rows in whole blocks, divided among the shards, both rounded up.</returns>
    public long BatchesPerPass(int shards, int batchRows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(shards, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(batchRows, 1);
        long blocks = (Rows + batchRows - 1) / batchRows;
        return (blocks + shards - 1) / shards;
    }
}
