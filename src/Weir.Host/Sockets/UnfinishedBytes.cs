namespace Weir.Host.Sockets;

/// <summary>The buffers of large frames of which a part has come, over all connections, against their bound. Thread-safe.</summary>
internal sealed class UnfinishedBytes(long limitBytes)
{
    private long _bytes;

    public long LimitBytes => limitBytes;

    public bool TryTake(int bytes)
    {
        if (Interlocked.Add(ref _bytes, bytes) <= limitBytes)
        {
            return true;
        }

        Interlocked.Add(ref _bytes, -bytes);
        return false;
    }

    public void GiveBack(int bytes) => Interlocked.Add(ref _bytes, -bytes);
}
