using System.Net;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Client;
using Weir.Functions;
using Weir.Host.Disk;
using Weir.Host.Etcd;
using Weir.Host.Loops;
using Weir.Host.Memory;
using Weir.Host.PlugIns;
using Weir.Host.Sockets;
using Weir.Keys;
using Weir.Placement;
using Weir.Register;
using Weir.Server;

namespace Weir.Host;

/// <summary>How a server node is started. Immutable.</summary>
public sealed record ServeOptions
{
    /// <summary>
    /// Where it listens: <c>host:port</c>, or <c>unix:/path/to.sock</c> for a Unix domain socket, which this user's processes on this machine
    /// reach. Default 127.0.0.1:0, loopback and a free port: reach from outside is said aloud.
    /// </summary>
    public string Listen { get; init; } = "127.0.0.1:0";

    /// <summary>
    /// Where others reach it, where that is not where it listens: behind a router, or listening on every interface (0.0.0.0). Port 0 stands for the
    /// one listened on. Null, the default: as <see cref="Listen"/> says.
    /// </summary>
    public string? Advertise { get; init; }

    /// <summary>A member of the cluster to join; null starts a new cluster.</summary>
    public string? Join { get; init; }

    /// <summary>Bytes of memory for rows, state and index; beyond, pushes of new keys are answered Full. Default: no limit.</summary>
    public long MemoryBytes { get; init; } = 1L << 40;

    /// <summary>2^this slices of the key space, 6 to 17; only the first node's counts. Default 10: enough for ten nodes (100 a node).</summary>
    public int SegmentBits { get; init; } = 10;

    /// <summary>
    /// How many servers hold a segment beside the one that leads it, 0 to 7; only the first node's counts. Default 0: a server that is lost takes
    /// the only copy of its rows along. With k of them, any k may be lost and nothing of what was acknowledged is.
    /// </summary>
    public int Replicas { get; init; }

    /// <summary>The failure domain; empty means that the node is its own.</summary>
    public string Zone { get; init; } = "";

    /// <summary>How long to wait for the cluster to admit the node, in milliseconds. Default 10 s.</summary>
    public long JoinMs { get; init; } = 10_000;

    /// <summary>
    /// The acceptors of the register that holds the cluster's map. Null, the default: the first server hosts the only one, in its memory, and the
    /// cluster ends with it.
    /// </summary>
    public RegisterOptions? Register { get; init; }

    /// <summary>
    /// An etcd, 3.4 or later, that keeps the cluster's map instead of acceptors: <c>etcd://host:port[,host:port...]/prefix</c>, its members and what
    /// this cluster's two keys begin with; the same prefix at every server, and no other cluster's. Null, the default, for none. A server
    /// then needs no <see cref="Join"/>: it reads in etcd who decides the map, and begins a cluster only where the keys are not there.
    /// </summary>
    public string? EtcdRegister { get; init; }

    /// <summary>
    /// Silence after which a server counts as gone, in milliseconds, 500 to 60,000, the same at every server. Default 5,000: while a server holds
    /// the only copy of its rows a false alarm costs the run. The manager's lease lasts three fifths of it: with 500 another server decides 0.3 s
    /// after the manager's death.
    /// </summary>
    public long NodeTimeoutMs { get; init; } = 5000;

    /// <summary>
    /// A folder for this server's journal, its own and empty at its first start; every server of a cluster with durable tables needs one. A server that is
    /// started again on its journal comes back under its id, with what it held of durable tables. Needs <see cref="Register"/> or
    /// <see cref="EtcdRegister"/>: without the map nobody knows what the rows belong to. Null, the default, for none.
    /// </summary>
    public string? Journal { get; init; }

    /// <summary>
    /// Functions of users that clients may call (<see cref="IServerFunction"/>); the same at every server, for any may lead a segment. <see cref="PlugInFolder"/> loads them from a folder. Default: none.
    /// </summary>
    public IReadOnlyList<IServerFunction> Functions { get; init; } = [];

    /// <summary>
    /// How long a function may take for the rows of one segment, in milliseconds, 1 to a quarter of <see cref="NodeTimeoutMs"/>: meanwhile the server does nothing else, and one that is deaf for longer counts as gone. A call that needs more fails. One that
    /// has not come back after ten times as long and a second more, at most three quarters of <see cref="NodeTimeoutMs"/>, ends the server. Default 100: millions of floats.
    /// </summary>
    public long FunctionBudgetMs { get; init; } = 100;

    /// <summary>Bounds and times of the process.</summary>
    public HostOptions Host { get; init; } = HostOptions.Default;

