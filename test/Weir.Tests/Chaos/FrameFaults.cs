namespace Weir.Tests.Chaos;

/// <summary>Faults of single frames, which a proxy before each server plays.</summary>
internal static class FrameFaults
{
    public static IReadOnlyList<ChaosFault> All { get; } =
    [
        Of("frames late", new ProxyFaults { DelayMs = 30 }),
        Of("frames twice", new ProxyFaults { DuplicatePerMille = 200 }) with { MakesDuplicates = true },
        Of("frames cut short", new ProxyFaults { TruncatePerTenThousand = 20 }),
        Of("bits turned over", new ProxyFaults { FlipPerTenThousand = 20 }),
        Of("connections reset by the proxy", new ProxyFaults { ResetPerTenThousand = 20 }),
        new("nothing passes a proxy", ChaosSetup.Proxied, ChaosMeans.None, CutAsync),
        new("frames come after a change of chains", ChaosSetup.Proxied, ChaosMeans.None, HoldAsync) { MakesDuplicates = true },
    ];

    private static ChaosFault Of(string name, ProxyFaults faults) => new(name, ChaosSetup.Proxied, ChaosMeans.None, async scene =>
    {
        SetAll(scene.Cluster, faults);
        await Task.Delay(ChaosFault.LongMs);
        SetAll(scene.Cluster, new ProxyFaults());
    });

    private static async Task CutAsync(ChaosScene scene)
    {
        FrameProxy proxy = scene.Cluster.Proxies[scene.Rng.Below(ChaosCluster.Size)];
        bool towards = scene.Rng.Chance(2, 3);
        proxy.Faults = new ProxyFaults { CutsTowards = towards, CutsFrom = !towards || scene.Rng.Chance(1, 2) };
        await Task.Delay(ChaosFault.LongMs);
        proxy.Faults = new ProxyFaults();

        // What was swallowed would never come on these connections, which TCP itself never does.
        proxy.ResetAll();
    }

    /// <summary>
    /// Some frames are held back while a server falls asleep, and come once it has been taken out of its chains: its own of before, the answers to them,
    /// and clients' pushes that were sent again since. Then it wakes up, and some more are held back while it comes in again.
    /// </summary>
    private static async Task HoldAsync(ChaosScene scene)
    {
        const int BeforeMs = 400;
        ChaosServer server = scene.Cluster.Servers[scene.Rng.Below(ChaosCluster.Size)];
        SetAll(scene.Cluster, new ProxyFaults { HoldPerMille = 100, HoldMs = ChaosFault.LongMs });
        await Task.Delay(BeforeMs);
        server.Pause();
        await Task.Delay(ChaosFault.LongMs);
        server.Resume();
        await Task.Delay(BeforeMs);
        SetAll(scene.Cluster, new ProxyFaults());
        await Task.Delay(ChaosFault.LongMs);
    }

    private static void SetAll(ChaosCluster cluster, ProxyFaults faults)
    {
        foreach (FrameProxy proxy in cluster.Proxies)
        {
            proxy.Faults = faults;
        }
    }
}
