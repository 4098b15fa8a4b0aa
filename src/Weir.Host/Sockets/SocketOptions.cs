using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>Bounds and times of the TCP transport. Immutable; change it with <c>with</c>.</summary>
public sealed record SocketOptions
{
    /// <summary>The defaults.</summary>
    public static readonly SocketOptions Default = new();

    /// <summary>
    /// Connections that are accepted and open at once. For a further one the oldest whose peer has sent nothing yet is closed; where all have, it is
    /// closed itself. Default 10,000: ten times the largest cluster planned for, at 4 KiB each while idle. 1 to 1,000,000; fewer where the process may
    /// not open so many files, a quarter of which are left for other things.
    /// </summary>
    public int MaxConnections { get; init; } = 10_000;

    /// <summary>Connections that wait in the operating system to be accepted. Default 512: a whole cluster that reconnects at once. 1 to 65,535.</summary>
    public int Backlog { get; init; } = 512;

    /// <summary>
    /// Bytes of frame buffers that wait for one connection; a peer that is further behind is disconnected. Default 64 MiB: what a LAN of
    /// 10 Gbit/s carries in 50 ms. 2 MiB to 1 GiB.
    /// </summary>
    public int MaxQueuedBytes { get; init; } = 64 << 20;

    /// <summary>
    /// Bytes of frame buffers that wait for one connection before a node stops answering pulls of it; it goes on once half of them are sent.
    /// Default 4 MiB: half of them last 0.5 ms at 4 GB/s, ten times what a thread needs to wake, and still lie in the processor's cache.
    /// 1 MiB to half of <see cref="MaxQueuedBytes"/>.
    /// </summary>
    public int RoomBytes { get; init; } = 4 << 20;

    /// <summary>
    /// Bytes of frames that wait while a link connects; further ones are dropped. Default 16 MiB: the first requests of a client, which
    /// asks again for what was dropped. 1 MiB to <see cref="MaxQueuedBytes"/>.
    /// </summary>
    public int MaxConnectingBytes { get; init; } = 16 << 20;

    /// <summary>
    /// Bytes of large frames of which a part has come, over all connections: so a crowd of peers that promise much and send little is
    /// bounded. Beyond it a connection that begins another is closed. Default 1 GiB: 1,024 of the largest frames. 2 MiB to 1 TiB.
    /// </summary>
    public long MaxUnfinishedBytes { get; init; } = 1L << 30;

    /// <summary>Milliseconds until connecting is given up. Default 2,000: two lost SYNs. 10 to 600,000.</summary>
    public int ConnectTimeoutMs { get; init; } = 2_000;

    /// <summary>Milliseconds until the next try after a failed one; doubled with each. Default 50: a restarted server is found soon. 1 to 600,000.</summary>
    public int FirstBackoffMs { get; init; } = 50;

    /// <summary>The most milliseconds between two tries. Default 1,000: a try a second costs nobody anything. <see cref="FirstBackoffMs"/> to 600,000.</summary>
    public int LastBackoffMs { get; init; } = 1_000;

    /// <summary>
    /// Milliseconds until an accepted connection must have sent its first whole header. Default 10,000: a client says Hello at once, so
    /// whoever is silent is a port scanner or half-open. 10 to 600,000.
    /// </summary>
    public int FirstHeaderTimeoutMs { get; init; } = 10_000;

    /// <summary>
    /// Milliseconds for a begun frame to be whole, or for a write of at most 1 MiB to end, until the connection is closed. Default
    /// 30,000: longer than TCP needs to survive a lost link, short enough that buffers come back; a peer must send the largest frame at 35 KB/s.
    /// 10 to 600,000.
    /// </summary>
    public int StallTimeoutMs { get; init; } = 30_000;

    /// <summary>
    /// Milliseconds that a closing connection gets to send what is queued, an error frame for instance. Default 1,000: many round trips.
    /// 0 to 600,000.
    /// </summary>
    public int FlushTimeoutMs { get; init; } = 1_000;

    /// <summary>Checks every value and names all that are out of range.</summary>
    /// <exception cref="ArgumentException">At least one value is out of range; the message lists every one.</exception>
    public void Validate()
    {
        var faults = new OptionFaults();
        Check(faults);
        faults.ThrowIfAny();
    }

    internal void Check(OptionFaults faults)
    {
        const int TenMinutesMs = 600_000;
        faults.Range(nameof(MaxConnections), MaxConnections, 1, 1_000_000);
        faults.Range(nameof(Backlog), Backlog, 1, 65_535);
        faults.Range(nameof(MaxQueuedBytes), MaxQueuedBytes, 2 * FramePool.MaxFrameBytes, 1 << 30);
        faults.Range(nameof(RoomBytes), RoomBytes, FramePool.MaxFrameBytes, 1 << 30);
        faults.Range(nameof(MaxConnectingBytes), MaxConnectingBytes, FramePool.MaxFrameBytes, 1 << 30);
        faults.Range(nameof(MaxUnfinishedBytes), MaxUnfinishedBytes, 2 * FramePool.MaxFrameBytes, 1L << 40);
        faults.Range(nameof(ConnectTimeoutMs), ConnectTimeoutMs, 10, TenMinutesMs);
        faults.Range(nameof(FirstBackoffMs), FirstBackoffMs, 1, TenMinutesMs);
        faults.Range(nameof(LastBackoffMs), LastBackoffMs, 1, TenMinutesMs);
        faults.Range(nameof(FirstHeaderTimeoutMs), FirstHeaderTimeoutMs, 10, TenMinutesMs);
        faults.Range(nameof(StallTimeoutMs), StallTimeoutMs, 10, TenMinutesMs);
        faults.Range(nameof(FlushTimeoutMs), FlushTimeoutMs, 0, TenMinutesMs);
        faults.That(
            MaxConnectingBytes <= MaxQueuedBytes,
            $"{nameof(MaxConnectingBytes)} ({MaxConnectingBytes}) must not exceed {nameof(MaxQueuedBytes)} ({MaxQueuedBytes})");
        faults.That(
            RoomBytes <= MaxQueuedBytes / 2,
            $"{nameof(RoomBytes)} ({RoomBytes}) must not exceed half of {nameof(MaxQueuedBytes)} ({MaxQueuedBytes})");
        faults.That(
            FirstBackoffMs <= LastBackoffMs,
            $"{nameof(FirstBackoffMs)} ({FirstBackoffMs}) must not exceed {nameof(LastBackoffMs)} ({LastBackoffMs})");
    }
}
