using Weir.Client;
using Weir.Functions;
using Weir.Keys;
using Weir.Placement;
using Weir.Register;
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
    private readonly List<ServerNode> _buried = [];
    private readonly List<SimPort> _servers = [];
    private readonly List<SimDisk> _disks = [];
    private readonly List<SimJournal> _journals = [];
    private readonly bool _hasJournals;
    private readonly Dictionary<WeirClient, SimPort> _clients = [];
    private readonly List<RegisterCall>[] _registerCalls = [[], []];
    private readonly string[] _acceptors;
    private readonly ServerOptions _options;
    private readonly Rng _rng;

    /// <param name="seed">Everything follows from it.</param>
    /// <param name="servers">Server nodes.</param>
    /// <param name="segmentBits">2^this segments.</param>
    /// <param name="limits">The nodes' bounds and times; null for the defaults.</param>
    /// <param name="memoryBytes">Each node's limit.</param>
    /// <param name="acceptors">1, 3 or 5 acceptors of the register, on the disks of the first servers; 0: one in the first server's memory.</param>
    /// <param name="replicas">How many members a chain has beside its head.</param>
    /// <param name="journals">Each server has a journal, on a disk that outlives its process.</param>
    /// <param name="functions">Functions of users that each server has; null for none.</param>
    /// <param name="pool">Where frames come from, where several clusters of one thread, one after another, are to use the same; null for a pool of its own.</param>
    public SimCluster(
        ulong seed,
        int servers,
        int segmentBits = ClusterMap.MinSegmentBits,
        ServerLimits? limits = null,
        long memoryBytes = 1L << 40,
        int acceptors = 0,
        int replicas = 0,
        bool journals = false,
        IReadOnlyList<IServerFunction>? functions = null,
        FramePool? pool = null)
    {
        Pool = pool ?? new FramePool();
        _hasJournals = journals;
        Seed = seed;
        _rng = new Rng(seed);
        Network = new SimNetwork(Scheduler, new Rng(_rng.Next()), Tally);
        _acceptors = [.. Enumerable.Range(0, acceptors).Select(AddressOf)];
        _options = new ServerOptions
        {
            Node = 0,
            Incarnation = 0,
            Address = "",
            Cluster = seed | 1,
            SegmentBits = segmentBits,
            Replicas = replicas,
            Acceptors = _acceptors,
            Limits = limits ?? new ServerLimits(),
            MemoryLimitBytes = memoryBytes,
            Functions = functions ?? [],
        };
        for (int i = 0; i < servers; i++)
        {
            _servers.Add(Network.Port(AddressOf(i)));
            if (i < acceptors)
            {
                _disks.Add(new SimDisk(Scheduler, new Rng(_rng.Next())));
            }
        }

        for (int i = 0; i < servers && journals; i++)
        {
            _journals.Add(new SimJournal(Scheduler, new Rng(_rng.Next())));
        }

        for (int i = 0; i < servers; i++)
        {
            _nodes.Add(Begin(i, AcceptorStart.First));
        }
    }

    public ulong Seed { get; }

    public int SegmentBits => _options.SegmentBits;

    public SimScheduler Scheduler { get; } = new();

    public SimNetwork Network { get; }

    public SimTally Tally { get; } = new();

    public FramePool Pool { get; }

    public IReadOnlyList<ServerNode> Nodes => _nodes;

    /// <summary>Hears what the servers have to say to people, with the server's address.</summary>
    public Action<string, string>? Noted { get; set; }

    /// <summary>The servers' journals; none where the cluster has none.</summary>
    public IReadOnlyList<SimJournal> Journals => _journals;

    public ulong Trace => Network.Trace;

    /// <summary>The servers' places in the network, in the order of the nodes.</summary>
    public IReadOnlyList<SimPort> Servers => _servers;

    /// <summary>By cell of the register: the operations of all servers that ever were, as each saw them.</summary>
    public IReadOnlyList<IReadOnlyList<RegisterCall>> RegisterCalls => _registerCalls;

    /// <summary>The disks of the servers that host the register's acceptors.</summary>
    public IReadOnlyList<SimDisk> Disks => _disks;

    /// <summary>The clients, each with its place in the network.</summary>
    public IReadOnlyDictionary<WeirClient, SimPort> Clients => _clients;

    /// <summary>Whether a server runs: neither dead nor stopped.</summary>
    public bool Runs(int server) => !_servers[server].IsDead && _servers[server].Stopped is null;

    /// <summary>A process of its own: a client of the cluster, once all servers are members.</summary>
    public async Task<WeirClient> ConnectAsync(string name, ClientOptions? options = null)
    {
        while (_nodes[0].Map is not { } map || map.Members.Length < _nodes.Count)
        {
            await Scheduler.Delay(10, CancellationToken.None);
        }

        return await OpenAsync(name, options);
    }

    /// <summary>A process of its own, which finds the cluster at any server that answers, or at the one given.</summary>
    public async Task<WeirClient> OpenAsync(string name, ClientOptions? options = null, int? server = null)
    {
        options = (options ?? new ClientOptions()) with { Name = name };
        SimPort port = Network.Port($"process:{new QualifiedName(options.Namespace, name)}");
        var core = new ClientCore(options, port, Scheduler, Pool, new Rng(_rng.Next()), TaskCreationOptions.None);
        port.Machine = core;
        Tick(port);
        WeirClient client = await WeirClient.OpenAsync(
            core,
            server is { } only ? [AddressOf(only)] : _acceptors.Length == 0 ? [AddressOf(0)] : [.. _servers.Select(server => server.Address)],
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

    /// <summary>A server dies, and its rows with it; of its acceptor's writes under way some took place.</summary>
    public void KillServer(int index)
    {
        Tally.ServerDeaths++;
        Network.Note($"death of {_servers[index].Address}");
        _servers[index].IsDead = true;
        _servers[index].Continue();
        CrashDisks(index);
    }

    private void CrashDisks(int index)
    {
        if (index < _disks.Count)
        {
            _disks[index].Crash();
        }

        if (index < _journals.Count)
        {
            _journals[index].Crash();
        }
    }

    /// <summary>One more server comes, with an empty memory.</summary>
    public void AddServer()
    {
        _servers.Add(Network.Port(AddressOf(_servers.Count)));
        if (_hasJournals)
        {
            _journals.Add(new SimJournal(Scheduler, new Rng(_rng.Next())));
        }

        _nodes.Add(Begin(_servers.Count - 1, AcceptorStart.First));
    }

    /// <summary>A server that died is started again, with an empty memory: it asks to come in under its id, as another incarnation (design R5).</summary>
    /// <param name="index">The server.</param>
    /// <param name="start">How its acceptor starts, where it hosts one.</param>
    public void RestartServer(int index, AcceptorStart start = AcceptorStart.Again)
    {
        Network.Note($"restart of {_servers[index].Address}");
        _buried.Add(_nodes[index]);
        Tally.Restarts++;
        _servers[index].IsDead = false;
        _nodes[index] = Begin(index, start);
    }

    /// <summary>A server leaves by plan: it hands over what it holds, says goodbye and ends, which <see cref="Runs"/> then says.</summary>
    public void LeaveServer(int index)
    {
        Network.Note($"{_servers[index].Address} leaves");
        _nodes[index].Leave();
    }

    /// <summary>An operator has a server drained; done once it holds nothing.</summary>
    public Task DrainServerAsync(WeirClient client, int index, CancellationToken cancellation = default)
    {
        Network.Note($"{_servers[index].Address} is drained");
        return client.DrainServerAsync(AddressOf(index), cancellation: cancellation);
    }

    /// <summary>The disk of a server that died is lost, and its acceptor's records with it.</summary>
    public void LoseDisk(int index)
    {
        Network.Note($"the disk of {_servers[index].Address} is lost");
        _disks[index].Lose();
    }

    /// <summary>The disk with the journal of a server that died is lost.</summary>
    public void LoseJournal(int index)
    {
        Network.Note($"the journal of {_servers[index].Address} is lost");
        _journals[index].Lose();
    }

    /// <summary>A server stands still; what it is sent waits for it.</summary>
    public void StopServer(int index)
    {
        Tally.Stops++;
        Network.Note($"{_servers[index].Address} stands still");
        _servers[index].Stop();
    }

    public void ContinueServer(int index)
    {
        Network.Note($"{_servers[index].Address} goes on");
        _servers[index].Continue();
    }

    /// <summary>Every frame of this server takes longer from now on.</summary>
    public void Slow(int server) => _servers[server].IsSlow = true;

    public void Run(Func<Task> scenario, long limitMs = 600_000) => Scheduler.Run(scenario, limitMs);

    public void Dispose()
    {
        foreach (ServerNode node in _nodes.Concat(_buried))
        {
            node.Dispose();
        }
    }

    private static string AddressOf(int server) => $"server:{server}";

    private ServerNode Begin(int index, AcceptorStart start)
    {
        SimPort port = _servers[index];
        bool isFounder = index == 0 && start == AcceptorStart.First;
        SimDisk? disk = index < _disks.Count ? _disks[index] : null;
        var node = new ServerNode(
            _options with
            {
                Node = (ulong)index + 1,
                Incarnation = _rng.Next(),
                Cluster = isFounder || disk is not null || _hasJournals ? Seed | 1 : 0,
                Address = port.Address,
                Join = isFounder ? null : AddressOf(AnyOther(index)),
                Acceptor = disk is null ? null : new AcceptorOptions(disk, (ulong)index + 1, start),
                Journal = index < _journals.Count ? _journals[index] : null,
                RegisterSeen = register => new RecordedRegister(register, Scheduler, _registerCalls),
            },
            port,
            pool: Pool);
        port.Machine = node;
        void Ended()
        {
            if (Runs(index) && ReferenceEquals(port.Machine, node))
            {
                node.EndTurn();
            }
        }

        disk?.Ended = Ended;
        if (index < _journals.Count)
        {
            _journals[index].Ended = Ended;
        }

        Tick(port);
        return node;
    }

    /// <summary>Whom a server asks to come in: the first of the others that runs.</summary>
    private int AnyOther(int index)
    {
        for (int other = 0; other < _servers.Count; other++)
        {
            if (other != index && _servers[other].Machine is not null && Runs(other))
            {
                return other;
            }
        }

        return index == 0 ? 1 : 0;
    }

    // Machines tick at their own phase, so that ticks do not always meet.
    private void Tick(SimPort port)
    {
        IMachine machine = port.Machine!;
        Scheduler.At(Scheduler.Now.AfterUs(_rng.Below(IMachine.TickMs * 1000L)), () => Ticked(port, machine));
    }

    private void Ticked(SimPort port, IMachine machine)
    {
        if (port.IsDead || !ReferenceEquals(port.Machine, machine))
        {
            return;
        }

        if (port.Stopped is not null)
        {
            Scheduler.At(Scheduler.Now.AfterMs(IMachine.TickMs), () => Ticked(port, machine));
            return;
        }

        port.Machine.Tick(Scheduler.Now);
        port.Machine.EndTurn();
        Network.Turned?.Invoke(port);
        if (port.Machine is ServerNode node)
        {
            while (node.Outbox.Notes.TryDequeue(out string? note))
            {
                Noted?.Invoke(port.Address, note);
                Network.Note(note);
            }

            if (node.StopReason is not null || node.HasLeft)
            {
                string reason = node.StopReason ?? "it has left the cluster";
                Network.Note($"{port.Address} stops: {reason}");
                port.IsDead = true;
                CrashDisks(_servers.IndexOf(port));

                return;
            }
        }

        Scheduler.At(Scheduler.Now.AfterMs(IMachine.TickMs), () => Ticked(port, machine));
    }
}
