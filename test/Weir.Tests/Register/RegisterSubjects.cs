using System.Globalization;
using Weir.Host.Etcd;
using Weir.Register;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>A register with a second place to read it from, driven until each operation has ended.</summary>
internal abstract class RegisterSubject(IRegister here, IRegister elsewhere)
{
    private ulong _ticket;

    public RegisterResult Read(RegisterCell cell) => Ended(here, ticket => here.Read(cell, ticket));

    public RegisterResult ReadElsewhere(RegisterCell cell) => Ended(elsewhere, ticket => elsewhere.Read(cell, ticket));

    public RegisterResult Swap(RegisterCell cell, ulong expected, byte[] value) => Ended(here, ticket => here.CompareAndSwap(cell, expected, value, ticket));

    public RegisterResult SwapElsewhere(RegisterCell cell, ulong expected, byte[] value) =>
        Ended(elsewhere, ticket => elsewhere.CompareAndSwap(cell, expected, value, ticket));

    /// <summary>Begins an operation and drives the register until its result is there.</summary>
    protected abstract RegisterResult Do(IRegister register, Action begin);

    private RegisterResult Ended(IRegister register, Action<ulong> begin)
    {
        ulong ticket = ++_ticket;
        RegisterResult result = Do(register, () => begin(ticket));
        Assert.Equal(ticket, result.Ticket);
        return result;
    }
}

internal sealed class LoneSubject(LoneCell cell) : RegisterSubject(cell, cell)
{
    public LoneSubject()
        : this(new LoneCell())
    {
    }

    protected override RegisterResult Do(IRegister register, Action begin)
    {
        begin();
        Assert.True(register.TryTakeResult(out RegisterResult result));
        return result;
    }
}

/// <summary>Acceptors and two proposers in the simulation.</summary>
internal sealed class PaxosSubject : RegisterSubject
{
    private readonly World _world;

    public PaxosSubject(int acceptors)
        : this(new World(acceptors))
    {
    }

    private PaxosSubject(World world)
        : base(world.Machines[^1].Register, world.Machines[^2].Register) => _world = world;

    public void Stop(int acceptors) => _world.Ports.Take(acceptors).ToList().ForEach(p => p.IsDead = true);

    public void Start() => _world.Ports.ForEach(p => p.IsDead = false);

    protected override RegisterResult Do(IRegister register, Action begin)
    {
        RegisterResult result = default;
        _world.Scheduler.Run(
            async () =>
            {
                _world.Tick();
                begin();
                while (!register.TryTakeResult(out result))
                {
                    await _world.Scheduler.Delay(IMachine.TickMs, CancellationToken.None);
                    _world.Tick();
                }
            },
            limitMs: 30_000);
        return result;
    }

    private sealed class World
    {
        public World(int acceptors)
        {
            var network = new SimNetwork(Scheduler, new Rng(1), new SimTally());
            string[] addresses = [.. Enumerable.Range(0, acceptors).Select(i => $"m{i}")];
            for (int i = 0; i < acceptors + 2; i++)
            {
                SimPort port = network.Port($"m{i}");
                SimDisk disk = new(Scheduler, new Rng((ulong)i + 2));
                PaxosMachine machine = new(port, addresses, i < acceptors ? disk : null, (ulong)i + 1, true, (ulong)i + 1, new Rng((ulong)i + 50))
                {
                    Clock = () => Scheduler.Now,
                };
                port.Machine = machine;
                disk.Ended = machine.EndTurn;
                Ports.Add(port);
                Machines.Add(machine);
            }
        }

        public SimScheduler Scheduler { get; } = new();

        public List<SimPort> Ports { get; } = [];

        public List<PaxosMachine> Machines { get; } = [];

        public void Tick() => Machines.ForEach(m => m.Tick(Scheduler.Now));
    }
}

/// <summary>Two clients of an etcd cluster, each of which begins with another member.</summary>
internal sealed class EtcdSubject : RegisterSubject, IAsyncDisposable
{
    private readonly Client _here;
    private readonly Client _elsewhere;

    public EtcdSubject(string here, string elsewhere, EtcdOptions? options = null)
        : this(new Client(here, options), new Client(elsewhere, options))
    {
    }

    private EtcdSubject(Client here, Client elsewhere)
        : base(here.Register, elsewhere.Register) => (_here, _elsewhere) = (here, elsewhere);

    public async ValueTask DisposeAsync()
    {
        await _here.Register.DisposeAsync();
        await _elsewhere.Register.DisposeAsync();
        _here.Woken.Dispose();
        _elsewhere.Woken.Dispose();
    }

    protected override RegisterResult Do(IRegister register, Action begin)
    {
        Client client = register == _here.Register ? _here : _elsewhere;
        begin();
        Assert.True(client.Woken.Wait(TimeSpan.FromSeconds(30)), "nobody was woken: an operation has no result within 30 s");
        Assert.True(register.TryTakeResult(out RegisterResult result));
        return result;
    }

    private sealed class Client
    {
        public Client(string address, EtcdOptions? options) => Register = EtcdCluster.Register(address, () => Woken.Release(), options);

        public SemaphoreSlim Woken { get; } = new(0);

        public EtcdRegister Register { get; }
    }
}

/// <summary>Starts what a kind of register needs, once for all tests of a class.</summary>
public sealed class RegisterKinds : IAsyncDisposable
{
    private readonly Dictionary<int, EtcdCluster> _etcd = [];

    internal async Task<RegisterSubject> OpenAsync(string kind)
    {
        if (kind == "lone")
        {
            return new LoneSubject();
        }

        int members = int.Parse(kind.Split(' ')[1], CultureInfo.InvariantCulture);
        if (kind.StartsWith("paxos", StringComparison.Ordinal))
        {
            return new PaxosSubject(members);
        }

        EtcdCluster cluster = await EtcdAsync(members);
        string address = cluster.NewAddress();
        string prefix = address[address.LastIndexOf("/weir", StringComparison.Ordinal)..];
        return new EtcdSubject(address, cluster.Address(prefix, first: 1));
    }

    internal async Task<EtcdCluster> EtcdAsync(int members)
    {
        EtcdCluster.SkipIfMissing();
        if (!_etcd.TryGetValue(members, out EtcdCluster? cluster))
        {
            cluster = await EtcdCluster.StartAsync(members);
            _etcd.Add(members, cluster);
        }

        return cluster;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (EtcdCluster cluster in _etcd.Values)
        {
            await cluster.DisposeAsync();
        }
    }
}
