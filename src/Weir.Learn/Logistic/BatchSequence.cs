using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>
/// The batches of one worker over all passes, by iteration number: iteration t has batch (t - 1) mod batchesPerPass of a pass. Read in
/// order it opens the source once a pass. Not thread-safe.
/// </summary>
internal sealed class BatchSequence(ISparseSource source, int shard, int shards, int batchRows, long batchesPerPass) : IDisposable
{
    private ISparseReader? _reader;
    private long _next;

    /// <summary>Reads the batch of an iteration, counted from 1; empty where the shard has none left in the pass.</summary>
    public void Read(long iteration, NumberedBatch batch)
    {
        long round = (iteration - 1) % batchesPerPass;
        if (_reader is null || round == 0 || iteration != _next)
        {
            _reader?.Dispose();
            _reader = null;
            _reader = source.Open(shard, shards, batchRows, round);
        }

        batch.Read(_reader);
        _next = iteration + 1;
    }

    public void Dispose() => _reader?.Dispose();
}
