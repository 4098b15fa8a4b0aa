using Weir.Client;
using Weir.Placement;
using Weir.Server;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// A whole cluster from one seed, in one thread: the same ServerNode and client that run over TCP, on a simulated network and clock. A process
/// is a client that may die; what it hosted is hosted again by the others.
/// </summary>
internal sealed class SimCluster : IDisposable
{
    private readonly List<ServerNode> _nodes = [];
    private readonly List<SimPort> _servers = [];
    private readonly Dictionary<WeirClient, SimPort> _clients = [];
    private readonly Rng _rng;

    public SimCluster(ulong seed, int servers, int segmentBits = ClusterMap.MinSegmentBits, ServerLimits? limits = null, long memoryBytes = 1L << 40, int replicas = 0)
    {
        Seed = seed;
        _rng = new Rng(seed);
        Network = new SimNetwork(Scheduler, new Rng(_rng.Next()), Tally);
        for (int i = 0; i < servers; i++)
        {
            SimPort port = Network.Port($"server:{i}");
            var node = new ServerNode(
                new ServerOptions
                {
                    Node = (ulong)i + 1,
                    Incarnation = _rng.Next(),
                    Cluster = i == 0 ? seed | 1 : 0,
                    Address = port.Address,
                    Join = i == 0 ? null : "server:0",
                    SegmentBits = segmentBits,
                    Replicas = replicas,
                    Limits = limits ?? new ServerLimits(),
                    MemoryLimitBytes = memoryBytes,
                },
                port,
                pool: Pool);
            port.Machine = node;
            _nodes.Add(node);
            _servers.Add(port);
            Tick(port);
        }
    }

    public ulong Seed { get; }

    public SimScheduler Scheduler { get; } = new();

    public SimNetwork Network { get; }

    public SimTally Tally { get; } = new();

    public FramePool Pool { get; } = new();

    public IReadOnlyList<ServerNode> Nodes => _nodes;

    public ulong Trace => Network.Trace;

    /// <summary>A process of its own: a client of the cluster, once all servers are members.</summary>
    public async Task<WeirClient> ConnectAsync(string name, ClientOptions? options = null)
    {
        while (_nodes[0].Map is not { } map || map.Members.Length < _nodes.Count)
        {
            await Scheduler.Delay(10, CancellationToken.None);
        }

        SimPort port = Network.Port($"process:{name}");
        var core = new ClientCore((options ?? new ClientOptions()) with { Name = name }, port, Scheduler, Pool, new Rng(_rng.Next()), TaskCreationOptions.None);
        port.Machine = core;
        Tick(port);
        WeirClient client = await WeirClient.OpenAsync(
            core,
            ["server:0"],
            () =>
            {
                port.IsDead = true;
                return ValueTask.CompletedTask;
            },
            CancellationToken.None);
        _clients.Add(client, port);
        return client;
    }

    /// <summary>The process dies in the middle of whatever it does: nothing of it is heard again, and its code never goes on.</summary>
    public void Kill(WeirClient client)
    {
        Tally.ProcessDeaths++;
        Network.Note($"death of {_clients[client].Address}");
        _clients[client].IsDead = true;
    }

    /// <summary>Cuts a process off from a server, in the directions asked for, or lets frames through again. The process lives on.</summary>
    public void Cut(WeirClient client, int server, bool toServer, bool toProcess)
    {
        Network.Cut(_clients[client], _servers[server], toServer);
        Network.Cut(_servers[server], _clients[client], toProcess);
    }

    /// <summary>Nothing of one server reaches another from now on, or all does again.</summary>
    public void CutServers(int from, int to, bool isCut) => Network.Cut(_servers[from], _servers[to], isCut);

    /// <summary>A server dies, and its rows with it.</summary>
    public void KillServer(int index)
    {
        Network.Note($"death of {_servers[index].Address}");
        _servers[index].IsDead = true;
    }

    /// <summary>Every frame of this server takes longer from now on.</summary>
    public void Slow(int server) => _servers[server].IsSlow = true;

    public void Run(Func<Task> scenario, long limitMs = 600_000) => Scheduler.Run(scenario, limitMs);

    public void Dispose()
    {
        foreach (ServerNode node in _nodes)
        {
            node.Dispose();
        }
    }

    // Machines tick at their own phase, so that ticks do not always meet.
    private void Tick(SimPort port) => Scheduler.At(Scheduler.Now.AfterUs(_rng.Below(IMachine.TickMs * 1000L)), () => Ticked(port));

    private void Ticked(SimPort port)
    {
        if (port.IsDead || port.Machine is null)
        {
            return;
        }

        port.Machine.Tick(Scheduler.Now);
        port.Machine.EndTurn();
        if (port.Machine is ServerNode node)
        {
            while (node.Outbox.Notes.TryDequeue(out string? note))
            {
                Network.Note(note);
            }

            if (node.StopReason is { } reason)
            {
                Network.Note($"{port.Address} stops: {reason}");
                port.IsDead = true;
                return;
            }
        }

        Scheduler.At(Scheduler.Now.AfterMs(IMachine.TickMs), () => Ticked(port));
    }
}
