using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Weir.Cli.Bench;
using Weir.Client;
using Weir.Host;

namespace Weir.Tests.Chaos;

/// <summary>Faults of server processes, of the machine they run on, and of the network between them.</summary>
internal static class ServerFaults
{
    public static IReadOnlyList<ChaosFault> All { get; } =
    [
        Of("kill", ChaosMeans.None, KillAsync),
        Of("pause", ChaosMeans.None, PauseAsync),
        Of("cut off, both ways", ChaosMeans.Cuts, scene => CutAsync(scene, incoming: true, outgoing: true)),
        Of("cut off, it hears nobody", ChaosMeans.Cuts, scene => CutAsync(scene, incoming: true, outgoing: false)),
        Of("cut off, nobody hears it", ChaosMeans.Cuts, scene => CutAsync(scene, incoming: false, outgoing: true)),
        Of("a pair cut off from each other", ChaosMeans.Cuts, CutPairAsync),
        Of("connections reset", ChaosMeans.Cuts, ResetAsync),
        Of("a cut that comes and goes", ChaosMeans.Cuts, FlapAsync),
        Of("a quarter of the packets lost", ChaosMeans.Cuts, scene => SpoilAsync(scene, server => scene.Cluster.Network.Lose(server, 25))),
        Of("a narrow link", ChaosMeans.Cuts, scene => SpoilAsync(scene, server => scene.Cluster.Network.Narrow(server, 500))),
        Of("no more files can be opened", ChaosMeans.FileLimits, TakeFilesAsync),
        Of("a crowd of idle connections", ChaosMeans.None, CrowdAsync),
        Of("the wall clock jumps", ChaosMeans.FakeClocks, JumpClockAsync),
        Of("every core busy", ChaosMeans.None, KeepBusyAsync),
    ];

