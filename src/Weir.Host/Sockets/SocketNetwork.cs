using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Weir.Client;
using Weir.Host.Loops;
using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>
/// The network over TCP and Unix domain sockets: raw sockets, a connection for each peer, frames with checked headers and bodies. A peer that
/// breaks the protocol gets one error frame and loses its connection; the others are served on. Thread-safe; no call blocks.
/// <para>
/// Its completions may run on the thread that waits for all sockets (<see cref="WeirHost.UseInlineCompletions"/>): nothing here blocks, and
/// what completes a caller's task does so on the thread pool.
/// </para>
/// </summary>
internal sealed class SocketNetwork : INetwork, IAsyncDisposable
{
    // Timeouts are looked at this often at least; a shorter timeout is looked at four times in its span.
    private const int SlowestSweepMs = 1_000;

    private readonly SocketOptions _options;
    private readonly ILogger _log;
    private readonly UnfinishedBytes _unfinished;
    private readonly ConcurrentDictionary<long, ISocketLink> _links = new();
    private readonly ConcurrentDictionary<string, LinkId> _byAddress = new();
    private readonly ConcurrentDictionary<SocketConnection, Task> _connections = new();
    private readonly List<Acceptor> _acceptors = [];

    // Accepted connections in the order in which they came, without those at the front that are silent no more.
    private readonly Queue<SocketConnection> _silent = new();
    private readonly Lock _gate = new();
    private readonly Timer _sweeper;
    private SocketShared? _shared;
    private long _lastLink;
    private int _acceptedNow;
    private int _mostAccepted;
    private volatile bool _stopping;

    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public SocketNetwork(SocketOptions options, ILogger log)
    {
        options.Validate();
        _options = options;
        _log = log;
        _unfinished = new UnfinishedBytes(options.MaxUnfinishedBytes);
        _mostAccepted = options.MaxConnections;
        int sweepMs = Math.Clamp(Math.Min(options.FirstHeaderTimeoutMs, options.StallTimeoutMs) / 4, 1, SlowestSweepMs);
        _sweeper = new Timer(static network => ((SocketNetwork)network!).Sweep(), this, sweepMs, sweepMs);
        HostMeters.Watch(this, "send", () => _connections.Keys.Sum(connection => connection.QueuedBytes));
    }

    /// <summary>What was carried so far.</summary>
    public TransportTally Tally { get; } = new();

    /// <summary>Open connections, both ways.</summary>
    public int Connections => _connections.Count;

    /// <summary>Says where frames go. Once, before the first <see cref="Listen"/> or <see cref="Send"/>.</summary>
    public void Attach(IFrameSink sink)
    {
        Invariant.That(_shared is null, "a network has one sink");
        _shared = new SocketShared(_options, sink, Tally, _unfinished, _log);
    }

    /// <summary>Accepts connections on an address from now on. Port 0 picks a free one.</summary>
    /// <returns>The address in use.</returns>
    /// <exception cref="WeirException">The address cannot be listened on; the message names it and says what to do.</exception>
    public string Listen(EndPoint endPoint)
    {
        Invariant.That(_shared is not null, "a network has its sink before it listens");
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_stopping, this);
            if (_acceptors.Count == 0 && OpenFiles.ForConnections() is { } most && most < _options.MaxConnections)
            {
                _mostAccepted = most;
                Log.FewFiles(_log, HostAddress.Text(endPoint), most, _options.MaxConnections);
            }

