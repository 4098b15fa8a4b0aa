using System.Diagnostics;
using System.Globalization;
using Weir.World;

namespace Weir.Tests.Chaos;

/// <summary>Something that happens to a cluster in one round, and its end.</summary>
/// <param name="Name">What it is called in the report.</param>
/// <param name="NeedsCuts">Only where the network can cut servers off.</param>
/// <param name="NeedsProxies">Only where a proxy stands before each server; the others only where none does.</param>
/// <param name="NeedsTracing">Only where another process's system calls may be tampered with.</param>
/// <param name="RunAsync">Begins it, waits, and ends it: what is left to mend then is the cluster's own business.</param>
internal sealed record ChaosFault(string Name, bool NeedsCuts, bool NeedsProxies, bool NeedsTracing, Func<ChaosCluster, Rng, Task> RunAsync)
{
    // Longer than every timeout that counts silence: servers' 1 s, the manager's lease of .6 s.
    private const int LongMs = 2500;

    private const int ShortMs = 1200;

    /// <summary>All of them, in the order in which rounds take them.</summary>
    public static IReadOnlyList<ChaosFault> All { get; } =
    [
        Direct("kill", KillAsync),
        Direct("pause", PauseAsync),
        Cuts("cut off, both ways", (cluster, rng) => CutAsync(cluster, rng, incoming: true, outgoing: true)),
        Cuts("cut off, it hears nobody", (cluster, rng) => CutAsync(cluster, rng, incoming: true, outgoing: false)),
        Cuts("cut off, nobody hears it", (cluster, rng) => CutAsync(cluster, rng, incoming: false, outgoing: true)),
        Cuts("a pair cut off from each other", CutPairAsync),
        Cuts("connections reset", ResetAsync),
        Direct("an acceptor's records lost", LoseRecordsAsync),
        Direct("a majority of the acceptors killed", KillMajorityAsync),
        Direct("a majority of the acceptors paused", PauseMajorityAsync),
        Traced("an acceptor's disk slow", SlowDiskAsync),
        Traced("an acceptor's flush fails", FailFlushAsync),
        Proxied("frames late", new ProxyFaults { DelayMs = 30 }),
        Proxied("frames twice", new ProxyFaults { DuplicatePerMille = 200 }),
        Proxied("frames cut short", new ProxyFaults { TruncatePerTenThousand = 20 }),
        Proxied("bits turned over", new ProxyFaults { FlipPerTenThousand = 20 }),
        Proxied("connections reset by the proxy", new ProxyFaults { ResetPerTenThousand = 20 }),
        new("nothing passes a proxy", NeedsCuts: false, NeedsProxies: true, NeedsTracing: false, CutByProxyAsync),
    ];

    private static ChaosFault Direct(string name, Func<ChaosCluster, Rng, Task> run) => new(name, false, false, false, run);

    private static ChaosFault Cuts(string name, Func<ChaosCluster, Rng, Task> run) => new(name, true, false, false, run);

    private static ChaosFault Traced(string name, Func<ChaosCluster, Rng, Task> run) => new(name, false, false, true, run);

    private static ChaosFault Proxied(string name, ProxyFaults faults) => new(name, false, true, false, async (cluster, _) =>
    {
        SetAll(cluster, faults);
        await Task.Delay(LongMs);
        SetAll(cluster, new ProxyFaults());
    });

    private static async Task KillAsync(ChaosCluster cluster, Rng rng)
    {
        int server = rng.Below(ChaosCluster.Size);
        cluster.Servers[server].Kill();
        await Task.Delay(ShortMs);
        await cluster.ReplaceAsync(server);
    }

    private static async Task PauseAsync(ChaosCluster cluster, Rng rng)
    {
        ChaosServer server = cluster.Servers[rng.Below(ChaosCluster.Size)];
        server.Pause();
        await Task.Delay(LongMs);
        server.Resume();
    }

    private static async Task CutAsync(ChaosCluster cluster, Rng rng, bool incoming, bool outgoing)
    {
        int server = rng.Below(ChaosCluster.Size);
        cluster.Network.Cut(server, null, incoming, outgoing);
        await Task.Delay(LongMs);
        cluster.Network.Mend(server);
    }

