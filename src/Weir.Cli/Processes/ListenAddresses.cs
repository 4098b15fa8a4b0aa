using System.Net;
using System.Net.Sockets;
using Weir.Host.Sockets;

namespace Weir.Cli.Processes;

/// <summary>
/// Where the child processes of a run listen: on free ports of the loopback, or on sockets in a folder of this user's own, which goes with
/// this object. One caller at a time.
/// </summary>
internal sealed class ListenAddresses(Transport transport) : IDisposable
{
    private readonly string? _folder = transport == Transport.Unix ? Directory.CreateTempSubdirectory("weir-").FullName : null;
    private readonly HashSet<string> _given = [];
    private int _last;

    /// <summary>An address nobody listens on yet. A temporary folder with a long path may give one that is too long: whoever listens says so.</summary>
    public string Next() => _folder is null ? "127.0.0.1:0" : HostAddress.UnixScheme + Path.Combine(_folder, $"{++_last}.sock");

    /// <summary>An address that is known before anybody listens on it. Another program may take its port first: whoever listens says so.</summary>
    public string NextFixed()
    {
        if (_folder is not null)
        {
            return Next();
        }

        // A port that was let go may be handed out again at once, and two servers of one list must not have the same.
        while (true)
        {
            using var probe = new TcpListener(IPAddress.Loopback, 0);
            probe.Start();
            if (probe.LocalEndpoint.ToString() is { } address && _given.Add(address))
            {
                return address;
            }
        }
    }

    /// <summary>To be called once the processes have ended.</summary>
    public void Dispose()
    {
        if (_folder is not null)
        {
            Directory.Delete(_folder, recursive: true);
        }
    }
}