    /// <summary>The node's id, for a benchmark that has to know beforehand what its place on the ring is. Null, the default: a random one.</summary>
    internal ulong? Node { get; init; }

    /// <summary>The smallest <see cref="SegmentBits"/> that gives a server 100 segments, so that they can be shared out evenly.</summary>
    /// <param name="servers">Servers of the largest size expected, at least 1.</param>
    /// <returns>6 to 17.</returns>
    public static int SegmentBitsFor(int servers) => ClusterMap.SegmentBitsFor(servers);
}

/// <summary>
/// One server node of a cluster, over sockets, in this process. When it stops, what it held is gone, but for durable tables where it has a journal.
/// </summary>
public sealed class WeirServer : IAsyncDisposable
{
    // One that comes back may have much to read, and to wait for the others.
    private const long ComeBackMs = 60_000;

    private readonly SocketNetwork _network;
    private readonly NodeLoop _loop;
    private readonly ServerNode _node;

    private readonly RecordFolder? _records;
    private readonly JournalFolder? _journal;
    private readonly EtcdRegister? _etcd;
    private readonly FunctionWatch? _watch;

    private WeirServer(
        SocketNetwork network, NodeLoop loop, ServerNode node, RecordFolder? records, JournalFolder? journal, EtcdRegister? etcd, FunctionWatch? watch, string address, ulong id)
    {
        (_network, _loop, _node, _records, _journal, _etcd, _watch, Address) = (network, loop, node, records, journal, etcd, watch, address);
        Id = id.ToString("x16");
    }

    /// <summary>Where it is reached: what it advertises, or listens on.</summary>
    public string Address { get; }

    /// <summary>Its id in the map.</summary>
    public string Id { get; }

    /// <summary>
    /// Ends when the node was stopped; fails with the reason where it stopped by itself. Where a function of a user did not come back, the thread that it is on and the server's memory stay lost to the process: it had better end.
    /// </summary>
    public Task Completion => _loop.Completion;

