namespace Weir.World;

/// <summary>How a write to the disk ended.</summary>
/// <param name="Ticket">The writer's number.</param>
/// <param name="IsFlushed">The content will be there after a loss of power; false: nobody knows what is there.</param>
internal readonly record struct DiskResult(ulong Ticket, bool IsFlushed);

/// <summary>
/// Small records that must outlive their process: written whole, and flushed before the write counts as done. A machine starts writes and takes
/// their results in a later turn, so that no loop waits for a disk. Not thread-safe: it lives in its node's loop.
/// </summary>
internal interface IDisk
{
    /// <summary>The record as it was last written, old or new where a write was cut off; null where there is none.</summary>
    byte[]? Read(string record);

    /// <summary>Replaces a record. Writes to one record are done in order; what is given is not changed until then.</summary>
    void Write(string record, ReadOnlyMemory<byte> content, ulong ticket);

    /// <summary>The next write that has ended, if any.</summary>
    bool TryTakeResult(out DiskResult result);
}

/// <summary>A disk that forgets with its process: for the embedded cluster, whose register is as durable as its node.</summary>
internal sealed class ForgetfulDisk : IDisk
{
    private readonly Queue<DiskResult> _results = new();

    public byte[]? Read(string record) => null;

    public void Write(string record, ReadOnlyMemory<byte> content, ulong ticket) => _results.Enqueue(new DiskResult(ticket, true));

    public bool TryTakeResult(out DiskResult result) => _results.TryDequeue(out result);
}
