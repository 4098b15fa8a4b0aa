using System.Globalization;
using System.Security.Cryptography;
using Weir.Client;
using Weir.Host;
using Weir.Tests.Register;

namespace Weir.Tests.Chaos;

/// <summary>
/// The servers of a chaos run, each with its place in the network and a folder for what it keeps; with a proxy before each where frames are to be
/// tampered with, and beside an etcd where that keeps the register. One caller at a time.
/// </summary>
internal sealed class ChaosCluster : IAsyncDisposable
{
    /// <summary>Servers.</summary>
    public const int Size = 4;

    /// <summary>How many hold a segment beside its head: two may be lost at a time.</summary>
    public const int Replicas = 2;

    /// <summary>How many keep the register's records: the first ones.</summary>
    public const int Acceptors = 3;

    /// <summary>Silence after which a server counts as gone, in milliseconds: twice the least, as this machine may be busy with other things too.</summary>
    public const int FailureTimeoutMs = 1000;

    private const int EtcdMembers = 3;

    private readonly ChaosServer[] _servers = new ChaosServer[Size];
    private readonly List<SmallDisk> _disks = [];
    private readonly string _number = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)).ToString("x16", CultureInfo.InvariantCulture);
    private readonly string _root = Directory.CreateTempSubdirectory("weir-chaos-").FullName;

    private ChaosCluster(ChaosNetwork network, ChaosSetup setup, ulong seed)
    {
        (Network, Setup) = (network, setup);
        Proxies = setup == ChaosSetup.Proxied
            ? [.. Enumerable.Range(0, Size).Select(server => new FrameProxy(network.Near(), network.ListenOf(server), seed + (ulong)server))]
            : [];
    }

    public ChaosNetwork Network { get; }

    public ChaosSetup Setup { get; }

    /// <summary>The proxy before each server; none where servers are reached directly.</summary>
    public IReadOnlyList<FrameProxy> Proxies { get; }

    /// <summary>The disk of each server; none where all write on the machine's.</summary>
    public IReadOnlyList<SmallDisk> Disks => _disks;

    /// <summary>What keeps the register; null where servers do.</summary>
    public EtcdCluster? Etcd { get; private set; }

    public IReadOnlyList<ChaosServer> Servers => _servers;

    public string[] Addresses => [.. Enumerable.Range(0, Size).Select(AddressOf)];

    /// <summary>Starts all servers; returns once they serve.</summary>
    public static async Task<ChaosCluster> StartAsync(ChaosNetwork network, ChaosSetup setup, ChaosMeans means, ulong seed)
    {
        var cluster = new ChaosCluster(network, setup, seed);
        try
        {
            for (int server = 0; server < Size; server++)
            {
                if (setup == ChaosSetup.Durable && means.HasFlag(ChaosMeans.SmallDisks))
                {
                    cluster._disks.Add(new SmallDisk(cluster.FolderOf(server)));
                }
                else
                {
                    Directory.CreateDirectory(cluster.FolderOf(server));
                }
            }

            cluster.Etcd = setup == ChaosSetup.Etcd ? await EtcdCluster.StartAsync(EtcdMembers, network.Near().Address) : null;
            for (int server = 0; server < Size; server++)
            {
                cluster._servers[server] = cluster.Launch(server, "first");
            }

            await Task.WhenAll(cluster._servers.Select(server => server.ServesAsync()));
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>Where a server is reached.</summary>
    public string AddressOf(int server) => Proxies.Count > 0 ? Proxies[server].Address : Network.ListenOf(server).ToString();

    public async Task<WeirClient> ConnectAsync(string name) =>
        await WeirHost.ConnectAsync(Addresses, new ClientOptions { Name = name, ConnectMs = 30_000, DeadlineMs = 120_000 });

    /// <summary>Starts a server where one has ended, without a row but for what is in its journal.</summary>
    /// <param name="server">Which.</param>
    /// <param name="hasLostDisk">What the last one had written is taken away before.</param>
    /// <param name="clock">The wall clock it is to live by; null for the machine's.</param>
    public async Task ReplaceAsync(int server, bool hasLostDisk = false, FakeClock? clock = null)
    {
        await _servers[server].DisposeAsync();
        if (hasLostDisk && _disks.Count > 0)
        {
            _disks[server].Empty();
        }
        else if (hasLostDisk)
        {
            Directory.Delete(FolderOf(server), recursive: true);
        }

        _servers[server] = Launch(server, hasLostDisk ? "replaced" : "again", clock);
        await _servers[server].ServesAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (ChaosServer server in _servers.OfType<ChaosServer>())
        {
            await server.DisposeAsync();
        }

        foreach (FrameProxy proxy in Proxies)
        {
            await proxy.DisposeAsync();
        }

        _disks.ForEach(disk => disk.Dispose());
        await (Etcd?.DisposeAsync() ?? ValueTask.CompletedTask);
        Directory.Delete(_root, recursive: true);
    }

    private string FolderOf(int server) => Path.Combine(_root, (server + 1).ToString(CultureInfo.InvariantCulture));

    private ChaosServer Launch(int server, string start, FakeClock? clock = null) => new(
        Network.Prefix(server),
        [
            "--listen", Network.ListenOf(server).ToString(), "--advertise", AddressOf(server),
            "--segments", "64", "--replicas", Replicas.ToString(CultureInfo.InvariantCulture),
            "--failure-timeout", FailureTimeoutMs.ToString(CultureInfo.InvariantCulture),
            .. Register(server, start), .. Setup == ChaosSetup.Durable ? (string[])["--journal", Path.Combine(FolderOf(server), "journal")] : [],
        ],
        clock?.Environment);

    private string[] Register(int server, string start)
    {
        if (Etcd is not null)
        {
            return ["--register", Etcd.Address("/weir/chaos", first: server)];
        }

        string[] acceptor = server < Acceptors ? ["--acceptor-folder", Path.Combine(FolderOf(server), "acceptor"), "--acceptor-start", start] : [];
        string[] join = server == 0 && start == "first" ? [] : ["--join", AddressOf(server == 0 ? 1 : 0)];
        return ["--cluster-number", _number, "--acceptors", string.Join(',', Enumerable.Range(0, Acceptors).Select(AddressOf)), .. acceptor, .. join];
    }
}
