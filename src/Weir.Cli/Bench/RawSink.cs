using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Weir.Host.Sockets;

namespace Weir.Cli.Bench;

/// <summary>
/// The other end of a <see cref="RawLink"/>: it reads what a request announces, looks at none of it, and answers with 8 bytes. A request
/// is 8 bytes that hold the number of bytes that follow, and these. Blocking calls and a thread a connection, which wakes the fewest threads.
/// </summary>
internal sealed class RawSink : IDisposable
{
    /// <summary>Bytes of a request's announcement, of an answer, and so of a ping either way.</summary>
    public const int HeaderBytes = 8;

    /// <summary>The most bytes that one call of the socket reads or writes: a frame's most.</summary>
    public const int PieceBytes = 1 << 20;

    private readonly Socket _listener;

    /// <summary>Listens on an address.</summary>
    public RawSink(string address)
    {
        _listener = NewSocket(address, out EndPoint endPoint);
        _listener.Bind(endPoint);
        _listener.Listen();
        Start(Accept);
    }

    /// <summary>Where it listens.</summary>
    public string Address => HostAddress.Text(_listener.LocalEndPoint!);

    /// <summary>A socket of the kind that an address asks for, not connected yet.</summary>
    /// <exception cref="ToolException">It is no address.</exception>
    public static Socket NewSocket(string address, out EndPoint endPoint)
    {
        if (!HostAddress.TryParse(address, out HostAddress parsed, out string? fault))
        {
            throw new ToolException(fault);
        }

        endPoint = parsed.ToEndPoint();
        Socket socket = HostAddress.NewSocket(endPoint);
        Tune(socket);
        return socket;
    }

    /// <summary>Reads until the span is full; false where the peer has closed the connection.</summary>
    public static bool TryFill(Socket socket, Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int count = socket.Receive(bytes);
            if (count == 0)
            {
                return false;
            }

            bytes = bytes[count..];
        }

        return true;
    }

    /// <summary>Ends the listening; connections end when their peers do.</summary>
    public void Dispose() => _listener.Dispose();

    // As the product's own connections are.
    private static void Tune(Socket socket)
    {
        if (socket.AddressFamily != AddressFamily.Unix)
        {
            socket.NoDelay = true;
        }
    }

    private static void Start(Action work) => new Thread(() =>
    {
        try
        {
            work();
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // The peer is gone or the listening has ended, and with it the work.
        }
    })
    {
        IsBackground = true,
    }.Start();

    private static void Serve(Socket socket)
    {
        using Socket owned = socket;
        Tune(socket);
        byte[] header = new byte[HeaderBytes];
        byte[] piece = new byte[PieceBytes];
        while (TryFill(socket, header))
        {
            long left = BinaryPrimitives.ReadInt64LittleEndian(header);
            while (left > 0)
            {
                int count = socket.Receive(piece.AsSpan(0, (int)Math.Min(left, PieceBytes)));
                if (count == 0)
                {
                    return;
                }

                left -= count;
            }

            socket.Send(header);
        }
    }

    private void Accept()
    {
        while (true)
        {
            Socket socket = _listener.Accept();
            Start(() => Serve(socket));
        }
    }
}
