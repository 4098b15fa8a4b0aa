namespace Weir.Learn.Data;

/// <summary>
/// Rows in LIBSVM text, plain or gzip: a label (0 and 1, or -1 and +1), then index:value pairs. An index is any 64-bit unsigned number
/// and is used as the key as it is; a value is a finite number. Blank lines and comments after # are passed over. Indices of a row may
/// come in any order; one that repeats counts as the sum of its values. Thread-safe: each reader opens the file for itself.
/// </summary>
/// <param name="path">The file, as the user named it.</param>
public sealed class LibsvmFile(string path) : ISparseSource
{
    // Rows checked together by a scan: large enough to cost nothing, small enough to stay in the cache.
    private const int ScanRows = 256;

    /// <inheritdoc/>
    public string Name => path;

    /// <inheritdoc/>
    public DataSummary Scan(CancellationToken cancellation = default)
    {
        using LineReader lines = LineReader.Open(path);
        var batch = new SparseBatch();
        long rows = 0;
        long nonzeros = 0;
        long positives = 0;
        long otherLine = 0;
        int other = 1;
        while (lines.TryRead(out ReadOnlySpan<byte> line))
        {
            if (!LibsvmRow.IsRow(line))
            {
                continue;
            }

            int label = LibsvmRow.Parse(line, batch, path, lines.Line);
            if (label > 0)
            {
                positives++;
            }
            else if (other > 0)
            {
                (other, otherLine) = (label, lines.Line);
            }
            else if (label != other)
            {
                throw new DataException(path, lines.Line, $"label {label} is a third one: line {otherLine} has {other}, and a file has either 0 and 1 or -1 and +1");
            }

            rows++;
            if (batch.Rows == ScanRows)
            {
                cancellation.ThrowIfCancellationRequested();
                nonzeros += batch.Nonzeros;
                batch.Clear();
            }
        }

        if (rows == 0)
        {
            throw new DataException(path, lines.Line == 0 ? "the file is empty" : "the file has no rows, only blank lines and comments");
        }

        return new DataSummary
        {
            Rows = rows,
            Nonzeros = nonzeros + batch.Nonzeros,
            Positives = positives,
            Labels = other > 0 ? LabelKind.OnlyPositive : other == 0 ? LabelKind.ZeroOne : LabelKind.MinusPlus,
        };
    }

    /// <inheritdoc/>
    public ISparseReader Open(int shard, int shards, int batchRows, long skippedBatches = 0)
    {
        var blocks = new ShardBlocks(shard, shards, batchRows, skippedBatches);
        return new LibsvmReader(path, LineReader.Open(path), blocks);
    }
}
