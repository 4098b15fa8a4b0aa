using System.Globalization;
using System.Security.Cryptography;
using Weir.Client;
using Weir.Host;

namespace Weir.Tests.Chaos;

/// <summary>
/// The servers of a chaos run, each with its place in the network and, where it keeps the register's records, a folder; with a proxy before each where
/// frames are to be tampered with. One caller at a time.
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

    private readonly ChaosServer[] _servers = new ChaosServer[Size];
    private readonly string _number = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)).ToString("x16", CultureInfo.InvariantCulture);
    private readonly string _root = Directory.CreateTempSubdirectory("weir-chaos-").FullName;

    private ChaosCluster(ChaosNetwork network, bool isProxied, ulong seed)
    {
        Network = network;
        Proxies = isProxied
            ? [.. Enumerable.Range(0, Size).Select(server => new FrameProxy(network.Near(), network.ListenOf(server), seed + (ulong)server))]
            : [];
    }

    public ChaosNetwork Network { get; }

    /// <summary>The proxy before each server; none where servers are reached directly.</summary>
    public IReadOnlyList<FrameProxy> Proxies { get; }

    public IReadOnlyList<ChaosServer> Servers => _servers;

    public string[] Addresses => [.. Enumerable.Range(0, Size).Select(AddressOf)];

    /// <summary>Starts all servers; returns once they serve.</summary>
    public static async Task<ChaosCluster> StartAsync(ChaosNetwork network, bool isProxied, ulong seed)
    {
        var cluster = new ChaosCluster(network, isProxied, seed);
        try
        {
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

    /// <summary>The folder of a server's records.</summary>
    public string FolderOf(int server) => Path.Combine(_root, (server + 1).ToString(CultureInfo.InvariantCulture));

    /// <summary>Where a server is reached.</summary>
    public string AddressOf(int server) => Proxies.Count > 0 ? Proxies[server].Address : Network.ListenOf(server).ToString();

    public async Task<WeirClient> ConnectAsync(string name) =>
        await WeirHost.ConnectAsync(Addresses, new ClientOptions { Name = name, ConnectMs = 30_000, DeadlineMs = 120_000 });

    /// <summary>Starts a server where one has ended, without a row; its folder is as the last left it, or was lost.</summary>
    public async Task ReplaceAsync(int server, bool hasLostRecords = false)
    {
        await _servers[server].DisposeAsync();
        _servers[server] = Launch(server, hasLostRecords ? "replaced" : "again");
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

        Directory.Delete(_root, recursive: true);
    }

    private ChaosServer Launch(int server, string start)
    {
        string[] acceptor = server < Acceptors ? ["--acceptor-folder", FolderOf(server), "--acceptor-start", start] : [];
        string[] join = server == 0 && start == "first" ? [] : ["--join", AddressOf(server == 0 ? 1 : 0)];
        return new ChaosServer(
            Network.Prefix(server),
            [
                "--listen", Network.ListenOf(server).ToString(), "--advertise", AddressOf(server), .. join,
                "--segments", "64", "--replicas", Replicas.ToString(CultureInfo.InvariantCulture),
                "--failure-timeout", FailureTimeoutMs.ToString(CultureInfo.InvariantCulture),
                "--cluster-number", _number, "--acceptors", string.Join(',', Enumerable.Range(0, Acceptors).Select(AddressOf)), .. acceptor,
            ]);
    }
}
