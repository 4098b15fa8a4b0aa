using Weir.Learn.Data;

namespace Weir.Learn.Logistic;

/// <summary>
/// The batches of one worker: read in order, the source is opened once a pass, and once more where workers have joined or left. Not
/// thread-safe.
/// </summary>
internal sealed class BatchSequence(ISparseSource source, int batchRows) : IDisposable
{
    private ISparseReader? _reader;
    private (long Block, int Step) _next;

    /// <summary>Reads a block, where the next is to be <paramref name="step"/> blocks on.</summary>
    public void Read(long block, int step, NumberedBatch batch)
    {
        if (_reader is null || _next != (block, step))
        {
            Dispose();
            _reader = source.Open((int)(block % step), step, batchRows, block / step);
        }

        batch.Read(_reader);
        _next = (block + step, step);
    }

    public void Dispose()
    {
        _reader?.Dispose();
        _reader = null;
    }
}
