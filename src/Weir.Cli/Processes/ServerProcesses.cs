using System.Globalization;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Weir.Cli.Commands;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Processes;

/// <summary>Which server processes to start.</summary>
/// <param name="Servers">How many.</param>
/// <param name="SegmentBits">2^this segments.</param>
/// <param name="Transport">What they are reached by.</param>
/// <param name="Replicas">How many of them hold a segment beside the one that leads it.</param>
/// <param name="RegisterPeers">How many of them keep the cluster's map: 1 (in its memory), 3 or 5; 0 where an etcd does.</param>
/// <param name="EtcdRegister">The etcd that keeps it; null for none.</param>
/// <param name="Journal">The folder of their journals, and of the map that those that keep it keep; null for none.</param>
internal sealed record ServerSet(
    int Servers, int SegmentBits, Transport Transport, int Replicas = 0, int RegisterPeers = 1, string? EtcdRegister = null, string? Journal = null)
{
    /// <summary>The folder of the servers' plug-ins; null for none.</summary>
    public string? PlugIns { get; init; }

    /// <summary>How long a function of those may take, in milliseconds; null for the default.</summary>
    public long? FunctionBudgetMs { get; init; }

    /// <summary>As many as any one server's death leaves a majority of, where there are servers for it.</summary>
    public static int PeersFor(int servers, int replicas) => replicas > 0 && servers >= 3 ? 3 : 1;
}

/// <summary>Servers that are processes of their own, started for one run.</summary>
internal sealed class ServerProcesses : ICluster
{
    private readonly List<(ToolProcess Process, string Address)> _servers = [];
    private readonly HashSet<int> _killed = [];
    private readonly ToolConsole _console;
    private readonly ILoggerFactory _loggers;
    private readonly ListenAddresses _listen;
    private readonly TaskCompletionSource<string> _died = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _stopping;

    private readonly ServerSet _set;
    private readonly DirectoryInfo? _records;
    private readonly ClusterFolder? _folder;
    private string[] _all = [];
    private int _deaths;

    private ServerProcesses(ServerSet set, ToolConsole console, ILoggerFactory loggers)
    {
        (_set, _console, _loggers) = (set, console, loggers);
        _listen = new ListenAddresses(set.Transport);
        _folder = set.Journal is null ? null : ClusterFolder.Open(set.Journal, set, _listen);
        _records = _folder is null && set.RegisterPeers > 1 ? Directory.CreateTempSubdirectory("weir-register-") : null;
        Over = set.Transport == Transport.Unix ? " over Unix sockets" : "";
    }

    public string Description => $"{(_servers.Count == 1 ? "1 server process" : $"{_servers.Count} server processes")} ({string.Join(", ", _servers.Select(s => s.Process.Id))}){Over}";

    public IReadOnlyList<string> Addresses => [.. _servers.Select(server => server.Address)];

    /// <summary>The servers that keep the cluster's map, or the etcd.</summary>
    public IReadOnlyList<string> Register => _set.EtcdRegister is { } etcd ? [etcd] : [.. _servers.Take(_set.RegisterPeers).Select(server => server.Address)];

    /// <summary>The processes and their addresses, in the order of their start.</summary>
    public IReadOnlyList<(int Pid, string Address)> Servers => [.. _servers.Select(server => (server.Process.Id, server.Address))];

    public Task<string> Died => _died.Task;

    private string Over { get; }

