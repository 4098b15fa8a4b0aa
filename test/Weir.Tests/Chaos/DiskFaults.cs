using System.Diagnostics;
using System.Globalization;
using Weir.Checkpoints;
using Weir.Client;
using Weir.Host.Disk;

namespace Weir.Tests.Chaos;

/// <summary>Faults of the disks that hold the register's records and the journals of durable tables.</summary>
internal static class DiskFaults
{
    public static IReadOnlyList<ChaosFault> All { get; } =
    [
        new("an acceptor's disk slow", ChaosSetup.Plain, ChaosMeans.Tracing, SlowFlushesAsync),
        new("an acceptor's flush fails", ChaosSetup.Plain, ChaosMeans.Tracing, scene => FailFlushAsync(scene, ChaosCluster.Acceptors)),
        new("a journal's flush fails", ChaosSetup.Durable, ChaosMeans.Tracing, scene => FailFlushAsync(scene, ChaosCluster.Size)),
        new("a disk full", ChaosSetup.Durable, ChaosMeans.SmallDisks, FillAsync),
        new("a checkpoint's disk full", ChaosSetup.Plain, ChaosMeans.SmallDisks, FillCheckpointsAsync),
        new("a disk slow", ChaosSetup.Durable, ChaosMeans.SmallDisks | ChaosMeans.Throttling, SlowAsync),
        new("a disk lost", ChaosSetup.Durable, ChaosMeans.None, RegisterFaults.LoseRecordsAsync),
        new("all servers killed", ChaosSetup.Durable, ChaosMeans.None, KillAllAsync),
        new("all servers killed, their disks slow", ChaosSetup.Durable, ChaosMeans.SmallDisks | ChaosMeans.Throttling, KillAllSlowAsync),
    ];

    private static async Task SlowFlushesAsync(ChaosScene scene)
    {
        ChaosServer server = scene.Cluster.Servers[scene.Rng.Below(ChaosCluster.Acceptors)];
        using Process tracer = Trace(server, "fsync:delay_enter=300000");
        await Task.Delay(ChaosFault.LongMs);
        End(tracer);
    }

    /// <summary>Nobody knows what is on a disk after that, so the server must stop.</summary>
    private static async Task FailFlushAsync(ChaosScene scene, int among)
    {
        int server = scene.Rng.Below(among);
        using Process tracer = Trace(scene.Cluster.Servers[server], "fsync:error=EIO");
        try
        {
            await ChaosFault.StopsAsync(scene.Cluster, server, "the flushes failed");
        }
        finally
        {
            End(tracer);
        }

        await scene.Cluster.ReplaceAsync(server);
    }

    /// <summary>The server must stop. What it had flushed stands, so it may come back with its disk once there is room, or with an empty one.</summary>
    private static async Task FillAsync(ChaosScene scene)
    {
        int server = scene.Rng.Below(ChaosCluster.Size);
        SmallDisk disk = scene.Cluster.Disks[server];
        disk.Fill();
        try
        {
            await ChaosFault.StopsAsync(scene.Cluster, server, "the disk was full", disk.Fill);
        }
        finally
        {
            disk.Clear();
        }

        await scene.Cluster.ReplaceAsync(server, hasLostDisk: scene.Rng.Chance(1, 2));
    }

    /// <summary>
    /// No server writes there: the checkpoint fails with the disk's own words and a file's name, what was written of it is taken away, an older one stays what
    /// it was, pushes go on, and once there is room there is another one.
    /// </summary>
    private static async Task FillCheckpointsAsync(ChaosScene scene)
    {
        string folder = Directory.CreateTempSubdirectory("weir-chaos-disk-").FullName;
        try
        {
            using var disk = new SmallDisk(Path.Combine(folder, "disk"));
            string place = Path.Combine(folder, "disk", "checkpoints");
            (var store, var catalog) = (new FolderStore(place), new CheckpointCatalog(new FolderStore(place)));
            await using WeirClient client = await scene.Cluster.ConnectAsync("checkpoints");
            CheckpointSummary older = await client.SaveCheckpointAsync(store, "c-1");

            // Full at the first block, in the middle of one, or at the manifest.
            disk.FillBut(scene.Rng.Below(older.Bytes));
            string refusal = await RefusalAsync(client, store);
            Require((refusal.Contains("No space", StringComparison.Ordinal) || refusal.Contains("disk was full", StringComparison.Ordinal)) && refusal.Contains(place, StringComparison.Ordinal), $"the disk of checkpoints was full, and that was told as '{refusal}'");
            Require(!Directory.Exists(Path.Combine(place, "c-2")), "what was written of a checkpoint whose disk was full was left there");
            Require((await catalog.VerifyAsync("c-1")).Count == 0, "a checkpoint was damaged by the next one, whose disk was full");
            await scene.GoesOnAsync(ChaosFault.ShortMs, "room for a checkpoint");
            disk.Clear();
            await client.SaveCheckpointAsync(store, "c-3");
            Require((await catalog.VerifyAsync("c-3")).Count == 0, "a checkpoint that was written after its disk had been full is not sound");
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        static void Require(bool holds, string otherwise)
        {
            if (!holds)
            {
                throw new InvalidOperationException(otherwise);
            }
        }

        static async Task<string> RefusalAsync(WeirClient client, FolderStore store)
        {
            try
            {
                await client.SaveCheckpointAsync(store, "c-2");
            }
            catch (IOException refused)
            {
                return refused.Message;
            }

            throw new InvalidOperationException("a checkpoint was written to a disk that has no room for it");
        }
    }

    private static async Task SlowAsync(ChaosScene scene)
    {
        SmallDisk disk = scene.Cluster.Disks[scene.Rng.Below(ChaosCluster.Size)];
        disk.Throttle();
        try
        {
            await Task.Delay(ChaosFault.LongMs);
        }
        finally
        {
            disk.Release();
        }
    }

    /// <summary>Rows are in journals only: what was acknowledged is in all of a segment's, and comes back with any.</summary>
    private static async Task KillAllAsync(ChaosScene scene)
    {
        foreach (ChaosServer server in scene.Cluster.Servers)
        {
            server.Kill();
        }

        await Task.WhenAll(Enumerable.Range(0, ChaosCluster.Size).Select(server => scene.Cluster.ReplaceAsync(server)));
    }

    /// <summary>Much waits to be written when they die: what of that was acknowledged is gone.</summary>
    private static async Task KillAllSlowAsync(ChaosScene scene)
    {
        foreach (SmallDisk disk in scene.Cluster.Disks)
        {
            disk.Throttle();
        }

        try
        {
            await Task.Delay(ChaosFault.ShortMs);
            foreach (ChaosServer server in scene.Cluster.Servers)
            {
                server.Kill();
            }
        }
        finally
        {
            foreach (SmallDisk disk in scene.Cluster.Disks)
            {
                disk.Release();
            }
        }

        await Task.WhenAll(Enumerable.Range(0, ChaosCluster.Size).Select(server => scene.Cluster.ReplaceAsync(server)));
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
