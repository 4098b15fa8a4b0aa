using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Weir.Tests.Chaos;

/// <summary>Where the servers of a chaos run live, and what can be done to the network between them.</summary>
internal abstract class ChaosNetwork : IDisposable
{
    /// <summary>What it is, for people.</summary>
    public abstract string Description { get; }

    /// <summary>Whether it can cut servers off from one another.</summary>
    public abstract bool CanCut { get; }

    /// <summary>The address that a server listens on.</summary>
    public abstract IPEndPoint ListenOf(int server);

    /// <summary>An address that this process can listen on, and the servers reach.</summary>
    public abstract IPEndPoint Near();

    /// <summary>What a command line must begin with to run where the server lives.</summary>
    public abstract string[] Prefix(int server);

    /// <summary>Drops what passes between a server and others.</summary>
    /// <param name="server">The server.</param>
    /// <param name="others">The other servers; null for everybody, clients too.</param>
    /// <param name="incoming">What comes to the server.</param>
    /// <param name="outgoing">What comes from it.</param>
    public abstract void Cut(int server, IReadOnlyList<int>? others, bool incoming, bool outgoing);

    /// <summary>Answers whatever comes to a server with a reset, which ends its connections.</summary>
    public abstract void ResetConnections(int server);

    /// <summary>Loses so many of a hundred packets that come to a server, and of those that it sends.</summary>
    public abstract void Lose(int server, int percent);

    /// <summary>Lets a server send so many kilobits a second and no more.</summary>
    public abstract void Narrow(int server, int kilobitsPerSecond);

    /// <summary>Ends all that was done to a server's network.</summary>
    public abstract void Mend(int server);

    public abstract void Dispose();

    /// <summary>Namespaces where this user may make them, else the loopback.</summary>
    public static ChaosNetwork Create(int servers, bool onLoopback)
    {
        if (onLoopback || !OperatingSystem.IsLinux() || Environment.UserName != "root")
        {
            return new LoopbackNetwork(servers);
        }

        try
        {
            return new NamespaceNetwork(servers);
        }
        catch (InvalidOperationException refused)
        {
            Console.WriteLine($"no network namespaces here ({refused.Message}): on loopback");
            return new LoopbackNetwork(servers);
        }
    }

    /// <summary>Runs a command of the system.</summary>
    /// <exception cref="InvalidOperationException">It failed, or there is no such command.</exception>
    public static string Run(string command, params string[] arguments)
    {
        try
        {
            var start = new ProcessStartInfo(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0
                ? output
                : throw new InvalidOperationException($"{command} {string.Join(' ', arguments)}: {errors.Result.Trim()}");
        }
        catch (System.ComponentModel.Win32Exception missing)
        {
            throw new InvalidOperationException($"{command}: {missing.Message}", missing);
        }
    }

    public static bool TryRun(string command, params string[] arguments)
    {
        try
        {
            Run(command, arguments);
            return true;
        }
        catch (InvalidOperationException)
        {
            return false;
        }
    }
}

/// <summary>All servers on the loopback: what cuts them off from others is a proxy's business.</summary>
internal sealed class LoopbackNetwork(int servers) : ChaosNetwork
{
    private readonly IPEndPoint[] _listen = [.. Enumerable.Range(0, servers).Select(_ => Free())];

    public override string Description => "loopback";

    public override bool CanCut => false;

    public override IPEndPoint ListenOf(int server) => _listen[server];

    public override IPEndPoint Near() => new(IPAddress.Loopback, 0);

    public override string[] Prefix(int server) => [];

    public override void Cut(int server, IReadOnlyList<int>? others, bool incoming, bool outgoing) => throw CannotCut();

    public override void ResetConnections(int server) => throw CannotCut();

    public override void Lose(int server, int percent) => throw CannotCut();

    public override void Narrow(int server, int kilobitsPerSecond) => throw CannotCut();

    public override void Mend(int server)
    {
    }

    public override void Dispose()
    {
    }

    private static NotSupportedException CannotCut() => new("the loopback does nothing to what passes it: CanCut says so, and no fault that needs it is played");