            var acceptor = new Acceptor(this, endPoint, _options, _mostAccepted, _log);
            _acceptors.Add(acceptor);
            return acceptor.Address;
        }
    }

    /// <inheritdoc/>
    public LinkId Open(string address)
    {
        if (_byAddress.TryGetValue(address, out LinkId known))
        {
            return known;
        }

        lock (_gate)
        {
            if (!_byAddress.TryGetValue(address, out LinkId link))
            {
                link = NextLink();
                _links[link.Value] = new OutgoingLink(link, address, this, _options);
                _byAddress[address] = link;
            }

            return link;
        }
    }

    /// <inheritdoc/>
    public void Send(LinkId link, FrameBuffer frame)
    {
        if (!_stopping && _links.TryGetValue(link.Value, out ISocketLink? open))
        {
            open.Send(frame);
            return;
        }

        Tally.Dropped("down");
        frame.Release();
    }

    /// <inheritdoc/>
    public bool HasRoom(LinkId link, long bytes) => _links.TryGetValue(link.Value, out ISocketLink? open) && open.HasRoom(bytes);

    /// <inheritdoc/>
    public void Close(LinkId link)
    {
        if (!_links.TryRemove(link.Value, out ISocketLink? open))
        {
            return;
        }

        foreach (KeyValuePair<string, LinkId> entry in _byAddress.Where(entry => entry.Value == link))
        {
            _byAddress.TryRemove(entry);
        }

        open.Close();
    }

    /// <summary>Stops accepting, sends what is queued for at most <see cref="SocketOptions.FlushTimeoutMs"/>, then closes every connection.</summary>
    public async ValueTask DisposeAsync()
    {
        Acceptor[] acceptors;
        lock (_gate)
        {
            if (_stopping)
            {
                return;
            }

            _stopping = true;
            acceptors = [.. _acceptors];
        }

        foreach (Acceptor acceptor in acceptors)
        {
            await acceptor.DisposeAsync().ConfigureAwait(false);
        }

        // A connect that was under way while stopping may add one more.
        while (!_connections.IsEmpty)
        {
            // Its own ToArray, which locks: a copy by any other way asks for the count first, and has empty places at its end for those that go in between.
            KeyValuePair<SocketConnection, Task>[] open = _connections.ToArray();
            await Task.WhenAll(open.Select(entry => entry.Key.CloseAsync("this side stops"))).ConfigureAwait(false);
            await Task.WhenAll(open.Select(entry => entry.Value)).ConfigureAwait(false);
        }

        HostMeters.Forget(this);
        await _sweeper.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>A socket that an acceptor got. False where there is no room for it.</summary>
    internal bool TryAccept(Socket socket)
    {
        if (_stopping || (Interlocked.Increment(ref _acceptedNow) > _mostAccepted && !EndOldestSilent()))
        {
            Interlocked.Decrement(ref _acceptedNow);
            return false;
        }

        try
        {
            string peer = socket.AddressFamily == AddressFamily.Unix ? $"a process at {HostAddress.Text(socket.LocalEndPoint!)}" : socket.RemoteEndPoint?.ToString() ?? "unknown";
            var connection = new SocketConnection(socket, NextLink(), peer, accepted: true, _shared!);
            _links[connection.Link.Value] = connection;
            Run(connection, null);
            lock (_gate)
            {
                _silent.Enqueue(connection);
            }

            return true;
        }
        catch (SocketException)
        {
            Interlocked.Decrement(ref _acceptedNow);
            throw;
        }
    }

    /// <summary>A connection over a socket that an outgoing link opened, or null where the network stops.</summary>
    internal SocketConnection? Connected(Socket socket, LinkId link, string address)
    {
        try
        {
            return _stopping ? null : new SocketConnection(socket, link, address, accepted: false, _shared!);
        }
        catch (SocketException)
        {
            // Closed by the peer between connecting and now; the link tries again.
            return null;
        }
    }

    internal void CouldNotConnect(LinkId link, string reason)
    {
        Log.ConnectFailed(_log, reason);
        if (!_stopping)
        {
            _shared!.Sink.LinkDown(link, reason);
        }
    }

    /// <summary>Runs a connection until it ends, then tells the sink.</summary>
    internal void Run(SocketConnection connection, OutgoingLink? outgoing)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _connections[connection] = ended.Task;
        Log.Connected(_log, connection.Peer, connection.Link.Value);
        HostMeters.ConnectionOpened();
        _ = RunAsync(connection, outgoing, ended);
        if (_stopping)
        {
            // It came while the network stopped, perhaps too late to be seen there.
            connection.Abort("this side stops");
        }
    }

    private async Task RunAsync(SocketConnection connection, OutgoingLink? outgoing, TaskCompletionSource ended)
    {
        string reason = await connection.RunAsync().ConfigureAwait(false);
        HostMeters.ConnectionClosed();
        Log.Disconnected(_log, connection.Peer, connection.Link.Value, reason);
        if (outgoing is null)
        {
            _links.TryRemove(connection.Link.Value, out _);
            Interlocked.Decrement(ref _acceptedNow);
        }
        else
        {
            outgoing.Down(connection);
        }

        _connections.TryRemove(connection, out _);
        try
        {
            _shared!.Sink.LinkDown(connection.Link, reason);
        }
        finally
        {
            ended.TrySetResult();
        }
    }

    /// <summary>Whoever comes and speaks is not kept out by a crowd that has said nothing. False where nobody is silent.</summary>
    private bool EndOldestSilent()
    {
        lock (_gate)
        {
            while (_silent.TryDequeue(out SocketConnection? oldest))
            {
                if (oldest.IsSilent)
                {
                    oldest.Abort("others came, and its peer had sent nothing yet");
                    return true;
                }
            }

            return false;
        }
    }

    private LinkId NextLink() => new(Interlocked.Increment(ref _lastLink));

    private void Sweep()
    {
        // The queue is as long as what came while its first was silent, which is bounded in time.
        lock (_gate)
        {
            while (_silent.TryPeek(out SocketConnection? first) && !first.IsSilent)
            {
                _silent.Dequeue();
            }
        }

        long nowMs = Environment.TickCount64;
        foreach (SocketConnection connection in _connections.Keys)
        {
            connection.EndIfStalled(nowMs);
        }
    }
}
