using System.Net.Sockets;
using Weir.Client;
using Weir.Keys;

namespace Weir.Host.Sockets;

/// <summary>The file of a Unix domain socket that is listened on: a dead server's is replaced, a living one's is not.</summary>
internal static class UnixListener
{
    // What opening a socket as a file fails with: no such device or address.
    private const int NotOpenedErrno = 6;

    /// <summary>Makes the file, for its owner only; nobody can connect before the socket listens.</summary>
    /// <exception cref="WeirException">The path cannot be used; the message names it and says what to do.</exception>
    public static void Bind(Socket listener, UnixDomainSocketEndPoint wanted)
    {
        string path = wanted.ToString();
        string address = HostAddress.Text(wanted);
        string folder = Path.GetDirectoryName(path)!;
        if (!Directory.Exists(folder))
        {
            throw Fault(address, $"there is no folder {folder}; make it first");
        }

        if (Path.Exists(path))
        {
            RemoveDead(path, wanted, address);
        }

        listener.Bind(wanted);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
    }

    /// <summary>Why a path cannot be listened on.</summary>
    public static string Describe(string address, SocketError error) => error switch
    {
        SocketError.AddressAlreadyInUse => $"cannot listen on {address}: another server has just begun to; choose another path",
        SocketError.AccessDenied => $"cannot listen on {address}: this user may not make files there; choose another folder",
        _ => $"cannot listen on {address} ({error})",
    };

    private static void RemoveDead(string path, UnixDomainSocketEndPoint endPoint, string address)
    {
        if (!IsSocket(path))
        {
            throw Fault(address, "there is something of that name which is no socket of this user; remove it or choose another path");
        }

        // Windows answers at once; elsewhere a server whose queue is full would keep this waiting.
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = OperatingSystem.IsWindows() };
        try
        {
            probe.Connect(endPoint);
        }
        catch (SocketException nobody) when (nobody.SocketErrorCode == SocketError.ConnectionRefused)
        {
            File.Delete(path);
            return;
        }
        catch (SocketException alive) when (alive.SocketErrorCode is SocketError.WouldBlock or SocketError.InProgress)
        {
            // Its queue of connections is full, so there is one.
        }

        throw Fault(address, "a server that is alive listens there; end it or choose another path");
    }

    // A file that is no socket would refuse a connection just as a dead server's socket does, and is not ours to delete.
    private static bool IsSocket(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return File.GetAttributes(path).HasFlag(FileAttributes.ReparsePoint);
        }

        try
        {
            using FileStream opened = new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            return false;
        }
        catch (IOException fault)
        {
            return fault.HResult == NotOpenedErrno;
        }
        catch (UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static WeirException Fault(string address, string reason) => new(Status.Conflict, $"cannot listen on {address}: {reason}", address);
}
