using System.Collections.Concurrent;
using Weir.Host.Loops;
using Weir.World;

namespace Weir.Host.InProcess;

/// <summary>
/// One machine's place in an <see cref="InProcessHub"/>. What it sends comes to the other side's sink as the same buffer under the reverse
/// link, in order; nothing is copied. A frame that is sent while the other side is full or away is dropped. Thread-safe; no call blocks,
/// though the receiving node may run a bounded turn on the sender's thread.
/// </summary>
internal sealed class InProcessNetwork : INetwork, IAsyncDisposable
{
    private readonly InProcessHub _hub;
    private readonly string? _address;
    private readonly Inbox _inbox;
    private readonly ConcurrentDictionary<long, Way> _ways = new();
    private readonly ConcurrentDictionary<string, LinkId> _byAddress = new(StringComparer.Ordinal);
    private readonly Lock _gate = new();
    private volatile bool _ended;

    internal InProcessNetwork(InProcessHub hub, string? address, int maxQueuedBytes)
    {
        _hub = hub;
        _address = address;
        _inbox = new Inbox(maxQueuedBytes, Tally);
        HostMeters.Watch(this, "inbox", () => _inbox.QueuedBytes);
    }

    /// <summary>What was carried so far.</summary>
    public TransportTally Tally { get; } = new();

    /// <summary>Says where frames go. Once, before anything is sent to this address or from it.</summary>
    public void Attach(IFrameSink sink) => _inbox.Attach(sink);

    /// <inheritdoc/>
    public LinkId Open(string address)
    {
        lock (_gate)
        {
            if (!_byAddress.TryGetValue(address, out LinkId link))
            {
                link = _hub.NextLink();
                _byAddress[address] = link;
                _ways[link.Value] = new Way(address, null, default);
            }

            return link;
        }
    }

    /// <inheritdoc/>
    public void Send(LinkId link, FrameBuffer frame)
    {
        int length = frame.Length;
        Way? way = _ended ? null : Connect(link);
        if (way?.Peer is { } peer && peer._inbox.TryPut(way.PeerLink, frame))
        {
            Tally.Sent(1, length);
            return;
        }

        // An inbox that refuses a frame gives it back itself.
        if (way?.Peer is null)
        {
            frame.Release();
        }
        else if (way.Peer._ended)
        {
            Lost(link, "closed by the peer");
        }

        Tally.Dropped("down");
    }

    /// <inheritdoc/>
    public bool HasRoom(LinkId link, long bytes) =>
        _ways.TryGetValue(link.Value, out Way? way) && (way.Peer is { } peer ? peer._inbox.HasRoom(bytes, _inbox, link) : bytes < Inbox.RoomBytes);

    /// <inheritdoc/>
    public void Close(LinkId link)
    {
        if (!_ways.TryRemove(link.Value, out Way? way))
        {
            return;
        }

        if (way.Address is { } address)
        {
            lock (_gate)
            {
                _byAddress.TryRemove(new KeyValuePair<string, LinkId>(address, link));
            }
        }

        way.Peer?.Lost(way.PeerLink, "closed by the peer");
    }

    /// <summary>Leaves the hub: what waits is dropped, and the other sides hear that their links are down.</summary>
    public ValueTask DisposeAsync()
    {
        if (_ended)
        {
            return ValueTask.CompletedTask;
        }

        _ended = true;
        if (_address is not null)
        {
            _hub.Leave(_address, this);
        }

        foreach (long link in _ways.Keys)
        {
            Close(new LinkId(link));
        }

        _inbox.End();
        HostMeters.Forget(this);
        return ValueTask.CompletedTask;
    }

    // The way of a link, with its other side found if it was not yet; null where the link is closed or nobody is there.
    private Way? Connect(LinkId link)
    {
        if (!_ways.TryGetValue(link.Value, out Way? way) || way.Peer is not null)
        {
            return way;
        }

        lock (_gate)
        {
            if (!_ways.TryGetValue(link.Value, out way) || way.Peer is not null)
            {
                return way;
            }

            if (_hub.Find(way.Address!) is not { } peer)
            {
                _inbox.PutDown(link, $"nobody at {way.Address}: no machine of this process has that address");
                return null;
            }

            LinkId reverse = _hub.NextLink();
            peer._ways[reverse.Value] = new Way(null, this, link);
            way = way with { Peer = peer, PeerLink = reverse };
            _ways[link.Value] = way;
            return way;
        }
    }

    // The other side has closed. An opened link stays and finds whoever has the address at the next send.
    private void Lost(LinkId link, string reason)
    {
        if (!_ways.TryGetValue(link.Value, out Way? way))
        {
            return;
        }

        if (way.Address is null)
        {
            _ways.TryRemove(link.Value, out _);
        }
        else
        {
            _ways[link.Value] = new Way(way.Address, null, default);
        }

        _inbox.PutDown(link, reason);
    }

    // Address: what the link was opened to, or null where the other side opened it. Peer: the other side, once found.
    private sealed record Way(string? Address, InProcessNetwork? Peer, LinkId PeerLink);
}
