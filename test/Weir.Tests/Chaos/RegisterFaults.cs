using Weir.Tests.Register;

namespace Weir.Tests.Chaos;

/// <summary>Faults of what keeps the register: acceptors at the servers, or an etcd.</summary>
internal static class RegisterFaults
{
    public static IReadOnlyList<ChaosFault> All { get; } =
    [
        new("an acceptor's records lost", ChaosSetup.Plain, ChaosMeans.None, LoseRecordsAsync),
        new("a minority of the acceptors killed", ChaosSetup.Plain, ChaosMeans.None, KillMinorityAsync),
        new("a majority of the acceptors killed", ChaosSetup.Plain, ChaosMeans.None, KillMajorityAsync),
        new("a majority of the acceptors paused", ChaosSetup.Plain, ChaosMeans.None, PauseMajorityAsync),
        new("a server dies while a minority of etcd is away", ChaosSetup.Etcd, ChaosMeans.Etcd, KillMinorityOfEtcdAsync),
        new("a majority of etcd killed", ChaosSetup.Etcd, ChaosMeans.Etcd, scene => KillEtcdAsync(scene, stays: 1)),
        new("all of etcd killed", ChaosSetup.Etcd, ChaosMeans.Etcd, scene => KillEtcdAsync(scene, stays: 0)),
        new("a server dies while a majority of etcd is paused", ChaosSetup.Etcd, ChaosMeans.Etcd, PauseMajorityOfEtcdAsync),
    ];

    /// <summary>Kills a server with an acceptor, takes its folder away, and starts another in its place.</summary>
    public static async Task LoseRecordsAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Acceptors);
        scene.Cluster.Servers[server].Kill();
        await Task.Delay(ChaosFault.ShortMs);
        await scene.Cluster.ReplaceAsync(server, hasLostDisk: true);
    }

    private static async Task KillMinorityAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Acceptors);
        scene.Cluster.Servers[server].Kill();

        // The map is changed without it: it is taken out of its chains, and pushes go on.
        await Task.Delay(ChaosFault.ShortMs);
        await scene.GoesOnAsync(ChaosFault.LongMs, "a minority of the acceptors");
        await scene.Cluster.ReplaceAsync(server);
    }

    private static async Task KillMajorityAsync(ChaosScene scene)
    {
        int[] killed = Majority(scene);
        Array.ForEach(killed, server => scene.Cluster.Servers[server].Kill());
        await Task.Delay(ChaosFault.ShortMs);
        await Task.WhenAll(killed.Select(server => scene.Cluster.ReplaceAsync(server)));
    }

    private static async Task PauseMajorityAsync(ChaosScene scene)
    {
        ChaosServer[] paused = [.. Majority(scene).Select(server => scene.Cluster.Servers[server])];
        Array.ForEach(paused, server => server.Pause());
        await Task.Delay(ChaosFault.LongMs);
        Array.ForEach(paused, server => server.Resume());
    }

    /// <summary>The map is changed meanwhile: a server leaves it and another comes in.</summary>
    private static async Task KillMinorityOfEtcdAsync(ChaosScene scene)
    {
        EtcdCluster etcd = scene.Cluster.Etcd!;
        int member = scene.Rng.Chance(1, 2) ? await etcd.LeaderAsync() : scene.Rng.Below(etcd.Members);
        etcd.Kill(member);
        await ServerFaults.KillAsync(scene);
        etcd.Start(member);
    }

    /// <summary>Nothing can be decided meanwhile, and nothing has to be.</summary>
    private static async Task KillEtcdAsync(ChaosScene scene, int stays)
    {
        EtcdCluster etcd = scene.Cluster.Etcd!;
        int first = scene.Rng.Below(etcd.Members);
        int[] killed = [.. Enumerable.Range(stays, etcd.Members - stays).Select(i => (first + i) % etcd.Members)];
        Array.ForEach(killed, etcd.Kill);
        await scene.GoesOnAsync(ChaosFault.LongMs, "a majority of etcd");
        Array.ForEach(killed, etcd.Start);
        await etcd.LeaderAsync();
    }

    /// <summary>What the server held has nobody to lead it until etcd answers again.</summary>
    private static async Task PauseMajorityOfEtcdAsync(ChaosScene scene)
    {
        EtcdCluster etcd = scene.Cluster.Etcd!;
        int stays = scene.Rng.Below(etcd.Members), server = scene.Rng.Below(ChaosCluster.Size);
        int[] paused = [.. Enumerable.Range(0, etcd.Members).Where(member => member != stays)];
        Array.ForEach(paused, etcd.Pause);
        scene.Cluster.Servers[server].Kill();
        await Task.Delay(ChaosFault.LongMs);
        Array.ForEach(paused, etcd.Resume);
        await scene.Cluster.ReplaceAsync(server);
    }

    private static int[] Majority(ChaosScene scene)
    {
        int stays = scene.Rng.Below(ChaosCluster.Acceptors);
        return [.. Enumerable.Range(0, ChaosCluster.Acceptors).Where(server => server != stays)];
    }
}