    /// <summary>Kills a server, and starts another in its place once it was counted gone.</summary>
    public static async Task KillAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        scene.Cluster.Servers[server].Kill();
        await Task.Delay(ChaosFault.ShortMs);
        await scene.Cluster.ReplaceAsync(server);
    }

    private static ChaosFault Of(string name, ChaosMeans means, Func<ChaosScene, Task> run) => new(name, ChaosSetup.Plain, means, run);

    private static async Task PauseAsync(ChaosScene scene)
    {
        ChaosServer server = scene.Cluster.Servers[scene.Rng.Below(ChaosCluster.Size)];
        server.Pause();
        await Task.Delay(ChaosFault.LongMs);
        server.Resume();
    }

    private static async Task CutAsync(ChaosScene scene, bool incoming, bool outgoing)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        scene.Cluster.Network.Cut(server, null, incoming, outgoing);
        await Task.Delay(ChaosFault.LongMs);
        scene.Cluster.Network.Mend(server);
    }

    private static async Task CutPairAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size), other = (server + 1 + scene.Rng.Below(ChaosCluster.Size - 1)) % ChaosCluster.Size;
        scene.Cluster.Network.Cut(server, [other], incoming: true, outgoing: true);
        await Task.Delay(ChaosFault.LongMs);
        scene.Cluster.Network.Mend(server);
    }

    private static async Task ResetAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        for (int i = 0; i < 5; i++)
        {
            scene.Cluster.Network.ResetConnections(server);
            await Task.Delay(50);
            scene.Cluster.Network.Mend(server);
            await Task.Delay(200);
        }
    }

    /// <summary>About as long as the failure timeout each time, so that it is counted gone now and then.</summary>
    private static async Task FlapAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        for (int i = 0; i < 4; i++)
        {
            scene.Cluster.Network.Cut(server, null, incoming: true, outgoing: true);
            await Task.Delay((ChaosCluster.FailureTimeoutMs / 2) + scene.Rng.Below(ChaosCluster.FailureTimeoutMs));
            scene.Cluster.Network.Mend(server);
            await Task.Delay(scene.Rng.Below(ChaosCluster.FailureTimeoutMs));
        }
    }

    private static async Task SpoilAsync(ChaosScene scene, Action<int> spoil)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        spoil(server);
        await Task.Delay(ChaosFault.LongMs);
        scene.Cluster.Network.Mend(server);
    }

    /// <summary>
    /// A server that may open no file more can write no record either: one with an acceptor stops (promise G13), any other goes on over the connections it has.
    /// </summary>
    private static async Task TakeFilesAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        ChaosServer victim = scene.Cluster.Servers[server];
        string before = victim.LimitFiles("0");
        if (server < ChaosCluster.Acceptors)
        {
            await ChaosFault.StopsAsync(scene.Cluster, server, "no file could be opened by an acceptor");
            await scene.Cluster.ReplaceAsync(server);
            return;
        }

        await scene.GoesOnAsync(ChaosFault.LongMs, "files");
        if (victim.HasExited)
        {
            // The runtime opens files where it starts a thread, and ends the process where it cannot (docs/decisions/0086).
            await scene.Cluster.ReplaceAsync(server);
            return;
        }

        victim.LimitFiles(before);
    }

    /// <summary>As many connections as a server accepts that say nothing: somebody who comes then and speaks is served all the same.</summary>
    private static async Task CrowdAsync(ChaosScene scene)
    {
        const int Crowd = 10_100, AtOnce = 400, LateMs = 5000;
        int server = scene.Rng.Below(ChaosCluster.Size);
        List<Socket> silent = [];
        try
        {
            // All of them within the time that a server waits for a first word.
            IPEndPoint address = scene.Cluster.Network.ListenOf(server);
            silent.AddRange(Enumerable.Range(0, Crowd).Select(_ => new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp)));
            foreach (Socket[] some in silent.Chunk(AtOnce))
            {
                await Task.WhenAll(some.Select(socket => socket.ConnectAsync(address)));
            }

            await using WeirClient late = await WeirHost.ConnectAsync([address.ToString()], new ClientOptions { Name = "late", ConnectMs = LateMs, DeadlineMs = LateMs });
            await late.OpenTableAsync(new TableOptions { Name = "opened in a crowd" });
            await scene.GoesOnAsync(ChaosFault.ShortMs, "room for more connections");
        }
        finally
        {
            silent.ForEach(socket => socket.Dispose());
        }
    }

    /// <summary>Twice as many processes that only compute as there are cores: nobody is counted gone for being late.</summary>
    private static async Task KeepBusyAsync(ChaosScene scene)
    {
        const int BusyMs = 10_000;
        await using WeirClient client = await scene.Cluster.ConnectAsync("watcher");
        await RepairedCluster.AwaitAsync(client, ChaosCluster.Size, CancellationToken.None);
        string before = await MembersAsync();
        List<Process> busy = [];
        try
        {
            for (int i = 0; i < 2 * Environment.ProcessorCount; i++)
            {
                busy.Add(Process.Start("sh", ["-c", "while :; do :; done"]));
            }

            await scene.GoesOnAsync(BusyMs, "idle cores");
        }
        finally
        {
            busy.ForEach(process =>
            {
                process.Kill();
                process.Dispose();
            });
        }

        if (await MembersAsync() is var after && after != before)
        {
            throw new InvalidOperationException($"with every core busy for {BusyMs} ms the members were {before}, then {after}: one was counted gone that lives");
        }

        async Task<string> MembersAsync()
        {
            await client.GetStatusAsync();
            return string.Join(' ', client.Core.State.Map!.Members.Select(member => $"{member.Address}/{member.Incarnation:x}").Order(StringComparer.Ordinal));
        }
    }

    /// <summary>Leases and silence are counted by the monotonic clock: a server whose wall clock is set by days stays what it is.</summary>
    private static async Task JumpClockAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        scene.Cluster.Servers[server].Kill();
        await Task.Delay(ChaosFault.ShortMs);
        using var clock = new FakeClock();
        await scene.Cluster.ReplaceAsync(server, clock: clock);
        await using WeirClient client = await scene.Cluster.ConnectAsync("watcher");
        await RepairedCluster.AwaitAsync(client, ChaosCluster.Size, CancellationToken.None);
        ulong before = await IncarnationAsync();
        foreach (string jump in (string[])["+3d", "-3d", "+0d"])
        {
            clock.Set(jump);
            await Task.Delay(ChaosFault.ShortMs);
            if (await IncarnationAsync() is var after && after != before)
            {
                throw new InvalidOperationException($"the wall clock of server {server + 1} was set by {jump}, and it is a member no longer, or another (incarnation {before:x}, then {after:x})");
            }
        }

        // Zero where it is no member.
        async Task<ulong> IncarnationAsync()
        {
            await client.GetStatusAsync();
            return client.Core.State.Map!.Members.FirstOrDefault(member => member.Address == scene.Cluster.AddressOf(server)).Incarnation;
        }
    }
}