    /// <summary>Starts the servers: the first, then the others, which join it.</summary>
    /// <exception cref="ToolException">One did not come to serve; the message is its own.</exception>
    public static async Task<ServerProcesses> StartAsync(ServerSet set, ToolConsole console, ILoggerFactory loggers, CancellationToken cancellation)
    {
        var cluster = new ServerProcesses(set, console, loggers);
        try
        {
            await cluster.StartAsync(cancellation);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    public Task<WeirClient> ConnectAsync(Filters filters, CancellationToken cancellation, string @namespace = "") =>
        ClusterConnection.OpenAsync(Addresses, filters, _loggers, cancellation, @namespace);

    /// <summary>Kills a server, which gets no chance to say so to anybody (SIGKILL). Its end is not complained of.</summary>
    public void Kill(int server)
    {
        ToolProcess process = _servers[server].Process;
        lock (_killed)
        {
            _killed.Add(process.Id);
        }

        process.Kill();
    }

    /// <summary>
    /// Starts a server where one was killed: it remembers no row, but where that one kept the register's records it finds them and listens at the
    /// same address.
    /// </summary>
    /// <exception cref="ToolException">It did not come to serve; the message is its own.</exception>
    public async Task ReplaceAsync(int server, CancellationToken cancellation)
    {
        (ToolProcess killed, string address) = _servers[server];
        await killed.DisposeAsync();
        bool isPeer = _records is not null && server < _set.RegisterPeers;
        _servers[server] = (
            Launch(
                isPeer ? address : _listen.Next(),
                ["--join", _servers[server == 0 ? 1 : 0].Address, .. _all, .. isPeer ? AcceptorOf(_records!, server) : []]),
            address);
        await AwaitServingAsync(server, cancellation);
    }

    /// <summary>Starts one more server, which joins the others under an id that the caller chose.</summary>
    /// <exception cref="ToolException">It did not come to serve; the message is its own.</exception>
    public async Task AddAsync(ulong id, CancellationToken cancellation)
    {
        Start(_listen.Next(), ["--join", _servers[0].Address, .. _all, "--node", id.ToString("x16", CultureInfo.InvariantCulture)]);
        await AwaitServingAsync(_servers.Count - 1, cancellation);
    }

    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        await Task.WhenAll(_servers.Select(server => server.Process.DisposeAsync().AsTask()));
        _listen.Dispose();
        _records?.Delete(recursive: true);
    }

    private async Task StartAsync(CancellationToken cancellation)
    {
        string[] first =
        [
            "--segments", (1 << _set.SegmentBits).ToString(CultureInfo.InvariantCulture), "--replicas", _set.Replicas.ToString(CultureInfo.InvariantCulture),
        ];
        _all = ["--failure-timeout", ServeCommand.FailureTimeoutMs(_set.Replicas).ToString(CultureInfo.InvariantCulture)];
        _all = _set.EtcdRegister is { } etcd ? [.. _all, "--register", etcd] : _all;
        _all = _set.PlugIns is { } plugIns ? [.. _all, "--plug-ins", plugIns] : _all;
        _all = _set.FunctionBudgetMs is { } budget ? [.. _all, "--function-budget", budget.ToString(CultureInfo.InvariantCulture)] : _all;
        if (_folder is { } again)
        {
            await StartAgainAsync(again, first, cancellation);
            return;
        }

        if (_records is not { } records)
        {
            Start(_listen.Next(), [.. first, .. _all]);
            await AwaitServingAsync(0, cancellation);
        }
        else
        {
            // Those that keep the map start together: the first serves once a majority of them does.
            string[] addresses = [.. Enumerable.Range(0, _set.RegisterPeers).Select(_ => _listen.NextFixed())];
            _all = [.. _all, "--cluster-number", BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)).ToString("x16", CultureInfo.InvariantCulture), "--acceptors", string.Join(',', addresses)];
            for (int peer = 0; peer < addresses.Length; peer++)
            {
                Start(addresses[peer], [.. peer == 0 ? first : ["--join", addresses[0]], .. _all, .. AcceptorOf(records, peer), "--acceptor-start", "first"]);
            }

            await AwaitServingFromAsync(0, cancellation);
        }

        int started = _servers.Count;
        for (int server = started; server < _set.Servers; server++)
        {
            Start(_listen.Next(), ["--join", _servers[0].Address, .. _all]);
        }

        await AwaitServingFromAsync(started, cancellation);
    }

    /// <summary>All together: each knows where the others are, and comes back with its journal where it has one.</summary>
    private async Task StartAgainAsync(ClusterFolder folder, string[] first, CancellationToken cancellation)
    {
        string[] addresses = folder.Cluster.Addresses;
        _all = _set.EtcdRegister is not null ? _all : [.. _all, "--cluster-number", folder.Cluster.Number, "--acceptors", string.Join(',', addresses.Take(_set.RegisterPeers))];
        for (int server = 0; server < addresses.Length; server++)
        {
            string[] own = [.. _all, "--journal", folder.JournalOf(server)];
            if (_set.EtcdRegister is null && server < _set.RegisterPeers)
            {
                own = [.. own, "--acceptor-folder", folder.RegisterOf(server), "--acceptor-start", folder.StartOf(server)];
            }

            Start(addresses[server], [.. server == 0 ? first : ["--join", addresses[0]], .. own]);
        }

        await AwaitServingFromAsync(0, cancellation);
    }

    private static string[] AcceptorOf(DirectoryInfo records, int peer) =>
        ["--acceptor-folder", records.CreateSubdirectory((peer + 1).ToString(CultureInfo.InvariantCulture)).FullName];

    private ToolProcess Launch(string listen, string[] arguments) => ToolProcess.Start(Log, ["serve", "--with-parent", "--listen", listen, .. arguments]);

    private void Start(string listen, string[] arguments) => _servers.Add((Launch(listen, arguments), ""));

    private async Task AwaitServingFromAsync(int first, CancellationToken cancellation)
    {
        for (int server = first; server < _servers.Count; server++)
        {
            await AwaitServingAsync(server, cancellation);
        }
    }

    private async Task AwaitServingAsync(int server, CancellationToken cancellation)
    {
        ToolProcess process = _servers[server].Process;
        string? line = await process.Output.ReadLineAsync(cancellation);
        if (line is null || !line.StartsWith(ServeCommand.ServingAt, StringComparison.Ordinal))
        {
            int code = await process.Exited;
            throw new ToolException(process.Complaint ?? $"a server process ended with exit code {code} before it served");
        }

        _servers[server] = (process, line[ServeCommand.ServingAt.Length..]);
        _ = WatchAsync(process, _servers[server].Address);
    }

    private async Task WatchAsync(ToolProcess process, string address)
    {
        await process.Exited;
        bool isKilled;
        lock (_killed)
        {
            isKilled = _killed.Contains(process.Id);
        }

        if (!_stopping && !isKilled)
        {
            string reason = process.Complaint is { } complaint ? $": {complaint}" : "";
            if (_set.Replicas > 0 && Interlocked.Increment(ref _deaths) < _servers.Count)
            {
                _console.Error.WriteLine($"server process {process.Id} at {address} died; others hold what it held{reason}");
                return;
            }

            _died.TrySetResult($"server process {process.Id} at {address} died, and {(_set.Journal is null ? "the rows that it held are lost" : "what it held is in its journal: start the cluster again with the same folder")}{reason}");
        }
    }

    private void Log(string line) => _console.Error.WriteLine(line);
}
