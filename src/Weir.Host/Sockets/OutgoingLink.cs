using System.Net;
using System.Net.Sockets;
using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>
/// A link to an address. It connects when the first frame is sent, and again when one is sent after the connection broke, with a pause
/// that doubles with each failure. Frames wait for a bounded time and number while it connects and are dropped in the pause. Thread-safe.
/// </summary>
internal sealed class OutgoingLink(LinkId link, string address, SocketNetwork network, SocketOptions options) : ISocketLink
{
    private readonly Lock _gate = new();
    private readonly Queue<FrameBuffer> _waiting = new();
    private SocketConnection? _connection;
    private long _waitingBytes;
    private long _retryAtMs;
    private int _backoffMs = options.FirstBackoffMs;
    private bool _connecting;
    private bool _closed;

    /// <inheritdoc/>
    public void Send(FrameBuffer frame)
    {
        SocketConnection? connection;
        bool begin = false;
        lock (_gate)
        {
            connection = _connection;
            if (connection is null)
            {
                begin = !_connecting && !_closed && Environment.TickCount64 >= _retryAtMs;
                _connecting |= begin;
                if (_connecting && _waitingBytes + frame.Capacity <= options.MaxConnectingBytes)
                {
                    _waiting.Enqueue(frame);
                    _waitingBytes += frame.Capacity;
                    frame = null!;
                }
            }
        }

        if (connection is not null)
        {
            connection.Send(frame);
        }
        else if (frame is not null)
        {
            network.Tally.Dropped("down");
            frame.Release();
        }

        if (begin)
        {
            // Not on the caller's thread: a sink must not hear of a failure from within its own send.
            ThreadPool.UnsafeQueueUserWorkItem(static self => _ = self.ConnectAsync(), this, preferLocal: true);
        }
    }

    /// <inheritdoc/>
    public bool HasRoom(long bytes)
    {
        SocketConnection? connection;
        lock (_gate)
        {
            connection = _connection;
            if (connection is null)
            {
                // While it connects, what is sent waits in a bound of its own, or is dropped.
                return !_closed && bytes < options.RoomBytes;
            }
        }

        return connection.HasRoom(bytes);
    }

    /// <inheritdoc/>
    public void Close()
    {
        SocketConnection? connection;
        lock (_gate)
        {
            _closed = true;
            connection = _connection;
        }

        _ = connection?.CloseAsync("closed on this side");
    }

    /// <summary>The connection is gone; the next send makes a new one, at once if this one had worked.</summary>
    public void Down(SocketConnection connection)
    {
        lock (_gate)
        {
            _connection = null;
            if (connection.HeaderSeen)
            {
                _backoffMs = options.FirstBackoffMs;
                _retryAtMs = 0;
            }
            else
            {
                BackOff();
            }
        }
    }

    private async Task ConnectAsync()
    {
        (Socket? socket, string fault) = await OpenSocketAsync().ConfigureAwait(false);
        if (socket is null)
        {
            Failed(fault);
            return;
        }

        SocketConnection? connection = network.Connected(socket, link, address);
        if (connection is null)
        {
            socket.Dispose();
            Failed("this side has stopped");
            return;
        }

        bool closed;
        lock (_gate)
        {
            _connecting = false;
            closed = _closed;
            _connection = connection;

            // Inside the gate, so that what is sent from now on comes after what has waited.
            while (_waiting.TryDequeue(out FrameBuffer? frame))
            {
                connection.Send(frame);
            }

            _waitingBytes = 0;
        }

        network.Run(connection, this);
        if (closed)
        {
            _ = connection.CloseAsync("closed on this side");
        }
    }

    private async Task<(Socket? Socket, string Fault)> OpenSocketAsync()
    {
        if (!HostAddress.TryParse(address, out HostAddress parsed, out string? fault))
        {
            return (null, fault);
        }

        if (parsed.IsAnyPort)
        {
            return (null, $"'{address}' cannot be connected to: port 0 stands for a free port of a listener");
        }

        EndPoint endPoint = parsed.ToEndPoint();
        Socket? socket = null;
        using var timeout = new CancellationTokenSource(options.ConnectTimeoutMs);
        try
        {
            socket = HostAddress.NewSocket(endPoint);
            await socket.ConnectAsync(endPoint, timeout.Token).ConfigureAwait(false);

            // On loopback a socket that connects to a free port of the ephemeral range can meet itself. Nobody else is there.
            if (parsed.Path is not null || !Equals(socket.LocalEndPoint, socket.RemoteEndPoint))
            {
                return (socket, "");
            }

            fault = SocketFaults.DescribeConnect(parsed, SocketError.ConnectionRefused, options.ConnectTimeoutMs);
        }
        catch (OperationCanceledException)
        {
            fault = SocketFaults.DescribeConnect(parsed, SocketError.TimedOut, options.ConnectTimeoutMs);
        }
        catch (SocketException failed)
        {
            fault = SocketFaults.DescribeConnect(parsed, failed.SocketErrorCode, options.ConnectTimeoutMs);
        }

        socket?.Dispose();
        return (null, fault);
    }

    private void Failed(string reason)
    {
        FrameBuffer[] lost;
        lock (_gate)
        {
            _connecting = false;
            lost = [.. _waiting];
            _waiting.Clear();
            _waitingBytes = 0;
            BackOff();
        }

        foreach (FrameBuffer frame in lost)
        {
            network.Tally.Dropped("down");
            frame.Release();
        }

        network.CouldNotConnect(link, reason);
    }

    // Under the gate.
    private void BackOff()
    {
        _retryAtMs = Environment.TickCount64 + _backoffMs;
        _backoffMs = Math.Min(2 * _backoffMs, options.LastBackoffMs);
    }
}
