namespace Weir.Learn.Data;

/// <summary>The training or the test rows of a click log.</summary>
internal sealed class ClickLogRows(ClickLog log, string name, ulong stream, long rows) : ISparseSource
{
    private const int ScanRows = 1024;

    public string Name => name;

    public DataSummary Scan(CancellationToken cancellation = default)
    {
        using ISparseReader reader = Open(0, 1, ScanRows);
        var batch = new SparseBatch();
        long positives = 0;
        while (reader.Read(batch))
        {
            cancellation.ThrowIfCancellationRequested();
            foreach (float label in batch.Labels)
            {
                positives += label > 0 ? 1 : 0;
            }
        }

        return new DataSummary { Rows = rows, Nonzeros = rows * ClickLog.Fields, Positives = positives, Labels = LabelKind.ZeroOne };
    }

    public ISparseReader Open(int shard, int shards, int batchRows, long skippedBatches = 0) =>
        new Reader(this, new ShardBlocks(shard, shards, batchRows, skippedBatches));

    private sealed class Reader(ClickLogRows source, ShardBlocks blocks) : ISparseReader
    {
        private ShardBlocks _blocks = blocks;

        public bool Read(SparseBatch batch)
        {
            batch.Clear();
            long end = Math.Min(source.Count, _blocks.FirstRow + _blocks.BatchRows);
            for (long row = _blocks.FirstRow; row < end; row++)
            {
                source.Append(batch, row);
            }

            _blocks.Advance();
            return batch.Rows > 0;
        }

        public void Dispose()
        {
            // Nothing is open: rows are computed.
        }
    }

    private long Count => rows;

    private void Append(SparseBatch batch, long row) => log.AppendRow(batch, stream, row);
}
