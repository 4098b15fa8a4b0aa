using System.Collections.Concurrent;
using Weir.World;

namespace Weir.Host.InProcess;

/// <summary>
/// Where the machines of one process find each other: the transport of an embedded cluster. The very bytes that would cross a socket
/// cross here, in the very buffer. Thread-safe.
/// </summary>
internal sealed class InProcessHub
{
    private readonly ConcurrentDictionary<string, InProcessNetwork> _byAddress = new(StringComparer.Ordinal);
    private long _lastLink;

    /// <summary>A place in the hub for one machine.</summary>
    /// <param name="address">Under which others open links to it, such as <c>inproc:1</c>; null for a client, which only opens them.</param>
    /// <param name="maxQueuedBytes">Bytes of frame buffers that wait for this machine; further frames are dropped, as on a full TCP queue.</param>
    /// <exception cref="ArgumentException">The address is taken.</exception>
    public InProcessNetwork Join(string? address, int maxQueuedBytes = 64 << 20)
    {
        var network = new InProcessNetwork(this, address, maxQueuedBytes);
        if (address is not null && !_byAddress.TryAdd(address, network))
        {
            throw new ArgumentException($"the address {address} is taken in this process", nameof(address));
        }

        return network;
    }

    internal InProcessNetwork? Find(string address) => _byAddress.GetValueOrDefault(address);

    internal void Leave(string address, InProcessNetwork network) =>
        _byAddress.TryRemove(new KeyValuePair<string, InProcessNetwork>(address, network));

    internal LinkId NextLink() => new(Interlocked.Increment(ref _lastLink));
}
