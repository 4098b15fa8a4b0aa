using System.Net.Sockets;

namespace Weir.Host.Sockets;

/// <summary>Socket errors in words that a person can act on.</summary>
internal static class SocketFaults
{
    // A peer whose machine is gone without a word is found out by TCP itself in 30 + 3 x 5 seconds, also where no frame is due.
    private const int KeepAliveIdleSeconds = 30;
    private const int KeepAliveIntervalSeconds = 5;
    private const int KeepAliveTries = 3;

    /// <summary>Has TCP look after an idle connection.</summary>
    public static void KeepAlive(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, KeepAliveIdleSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, KeepAliveIntervalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, KeepAliveTries);
    }

    /// <summary>Why an open connection broke.</summary>
    public static string Describe(SocketError error) => error switch
    {
        SocketError.ConnectionReset => "reset by the peer",
        SocketError.ConnectionAborted or SocketError.OperationAborted => "closed on this side",
        SocketError.Shutdown => "closed by the peer",
        SocketError.TimedOut => "the peer does not answer any more",
        SocketError.NetworkDown or SocketError.NetworkUnreachable or SocketError.HostUnreachable => "the network to the peer is gone",
        _ => $"broken ({error})",
    };

    /// <summary>Why a connection could not be opened.</summary>
    public static string DescribeConnect(HostAddress address, SocketError error, int timeoutMs) => error switch
    {
        SocketError.AddressNotAvailable when address.Path is not null => $"there is no {address}: no server listens there",
        SocketError.ConnectionRefused when address.Path is not null => $"{address} refused the connection: the server that made it has died",
        SocketError.AccessDenied when address.Path is not null => $"no connection to {address}: it is for the user who started the server",
        SocketError.WouldBlock when address.Path is not null => $"no connection to {address}: too many wait there to be accepted",
        SocketError.ConnectionRefused => $"{address} refused the connection: nobody listens there",
        SocketError.HostNotFound or SocketError.NoData or SocketError.TryAgain => $"the host name in {address} is not known",
        SocketError.TimedOut => $"no answer from {address} in {timeoutMs / 1000.0:0.###} s",
        SocketError.NetworkDown or SocketError.NetworkUnreachable or SocketError.HostUnreachable => $"there is no route to {address}",
        SocketError.TooManyOpenSockets => $"no connection to {address}: this process has too many open files",
        _ => $"no connection to {address} ({error})",
    };

    /// <summary>Why an address cannot be listened on.</summary>
    public static string DescribeListen(string address, SocketError error) => error switch
    {
        SocketError.AddressAlreadyInUse =>
            $"cannot listen on {address}: the port is in use; end the process that uses it or choose another port (0 picks a free one)",
        SocketError.AddressNotAvailable =>
            $"cannot listen on {address}: this machine has no such address; choose one of its own, or 0.0.0.0 for all of them",
        SocketError.AccessDenied => $"cannot listen on {address}: this user may not use the port; choose one above 1023",
        _ => $"cannot listen on {address} ({error})",
    };
}
