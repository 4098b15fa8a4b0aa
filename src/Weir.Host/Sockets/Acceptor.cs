using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Weir.Client;
using Weir.Keys;

namespace Weir.Host.Sockets;

/// <summary>Accepts connections on one address until it is stopped.</summary>
internal sealed class Acceptor : IAsyncDisposable
{
    // While the process is out of files or memory, accepting again at once would only spin.
    private const int PauseMs = 100;
    private const int RefusalsLogMs = 1_000;

    private readonly Socket _listener;
    private readonly SocketNetwork _network;
    private readonly ILogger _log;
    private readonly int _maxConnections;
    private readonly Task _accepting;
    private long _refused;
    private long _refusalsLoggedMs;

    /// <exception cref="WeirException">The address cannot be listened on; the message names it and says what to do.</exception>
    public Acceptor(SocketNetwork network, EndPoint wanted, SocketOptions options, int maxConnections, ILogger log)
    {
        _network = network;
        _log = log;
        _maxConnections = maxConnections;
        _listener = HostAddress.NewSocket(wanted);
        try
        {
            Bind(wanted);
            _listener.Listen(options.Backlog);
        }
        catch (SocketException fault)
        {
            _listener.Dispose();
            string address = HostAddress.Text(wanted);
            string reason = wanted is UnixDomainSocketEndPoint
                ? UnixListener.Describe(address, fault.SocketErrorCode)
                : SocketFaults.DescribeListen(address, fault.SocketErrorCode);
            throw new WeirException(Status.Conflict, reason, address);
        }
        catch (WeirException)
        {
            _listener.Dispose();
            throw;
        }

        Address = HostAddress.Text(_listener.LocalEndPoint!);
        Log.Listening(_log, Address);
        _accepting = AcceptAsync();
    }

    /// <summary>The address in use, with the port that the system chose if 0 was asked for.</summary>
    public string Address { get; }

    /// <summary>Ends the listening; the file of a Unix domain socket goes with it.</summary>
    public async ValueTask DisposeAsync()
    {
        _listener.Dispose();
        await _accepting.ConfigureAwait(false);
        Log.StoppedListening(_log, Address);
    }

    private void Bind(EndPoint wanted)
    {
        if (wanted is UnixDomainSocketEndPoint path)
        {
            UnixListener.Bind(_listener, path);
            return;
        }

        if (wanted is IPEndPoint { Address: var ip } && ip.Equals(IPAddress.IPv6Any))
        {
            _listener.DualMode = true;
        }

        _listener.Bind(wanted);
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            try
            {
                Socket socket = await _listener.AcceptAsync().ConfigureAwait(false);
                Take(socket);
            }
            catch (ObjectDisposedException)
            {
                return;
            }
            catch (SocketException stopped) when (stopped.SocketErrorCode == SocketError.OperationAborted)
            {
                return;
            }
            catch (SocketException fault)
            {
                Log.AcceptFailed(_log, Address, fault.Message, PauseMs);
                await Task.Delay(PauseMs).ConfigureAwait(false);
            }
        }
    }

    private void Take(Socket socket)
    {
        try
        {
            if (!_network.TryAccept(socket))
            {
                socket.Dispose();
                Refused();
            }
        }
        catch (SocketException)
        {
            // The peer was gone before its connection was looked at; the next one is not.
            socket.Dispose();
        }
    }

    // One line a second at most: a crowd that is turned away must not fill a disk.
    private void Refused()
    {
        _refused++;
        long nowMs = Environment.TickCount64;
        if (nowMs - _refusalsLoggedMs >= RefusalsLogMs)
        {
            Log.TooManyConnections(_log, Address, _refused, _maxConnections);
            _refused = 0;
            _refusalsLoggedMs = nowMs;
        }
    }
}
