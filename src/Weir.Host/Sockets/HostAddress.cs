using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Weir.Host.Sockets;

/// <summary>
/// Where a node listens, as people write it: a host's name or IP address and a port (<c>127.0.0.1:4000</c>, <c>node7:4000</c>,
/// <c>[::1]:4000</c>), or the path of a Unix domain socket (<c>unix:/run/weir/1.sock</c>), which is reached from the same machine only.
/// </summary>
internal readonly record struct HostAddress(string Host, int Port)
{
    /// <summary>What the address of a Unix domain socket begins with.</summary>
    public const string UnixScheme = "unix:";

    /// <summary>The most bytes that a socket's path may have in UTF-8: what the system's address holds, less its final zero.</summary>
    public static readonly int MaxPathBytes = OperatingSystem.IsLinux() || OperatingSystem.IsWindows() ? 107 : 103;

    /// <summary>The path of a Unix domain socket; null for a host and port.</summary>
    public string? Path { get; private init; }

    /// <summary>Whether it stands for any free port, which makes sense for listening only.</summary>
    public bool IsAnyPort => Path is null && Port == 0;

    /// <summary>Reads an address; port 0 stands for any free one.</summary>
    /// <returns>False with a sentence that says what is wrong.</returns>
    public static bool TryParse(string? text, out HostAddress address, [NotNullWhen(false)] out string? fault)
    {
        address = default;
        if (text?.StartsWith(UnixScheme, StringComparison.Ordinal) == true)
        {
            address = new HostAddress("", 0) { Path = text[UnixScheme.Length..] };
            fault = PathFault(text, address.Path);
            return fault is null;
        }

        int colon = text?.LastIndexOf(':') ?? -1;
        if (text is null || colon <= 0)
        {
            fault = $"'{text}' is no address: write host:port, for instance 127.0.0.1:4000";
            return false;
        }

        string host = text[..colon];
        bool bracketed = host.StartsWith('[') && host.EndsWith(']');
        if ((host.Contains(':', StringComparison.Ordinal) && !bracketed) || host.Any(char.IsWhiteSpace) || (bracketed && host.Length < 4))
        {
            fault = $"'{text}' is no address: an IPv6 address goes in brackets, for instance [::1]:4000";
            return false;
        }

        if (!ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port))
        {
            fault = $"'{text}' is no address: the port must be a number from 0 to 65535";
            return false;
        }

        address = new HostAddress(bracketed ? host[1..^1] : host, port);
        fault = null;
        return true;
    }

    /// <summary>The address that a person would write for an end point.</summary>
    public static string Text(EndPoint endPoint) => endPoint is UnixDomainSocketEndPoint ? UnixScheme + endPoint : endPoint.ToString()!;

    /// <summary>An unconnected socket for an end point. For a name it is of both families, as the name's addresses may be.</summary>
    public static Socket NewSocket(EndPoint endPoint) => endPoint switch
    {
        UnixDomainSocketEndPoint => new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified),

        // The protocol is named: only so does the runtime let a restarted server have its port again at once.
        IPEndPoint => new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp),
        _ => new Socket(SocketType.Stream, ProtocolType.Tcp),
    };

    /// <summary>The end point: a path or an IP address as it stands; a name is left to the resolver. <c>localhost</c> is the IPv4 loopback.</summary>
    public EndPoint ToEndPoint()
    {
        if (Path is not null)
        {
            return new UnixDomainSocketEndPoint(Path);
        }

        if (IPAddress.TryParse(Host, out IPAddress? ip))
        {
            return new IPEndPoint(ip, Port);
        }

        return Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            ? new IPEndPoint(IPAddress.Loopback, Port)
            : new DnsEndPoint(Host, Port);
    }

    /// <inheritdoc/>
    public override string ToString() =>
        Path is not null ? UnixScheme + Path
        : Host?.Contains(':', StringComparison.Ordinal) == true ? $"[{Host}]:{Port}"
        : $"{Host}:{Port}";

    private static string? PathFault(string text, string path)
    {
        if (!System.IO.Path.IsPathFullyQualified(path) || path.Contains('\0', StringComparison.Ordinal))
        {
            return $"'{text}' is no address: the path of a socket begins at the root, since other processes look for it too; for instance unix:/run/weir/1.sock";
        }

        int bytes = Encoding.UTF8.GetByteCount(path);
        return bytes > MaxPathBytes
            ? $"'{text}' is no address: the path has {bytes} bytes, and the system allows a socket's {MaxPathBytes}; choose a shorter one"
            : null;
    }
}
