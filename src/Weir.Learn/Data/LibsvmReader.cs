namespace Weir.Learn.Data;

/// <summary>One shard of a LIBSVM file. The blocks of other shards are passed over by looking for line feeds, without parsing.</summary>
internal sealed class LibsvmReader(string path, LineReader lines, ShardBlocks blocks) : ISparseReader
{
    private ShardBlocks _blocks = blocks;
    private long _row;

    public bool Read(SparseBatch batch)
    {
        batch.Clear();
        while (_row < _blocks.FirstRow)
        {
            if (!TryReadRow(out _))
            {
                return false;
            }
        }

        while (batch.Rows < _blocks.BatchRows && TryReadRow(out ReadOnlySpan<byte> line))
        {
            LibsvmRow.Parse(line, batch, path, lines.Line);
        }

        _blocks.Advance();
        return batch.Rows > 0;
    }

    public void Dispose() => lines.Dispose();

    private bool TryReadRow(out ReadOnlySpan<byte> line)
    {
        while (lines.TryRead(out line))
        {
            if (LibsvmRow.IsRow(line))
            {
                _row++;
                return true;
            }
        }

        return false;
    }
}
