using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

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

    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    /// <summary>Listens on a free port that is reached from this machine only.</summary>
    public RawSink()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        Start(Accept);
    }

    /// <summary>Where it listens.</summary>
    public string Address => _listener.LocalEndPoint!.ToString()!;

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
        socket.NoDelay = true;
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
