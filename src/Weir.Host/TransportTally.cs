namespace Weir.Host;

/// <summary>
/// What one network carried, in whole frames with their headers: the same numbers for TCP and in process, so that a test can compare
/// them. Thread-safe.
/// </summary>
internal sealed class TransportTally
{
    private long _framesIn;
    private long _bytesIn;
    private long _framesOut;
    private long _bytesOut;
    private long _framesDropped;

    /// <summary>Frames given to the sink.</summary>
    public long FramesIn => Volatile.Read(ref _framesIn);

    /// <summary>Their bytes.</summary>
    public long BytesIn => Volatile.Read(ref _bytesIn);

    /// <summary>Frames handed to the socket or to the other side's queue.</summary>
    public long FramesOut => Volatile.Read(ref _framesOut);

    /// <summary>Their bytes.</summary>
    public long BytesOut => Volatile.Read(ref _bytesOut);

    /// <summary>Frames that a caller sent and that were given up: the link was down or its queue full.</summary>
    public long FramesDropped => Volatile.Read(ref _framesDropped);

    public void Received(int frames, long bytes)
    {
        Interlocked.Add(ref _framesIn, frames);
        Interlocked.Add(ref _bytesIn, bytes);
        HostMeters.Received(frames, bytes);
    }

    public void Sent(int frames, long bytes)
    {
        Interlocked.Add(ref _framesOut, frames);
        Interlocked.Add(ref _bytesOut, bytes);
        HostMeters.Sent(frames, bytes);
    }

    public void Dropped(string where)
    {
        Interlocked.Increment(ref _framesDropped);
        HostMeters.Dropped(where);
    }
}
