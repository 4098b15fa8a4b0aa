using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Client;
using Weir.Placement;

namespace Weir.Cli.Bench;

/// <summary>
/// Kills servers of a cluster of processes, one after another, while unique keys are pushed and every segment is probed; has each replaced and the
/// cluster repaired before the next; and checks at each that nothing acknowledged was lost, and nothing applied twice.
/// </summary>
internal sealed class FailoverBench(FailoverSettings settings, ToolConsole console)
{
    // Every third kill hits the manager, the first of them the third, when the cluster has been through others.
    private const int ManagerEvery = 3;

    // The same victims in every run.
    private const int Seed = 1;

    private const int PushMs = 1000;

    private readonly List<double> _tookMs = [];
    private readonly List<double> _managerTookMs = [];
    private readonly List<double> _mapMs = [];
    private readonly Random _random = new(Seed);
    private TokenVerdict _verdict;
    private double _pushSeconds;

    /// <summary>Runs it.</summary>
    /// <exception cref="ToolException">A process did not start, a server died that was not to, or the cluster was not repaired in time.</exception>
    public async Task<FailoverReport> RunAsync(CancellationToken cancellation)
    {
        var set = new ServerSet(
            settings.Servers,
            ClusterMap.SegmentBitsFor(settings.Servers),
            Transport.Tcp,
            settings.Replicas,
            ServerSet.PeersFor(settings.Servers, settings.Replicas));
        await using ServerProcesses servers = await ServerProcesses.StartAsync(set, console, NullLoggerFactory.Instance, cancellation);
        await using WeirClient prober = await ConnectAsync(servers, cancellation);
        await RepairedCluster.AwaitAsync(prober, settings.Servers, cancellation);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{servers.Description}, {settings.Replicas} {(settings.Replicas == 1 ? "replica" : "replicas")}, {1 << set.SegmentBits} segments, the map kept by {set.RegisterPeers}; {settings.KeysPerSecond:N0} keys a second"));
        SegmentProbe probe = await SegmentProbe.StartAsync(prober, cancellation);
        for (int kill = 0; kill < settings.Kills; kill++)
        {
            await KillAsync(servers, prober, probe, kill, cancellation);
        }

        (long lost, long doubled) = await probe.EndAsync(cancellation);
        _verdict += new TokenVerdict(0, lost, doubled, 0);
        return Report();
    }

    private static Task<WeirClient> ConnectAsync(ServerProcesses servers, CancellationToken cancellation) => servers.ConnectAsync(Filters.None, cancellation);

    private async Task KillAsync(ServerProcesses servers, WeirClient prober, SegmentProbe probe, int kill, CancellationToken cancellation)
    {
        await using WeirClient client = await ConnectAsync(servers, cancellation);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = $"tokens-{kill}" }, cancellation);
        var pusher = new TokenPusher(client, table, settings.KeysPerSecond);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task pushing = Task.Run(() => pusher.RunAsync(stop.Token), CancellationToken.None);
        long begin = Stopwatch.GetTimestamp();
        await Task.Delay(PushMs, cancellation);

        string manager = prober.Core.State.Map!.Manager.Address;
        bool isManager = kill % ManagerEvery == ManagerEvery - 1;
        int victim = isManager ? servers.Addresses.ToList().IndexOf(manager) : Other(servers, manager);
        string address = servers.Addresses[victim];
        long signal = Stopwatch.GetTimestamp();
        servers.Kill(victim);
        Task<long> acknowledged = probe.NextAcknowledgedAsync();
        double mapMs = await MapWithoutAsync(prober, address, signal, acknowledged, cancellation);
        double tookMs = Stopwatch.GetElapsedTime(signal, await acknowledged).TotalMilliseconds;
        (isManager ? _managerTookMs : _tookMs).Add(tookMs);
        _mapMs.Add(mapMs);

        await Task.Delay(PushMs / 2, cancellation);
        _pushSeconds += Stopwatch.GetElapsedTime(begin).TotalSeconds;
        await stop.CancelAsync();
        await pushing.WaitAsync(cancellation);
        TokenVerdict verdict = await TokenLedger.CheckAsync(client, table, [pusher.Ledger], cancellation);
        _verdict += verdict;
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"kill {kill + 1}: {address}{(isManager ? ", the manager" : "")}: map {mapMs:N0} ms, served {tookMs:N0} ms; {verdict.Acknowledged:N0} acknowledged, {verdict.Lost} lost, {verdict.Doubled + verdict.Foreign} doubled{(pusher.Failure is { } failure ? $", {pusher.Failures} pushes failed: {failure}" : "")}"));
        await client.DropTableAsync(table, cancellation);
        await servers.ReplaceAsync(victim, cancellation);
        await RepairedCluster.AwaitAsync(prober, settings.Servers, cancellation);
    }

    private int Other(ServerProcesses servers, string manager)
    {
        int[] others = [.. Enumerable.Range(0, servers.Addresses.Count).Where(server => servers.Addresses[server] != manager)];
        return others[_random.Next(others.Length)];
    }

    /// <summary>The time from the signal until the client has a map without the server, or until it is served whatever the map says.</summary>
    private static async Task<double> MapWithoutAsync(WeirClient client, string address, long signal, Task served, CancellationToken cancellation)
    {
        while (!served.IsCompleted && Array.Exists(client.Core.State.Map!.Members, member => member.Address == address))
        {
            await Task.Delay(1, cancellation);
        }

        return Stopwatch.GetElapsedTime(signal).TotalMilliseconds;
    }

    private FailoverReport Report()
    {
        double[] all = [.. _tookMs.Concat(_managerTookMs).Order()];
        return new FailoverReport(
            all.Length,
            Quantile(all, 0.5),
            Quantile(all, 0.99),
            all[^1],
            _managerTookMs.Count,
            _managerTookMs.Count == 0 ? 0 : _managerTookMs.Max(),
            Quantile([.. _mapMs.Order()], 0.5),
            _verdict.Acknowledged / _pushSeconds,
            _verdict.Acknowledged,
            _verdict.Lost,
            _verdict.Doubled + _verdict.Foreign);
    }

    // Nearest rank.
    private static double Quantile(double[] ordered, double share) => ordered[Math.Clamp((int)Math.Ceiling(share * ordered.Length) - 1, 0, ordered.Length - 1)];
}
