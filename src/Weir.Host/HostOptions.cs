using Weir.Host.Sockets;

namespace Weir.Host;

/// <summary>Bounds and times of one process that hosts nodes or clients. Immutable; change it with <c>with</c>.</summary>
public sealed record HostOptions
{
    /// <summary>The defaults.</summary>
    public static readonly HostOptions Default = new();

    /// <summary>
    /// Bytes of frame buffers that wait for a node before its readers stop reading; at twice as many, frames are dropped. Default
    /// 64 MiB: 64 of the largest frames, some 30 ms of work, enough that a node never waits for the network. 1 MiB to 1 GiB.
    /// </summary>
    public int MailboxBytes { get; init; } = 64 << 20;

    /// <summary>The sockets.</summary>
    public SocketOptions Sockets { get; init; } = SocketOptions.Default;

    /// <summary>Checks every value and names all that are out of range.</summary>
    /// <exception cref="ArgumentException">At least one value is out of range; the message lists every one.</exception>
    public void Validate()
    {
        var faults = new OptionFaults();
        faults.Range(nameof(MailboxBytes), MailboxBytes, 1 << 20, 1 << 30);
        Sockets.Check(faults);
        faults.ThrowIfAny();
    }
}
