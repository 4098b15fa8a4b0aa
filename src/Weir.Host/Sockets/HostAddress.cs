using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;

namespace Weir.Host.Sockets;

/// <summary>A host's name or IP address and a port, as people write them: <c>127.0.0.1:4000</c>, <c>node7:4000</c>, <c>[::1]:4000</c>.</summary>
internal readonly record struct HostAddress(string Host, int Port)
{
    /// <summary>Reads an address; port 0 stands for any free one and makes sense for listening only.</summary>
    /// <returns>False with a sentence that says what is wrong.</returns>
    public static bool TryParse(string? text, out HostAddress address, [NotNullWhen(false)] out string? fault)
    {
        address = default;
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

    /// <summary>The end point: an IP address as it stands; a name is left to the resolver. <c>localhost</c> is the IPv4 loopback.</summary>
    public EndPoint ToEndPoint()
    {
        if (IPAddress.TryParse(Host, out IPAddress? ip))
        {
            return new IPEndPoint(ip, Port);
        }

        return Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
            ? new IPEndPoint(IPAddress.Loopback, Port)
            : new DnsEndPoint(Host, Port);
    }

    /// <inheritdoc/>
    public override string ToString() => Host?.Contains(':', StringComparison.Ordinal) == true ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
