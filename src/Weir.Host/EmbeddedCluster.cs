using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Client;
using Weir.Functions;
using Weir.Host.InProcess;
using Weir.Host.Loops;
using Weir.Host.Memory;
using Weir.Host.PlugIns;
using Weir.Placement;
using Weir.Server;
using Weir.World;

namespace Weir.Host;

/// <summary>What an embedded cluster is made of. Immutable.</summary>
public sealed record EmbeddedOptions
{
    /// <summary>Server nodes, 1 to 1,000. Default 1: one loop keeps a core busy.</summary>
    public int Servers { get; init; } = 1;

    /// <summary>2^this slices of the key space, 6 to 17; null takes the smallest that gives 100 a node.</summary>
    public int? SegmentBits { get; init; }

    /// <summary>How many nodes hold a segment beside the one that leads it, 0 to 7. Default 0: they would die together.</summary>
    public int Replicas { get; init; }

    /// <summary>Bytes of memory a node; beyond, pushes of new keys are answered Full. Default: no limit.</summary>
    public long MemoryBytesPerServer { get; init; } = 1L << 40;

    /// <summary>Functions of users that clients may call (<see cref="IServerFunction"/>); all nodes have these same objects and call them at the same time. Default: none.</summary>
    public IReadOnlyList<IServerFunction> Functions { get; init; } = [];

    /// <summary>
    /// How long a function may take for the rows of one segment, in milliseconds, 1 to 1,250. A call that needs more fails. One that has not come back after ten times as long and a second more ends its node; its thread and the node's memory stay
    /// lost to the process. Default 100.
    /// </summary>
    public long FunctionBudgetMs { get; init; } = 100;

    /// <summary>Bounds and times of the process.</summary>
    public HostOptions Host { get; init; } = HostOptions.Default;
}

/// <summary>
/// A whole cluster in this process, for a laptop, a test or a model that fits one machine. The nodes are the same as over TCP and exchange the
/// same bytes, without the sockets. Thread-safe.
/// </summary>
public sealed class EmbeddedCluster : IAsyncDisposable
{
    private readonly InProcessHub _hub = new();
    private readonly List<(InProcessNetwork Network, NodeLoop Loop, ServerNode Node, ulong Id, FunctionWatch? Watch)> _nodes = [];
    private readonly HostTimers _timers = new();
    private readonly ILogger _log;
    private readonly EmbeddedOptions _options;

    internal EmbeddedCluster(EmbeddedOptions options, ILoggerFactory? loggers)
    {
        if (options.Servers is < 1 or > 1000)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.Servers, "an embedded cluster has 1 to 1,000 servers");
        }

        options.Host.Validate();
        ArgumentNullException.ThrowIfNull(options.Functions, nameof(options));
        var standard = new ServerLimits();
        if (options.FunctionBudgetMs < 1 || options.FunctionBudgetMs > standard.NodeTimeoutMs / 4)
        {
            throw new ArgumentOutOfRangeException(nameof(options), options.FunctionBudgetMs, $"a function's budget is 1 to {standard.NodeTimeoutMs / 4} ms");
        }

        _options = options;
        _log = (loggers ?? NullLoggerFactory.Instance).CreateLogger("Weir.Server");
        int segmentBits = options.SegmentBits ?? ClusterMap.SegmentBitsFor(options.Servers);
        for (int i = 0; i < options.Servers; i++)
        {
            string address = $"inproc:{i + 1}";
            var hosted = new HostedNode(_log, address);
            InProcessNetwork network = _hub.Join(address, options.Host.MailboxBytes);
            var loop = new NodeLoop(hosted, _timers, options.Host, _log, $"server {address}");
            network.Attach(loop);
            ulong id = (ulong)i + 1;
            FunctionWatch? watch = FunctionWatch.Over(options.Functions, options.FunctionBudgetMs, standard.NodeTimeoutMs, network, stuck =>
            {
                loop.GiveUp(stuck);
                _ = network.DisposeAsync().AsTask();
            });
            var node = new ServerNode(
                new ServerOptions
                {
                    Node = id,
                    Incarnation = RandomId(),
                    Cluster = i == 0 ? RandomId() : 0,
                    Address = address,
                    Join = i == 0 ? null : "inproc:1",
                    SegmentBits = segmentBits,
                    Replicas = options.Replicas,
                    MemoryLimitBytes = options.MemoryBytesPerServer,
                    Memory = new HugePageMemory(),
                    Functions = options.Functions,
                    FunctionTimer = (IFunctionTimer?)watch ?? UntimedFunctions.Instance,
                    Limits = standard with { FunctionBudgetMs = options.FunctionBudgetMs },
                    ProcessId = (uint)Environment.ProcessId,
                },
                network);
            hosted.Node = node;
            NodeMeters.Watch(node, address);
            _nodes.Add((network, loop, node, id, watch));
        }
    }

    /// <summary>The nodes' addresses, in this process only.</summary>
    public IReadOnlyList<string> Addresses => [.. _nodes.Select(n => n.Node.Map?.Member(n.Id)?.Address ?? $"inproc:{n.Id}")];

    /// <summary>Ends when the cluster was closed; fails with the first node's failure, if one stops by itself.</summary>
    public Task Completion => Task.WhenAny(_nodes.Select(n => n.Loop.Completion)).Unwrap();

    /// <summary>A client of this cluster, once all of its nodes are members.</summary>
    public async Task<WeirClient> ConnectAsync(ClientOptions? options = null, CancellationToken cancellation = default)
    {
        foreach ((_, NodeLoop loop, ServerNode node, ulong id, _) in _nodes)
        {
            await WeirServer.Membership.WaitAsync(loop, node, id, "inproc:1", 30_000, cancellation);
        }

        InProcessNetwork network = _hub.Join(null, 1 << 30);
        var core = new ClientCore(options ?? new ClientOptions(), network, _timers, FramePool.Shared, new Rng(RandomId()));
        return await HostedClient.OpenAsync(core, network, network.Attach, _timers, _log, ["inproc:1"], cancellation);
    }

    /// <summary>Stops all nodes. The rows are gone.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach ((InProcessNetwork network, NodeLoop loop, ServerNode node, _, FunctionWatch? watch) in _nodes)
        {
            NodeMeters.Forget(node);
            await network.DisposeAsync();
            await loop.DisposeAsync();
            watch?.Dispose();
            if (loop.Completion.Exception?.InnerException is not StuckFunctionException)
            {
                // Else somebody is inside: what it may touch stays.
                node.Dispose();
            }
        }
    }

    private static ulong RandomId() => BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1;
}