    private static async Task CutPairAsync(ChaosCluster cluster, Rng rng)
    {
        int server = rng.Below(ChaosCluster.Size), other = (server + 1 + rng.Below(ChaosCluster.Size - 1)) % ChaosCluster.Size;
        cluster.Network.Cut(server, [other], incoming: true, outgoing: true);
        await Task.Delay(LongMs);
        cluster.Network.Mend(server);
    }

    private static async Task ResetAsync(ChaosCluster cluster, Rng rng)
    {
        int server = rng.Below(ChaosCluster.Size);
        for (int i = 0; i < 5; i++)
        {
            cluster.Network.ResetConnections(server);
            await Task.Delay(50);
            cluster.Network.Mend(server);
            await Task.Delay(200);
        }
    }

    private static async Task LoseRecordsAsync(ChaosCluster cluster, Rng rng)
    {
        int server = rng.Below(ChaosCluster.Acceptors);
        cluster.Servers[server].Kill();
        await Task.Delay(ShortMs);
        Directory.Delete(cluster.FolderOf(server), recursive: true);
        await cluster.ReplaceAsync(server, hasLostRecords: true);
    }

    private static async Task KillMajorityAsync(ChaosCluster cluster, Rng rng)
    {
        int stays = rng.Below(ChaosCluster.Acceptors);
        int[] killed = [.. Enumerable.Range(0, ChaosCluster.Acceptors).Where(server => server != stays)];
        Array.ForEach(killed, server => cluster.Servers[server].Kill());
        await Task.Delay(ShortMs);
        await Task.WhenAll(killed.Select(server => cluster.ReplaceAsync(server)));
    }

    private static async Task PauseMajorityAsync(ChaosCluster cluster, Rng rng)
    {
        int stays = rng.Below(ChaosCluster.Acceptors);
        ChaosServer[] paused = [.. Enumerable.Range(0, ChaosCluster.Acceptors).Where(server => server != stays).Select(server => cluster.Servers[server])];
        Array.ForEach(paused, server => server.Pause());
        await Task.Delay(LongMs);
        Array.ForEach(paused, server => server.Resume());
    }

    private static async Task SlowDiskAsync(ChaosCluster cluster, Rng rng)
    {
        ChaosServer server = cluster.Servers[rng.Below(ChaosCluster.Acceptors)];
        using Process tracer = Trace(server, "fsync:delay_enter=300000");
        await Task.Delay(LongMs);
        End(tracer);
    }

    /// <summary>Nobody knows what is on a disk after that, so the server must stop (promise G13): one that goes on is a fault of Weir.</summary>
    private static async Task FailFlushAsync(ChaosCluster cluster, Rng rng)
    {
        const int PatienceMs = 20_000;
        int server = rng.Below(ChaosCluster.Acceptors);
        using Process tracer = Trace(cluster.Servers[server], "fsync:error=EIO");
        bool ended = await cluster.Servers[server].EndsAsync(PatienceMs);
        End(tracer);
        if (!ended)
        {
            throw new InvalidOperationException($"the flushes of server {server} failed for {PatienceMs} ms, and it went on");
        }

        await cluster.ReplaceAsync(server);
    }

    private static async Task CutByProxyAsync(ChaosCluster cluster, Rng rng)
    {
        FrameProxy proxy = cluster.Proxies[rng.Below(ChaosCluster.Size)];
        bool towards = rng.Chance(2, 3);
        proxy.Faults = new ProxyFaults { CutsTowards = towards, CutsFrom = !towards || rng.Chance(1, 2) };
        await Task.Delay(LongMs);
        proxy.Faults = new ProxyFaults();

        // What was swallowed would never come on these connections, which TCP itself never does.
        proxy.ResetAll();
    }

    private static void SetAll(ChaosCluster cluster, ProxyFaults faults)
    {
        foreach (FrameProxy proxy in cluster.Proxies)
        {
            proxy.Faults = faults;
        }
    }

    private static Process Trace(ChaosServer server, string injection) => Process.Start(
        new ProcessStartInfo("strace", ["-f", "-q", "-p", server.Id.ToString(CultureInfo.InvariantCulture), "-o", "/dev/null", "-e", "trace=fsync", "-e", $"inject={injection}"])
        {
            RedirectStandardError = true,
        })!;

    private static void End(Process tracer)
    {
        if (!tracer.HasExited)
        {
            tracer.Kill();
            tracer.WaitForExit();
        }
    }
}