    /// <summary>Starts a node and waits until it serves: at once for a first node, when it is a member for one that joins.</summary>
    /// <exception cref="WeirException">The address cannot be listened on, or the cluster did not admit the node in time; the message says what
    /// to do.</exception>
    /// <exception cref="ArgumentException">An option is out of range; the message lists all faults.</exception>
    /// <exception cref="IOException">The acceptor's folder or the journal's belongs to somebody else, is in use, or is damaged; the acceptor's is not as
    /// <see cref="RegisterOptions.Start"/> says.</exception>
    public static async Task<WeirServer> StartAsync(ServeOptions options, ILoggerFactory? loggers = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Host.Validate();
        var faults = new OptionFaults();
        ArgumentNullException.ThrowIfNull(options.Functions);
        faults.Range(nameof(options.FunctionBudgetMs), options.FunctionBudgetMs, 1, options.NodeTimeoutMs / 4);
        faults.Range(nameof(options.NodeTimeoutMs), options.NodeTimeoutMs, ServerLimits.FastFailover.NodeTimeoutMs, 60_000);
        faults.That(
            options.Register is null || options.EtcdRegister is null,
            $"{nameof(options.Register)} and {nameof(options.EtcdRegister)} are both given: either servers of the cluster keep its map, or etcd does");
        faults.That(
            options.Journal is null || options.Register is not null || options.EtcdRegister is not null,
            $"{nameof(options.Journal)} needs {nameof(options.Register)} or {nameof(options.EtcdRegister)}: without the cluster's map nobody knows what a journal's rows belong to");
        faults.That(
            options.Register is not { Start: AcceptorStart.Replacement, Acceptors.Count: 1 },
            $"{nameof(options.Register)}.{nameof(RegisterOptions.Start)} is {nameof(AcceptorStart.Replacement)}, and the acceptor is the only one: there is no other to learn from. {AcceptorReplacement.Advice(1)}");
        EtcdAddress? etcdAddress = null;
        if (options.EtcdRegister is not null)
        {
            faults.That(EtcdAddress.TryParse(options.EtcdRegister, out etcdAddress, out string? etcdFault), $"{nameof(options.EtcdRegister)}: {etcdFault}");
        }

        faults.ThrowIfAny();
        ILogger log = (loggers ?? NullLoggerFactory.Instance).CreateLogger("Weir.Server");
        if (!HostAddress.TryParse(options.Listen, out HostAddress parsed, out string? fault))
        {
            throw new ArgumentException(fault, nameof(options));
        }

        EndPoint listen = parsed.ToEndPoint();
        if (listen is DnsEndPoint name)
        {
            listen = new IPEndPoint((await Dns.GetHostAddressesAsync(name.Host, cancellation))[0], name.Port);
        }

        if (options.Advertise is { } advertise && !HostAddress.TryParse(advertise, out _, out string? advertiseFault))
        {
            throw new ArgumentException(advertiseFault, nameof(options));
        }

        var hosted = new HostedNode(log, options.Listen);
        var timers = new HostTimers();
        var loop = new NodeLoop(hosted, timers, options.Host, log, $"server {options.Listen}");
        var network = new SocketNetwork(options.Host.Sockets, log);
        network.Attach(loop);
        ServerNode? node = null;
        RecordFolder? records = null;
        JournalFolder? journal = null;
        FunctionWatch? watch = null;
        EtcdRegister? etcd = etcdAddress is null ? null : new EtcdRegister(etcdAddress, EtcdOptions.Default, log, loop.Wake);
        try
        {
            string address = Advertised(options.Advertise, network.Listen(listen));
            AcceptorOptions? acceptor = null;
            if (options.Register is { Folder: { } folder } register)
            {
                ulong identity = AcceptorAt(register, address);
                records = RecordFolder.Open(folder, register.Cluster, identity, register.Acceptors.Count, register.Start, () => _ = loop.AskAsync(static _ => true));
                acceptor = new AcceptorOptions(records, identity, register.Start);
            }

            ulong cluster = options.Register?.Cluster ?? etcdAddress?.ClusterNumber ?? (options.Join is null ? BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1 : 0);
            ulong id = options.Node ?? (BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1);
            if (options.Journal is not null)
            {
                journal = JournalFolder.Open(options.Journal, cluster, id, loop.Wake);
                id = journal.Node;
            }

            watch = FunctionWatch.Over(options.Functions, options.FunctionBudgetMs, options.NodeTimeoutMs, network, stuck =>
            {
                // The peers see their connections end, and need not wait for its silence.
                loop.GiveUp(stuck);
                _ = network.DisposeAsync().AsTask();
            });
            node = new ServerNode(
                new ServerOptions
                {
                    Node = id,
                    Incarnation = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1,
                    Cluster = cluster,
                    Journal = journal,
                    Acceptors = options.Register?.Acceptors ?? [],
                    Acceptor = acceptor,
                    Limits = LimitsFor(options.NodeTimeoutMs) with { FunctionBudgetMs = options.FunctionBudgetMs },
                    Functions = options.Functions,
                    FunctionTimer = (IFunctionTimer?)watch ?? UntimedFunctions.Instance,
                    Address = address,
                    Join = options.Join,
                    SegmentBits = options.SegmentBits,
                    Replicas = options.Replicas,
                    MemoryLimitBytes = options.MemoryBytes,
                    Memory = new HugePageMemory(),
                    Zone = options.Zone,
                    ProcessId = (uint)Environment.ProcessId,
                },
                network,
                etcd);
            if (options.Register is { Acceptors.Count: 1 } && node.AcceptorFault is { } lost)
            {
                // No waiting helps: nobody else knows the map.
                throw new WeirException(Status.StateLost, lost);
            }

            await loop.AskAsync(_ => hosted.Node = node);
            await Membership.WaitAsync(loop, node, id, options.Join, journal is { HasPast: true } ? Math.Max(options.JoinMs, ComeBackMs) : options.JoinMs, cancellation, etcdAddress?.ToString());
            NodeMeters.Watch(node, address);
            return new WeirServer(network, loop, node, records, journal, etcd, watch, address, id);
        }
        catch
        {
            await network.DisposeAsync();
            await loop.DisposeAsync();
            watch?.Dispose();
            node?.Dispose();
            records?.Dispose();
            journal?.Dispose();
            await EndAsync(etcd);
            throw;
        }
    }

    /// <summary>Whether the cluster goes on without this server and misses nothing: it has left, or it was drained and an operator had it forgotten.</summary>
    public bool HasLeft => _node.HasLeft;

    /// <summary>
    /// Leaves the cluster by plan: others take over what this server holds, while pushes and pulls go on, and then the map lets it go. Call
    /// <see cref="DisposeAsync"/> afterwards, whatever this gave. May be called while another call waits.
    /// </summary>
    /// <param name="atMostMs">How long to wait, in milliseconds; what has not been handed over by then is not.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>Null once it has left; else why it has not: nobody can take over, or it took too long.</returns>
    public async Task<string?> LeaveAsync(long atMostMs, CancellationToken cancellation = default)
    {
        const int LookMs = 20;
        long ends = Environment.TickCount64 + atMostMs;
        try
        {
            await _loop.AskAsync(_ =>
            {
                _node.Leave();
                return true;
            });
            while (true)
            {
                (bool left, string? refusal, int segments) = await _loop.AskAsync(_ => (_node.HasLeft, _node.LeaveRefusal, _node.SegmentsToLeave));
                if (left || refusal is not null)
                {
                    return left ? null : refusal;
                }

                if (Environment.TickCount64 >= ends)
                {
                    return $"it still stands in the chains of {segments} segments after {atMostMs / 1000.0:0.#} s";
                }

                await Task.Delay(LookMs, cancellation);
            }
        }
        catch (ObjectDisposedException)
        {
            return HasLeft ? null : "it has stopped";
        }
    }