    private static IPEndPoint Free()
    {
        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        return (IPEndPoint)probe.LocalEndpoint;
    }
}

/// <summary>
/// A network namespace for each server, all on one bridge, whose own end is where this process and its clients are. Cuts are rules of the packet
/// filter in the server's namespace. Needs root, <c>ip</c> and <c>nft</c>.
/// </summary>
internal sealed class NamespaceNetwork : ChaosNetwork
{
    private const int Port = 7400;

    // Of this process alone, so that two runs on one machine do not meet.
    private readonly int _own = (Environment.ProcessId % 250) + 1;
    private readonly int _servers;

    public NamespaceNetwork(int servers)
    {
        _servers = servers;
        try
        {
            Run("nft", "--version");
            Run("ip", "link", "add", Bridge, "type", "bridge");
            Run("ip", "address", "add", $"{AddressOf(0)}/24", "dev", Bridge);
            Run("ip", "link", "set", Bridge, "up");
            for (int server = 0; server < servers; server++)
            {
                Join(server);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override string Description => $"network namespaces weir-{Text(_own)}-1 to {Text(_servers)}";

    public override bool CanCut => true;

    private string Bridge => $"weir{Text(_own)}";

    public override IPEndPoint ListenOf(int server) => new(IPAddress.Parse(AddressOf(server + 1)), Port);

    public override IPEndPoint Near() => new(IPAddress.Parse(AddressOf(0)), 0);

    public override string[] Prefix(int server) => ["ip", "netns", "exec", Space(server)];

    public override void Cut(int server, IReadOnlyList<int>? others, bool incoming, bool outgoing)
    {
        string them = others is null ? "" : $"{{ {string.Join(", ", others.Select(other => AddressOf(other + 1)))} }}";
        if (incoming)
        {
            Rule(server, $"add rule inet chaos in {(others is null ? "" : $"ip saddr {them} ")}drop");
        }

        if (outgoing)
        {
            Rule(server, $"add rule inet chaos out {(others is null ? "" : $"ip daddr {them} ")}drop");
        }
    }

    public override void ResetConnections(int server) => Rule(server, "add rule inet chaos in meta l4proto tcp reject with tcp reset");

    public override void Lose(int server, int percent)
    {
        Rule(server, $"add rule inet chaos in numgen random mod 100 < {Text(percent)} drop");
        Rule(server, $"add rule inet chaos out numgen random mod 100 < {Text(percent)} drop");
    }

    public override void Narrow(int server, int kilobitsPerSecond) => Run(
        "tc", "-n", Space(server), "qdisc", "add", "dev", FarEnd(server), "root", "tbf", "rate", $"{Text(kilobitsPerSecond)}kbit", "burst", "16kb", "latency", "400ms");

    public override void Mend(int server)
    {
        Rule(server, "flush table inet chaos");
        TryRun("tc", "-n", Space(server), "qdisc", "delete", "dev", FarEnd(server), "root");
    }

    public override void Dispose()
    {
        for (int server = 0; server < _servers; server++)
        {
            TryRun("ip", "netns", "delete", Space(server));
        }

        TryRun("ip", "link", "delete", Bridge);
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private string Space(int server) => $"weir-{Text(_own)}-{Text(server + 1)}";

    private string FarEnd(int server) => $"wc{Text(_own)}f{Text(server + 1)}";

    private string AddressOf(int host) => $"10.213.{Text(_own)}.{Text(host + 1)}";

    private void Join(int server)
    {
        string near = $"wc{Text(_own)}n{Text(server + 1)}", far = FarEnd(server);
        Run("ip", "netns", "add", Space(server));
        Run("ip", "link", "add", near, "type", "veth", "peer", "name", far);
        Run("ip", "link", "set", near, "master", Bridge, "up");
        Run("ip", "link", "set", far, "netns", Space(server));
        Run("ip", "-n", Space(server), "address", "add", $"{AddressOf(server + 1)}/24", "dev", far);
        Run("ip", "-n", Space(server), "link", "set", far, "up");
        Run("ip", "-n", Space(server), "link", "set", "lo", "up");
        Rule(server, "add table inet chaos");
        Rule(server, "add chain inet chaos in { type filter hook input priority 0; }");
        Rule(server, "add chain inet chaos out { type filter hook output priority 0; }");
    }

    private void Rule(int server, string rule) => Run("ip", "netns", "exec", Space(server), "nft", rule);
}