    /// <summary>Stops accepting, finishes what is being sent, and ends at once: what it held is gone, unless <see cref="LeaveAsync"/> handed it over.</summary>
    public async ValueTask DisposeAsync()
    {
        NodeMeters.Forget(_node);
        await _network.DisposeAsync();
        await _loop.DisposeAsync();
        _watch?.Dispose();
        if (_loop.Completion.Exception?.InnerException is StuckFunctionException)
        {
            // Somebody is inside: what it may touch stays.
            await EndAsync(_etcd);
            return;
        }

        _node.Dispose();
        _records?.Dispose();
        _journal?.Dispose();
        await EndAsync(_etcd);
    }

    private static ValueTask EndAsync(EtcdRegister? etcd) => etcd?.DisposeAsync() ?? ValueTask.CompletedTask;

    private static string Advertised(string? advertise, string bound)
    {
        if (advertise is null || !advertise.EndsWith(":0", StringComparison.Ordinal))
        {
            return advertise ?? bound;
        }

        return advertise[..^1] + bound[(bound.LastIndexOf(':') + 1)..];
    }

    /// <summary>An acceptor's number is its place among the acceptors, from 1.</summary>
    private static ulong AcceptorAt(RegisterOptions register, string address)
    {
        for (int place = 0; place < register.Acceptors.Count; place++)
        {
            if (register.Acceptors[place] == address)
            {
                return (ulong)place + 1;
            }
        }

        throw new ArgumentException(
            $"this server is to host an acceptor and listens at {address}, which is none of the acceptors' addresses: {string.Join(", ", register.Acceptors)}", nameof(register));
    }

    private static ServerLimits LimitsFor(long nodeTimeoutMs)
    {
        var standard = new ServerLimits();
        return standard with { NodeTimeoutMs = nodeTimeoutMs, HeartbeatMs = Math.Min(standard.HeartbeatMs, nodeTimeoutMs / 10) };
    }

    /// <summary>Waiting until a node is a member.</summary>
    internal static class Membership
    {
        public static async Task WaitAsync(
            NodeLoop loop, ServerNode node, ulong id, string? join, long joinMs, CancellationToken cancellation, string? etcd = null)
        {
            using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            deadline.CancelAfter(TimeSpan.FromMilliseconds(joinMs));
            try
            {
                while (!await loop.AskAsync(_ => node.Map?.IndexOf(id, node.Incarnation) >= 0))
                {
                    await Task.Delay(5, deadline.Token);
                }
            }
            catch (ObjectDisposedException) when (loop.Completion.Exception?.InnerException is NodeStoppedException stopped)
            {
                throw new WeirException(Status.Conflict, stopped.Message);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && join is null && etcd is not null)
            {
                throw new WeirException(
                    Status.Unreachable,
                    $"this node became no member of the cluster at {etcd} within {joinMs / 1000.0:0.#} s: is etcd reached from here, and the server that its lease names?");
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && join is null && node.JoinRefusal is { } refusal)
            {
                throw new WeirException(Status.Conflict, $"an acceptor of the register refused this node: {refusal}");
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && join is null && node.AcceptorFault is { } forgotten)
            {
                throw new WeirException(Status.Unreachable, $"this server reached no majority of the register's acceptors within {joinMs / 1000.0:0.#} s, and hosts one itself that does not answer: {forgotten}");
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && join is null)
            {
                throw new WeirException(
                    Status.Unreachable, $"this first node could not reach a majority of the register's acceptors within {joinMs / 1000.0:0.#} s: are the other servers that host one running?");
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested && node.JoinRefusal is { } refusal)
            {
                throw new WeirException(Status.Conflict, $"the cluster at {join} refused this node: {refusal}", join);
            }
            catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
            {
                throw new WeirException(
                    Status.Unreachable, $"the cluster at {join} did not admit this node within {joinMs / 1000.0:0.#} s: is a first node serving there?", join);
            }
        }
    }
}
