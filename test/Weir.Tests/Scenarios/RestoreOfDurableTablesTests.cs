using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>A checkpoint that is loaded into a cluster with journals (design R23, R24): what is in them of the older generation counts for nothing.</summary>
public class RestoreOfDurableTablesTests
{
    private static readonly ClientOptions Patient = new() { UnreachableMs = 60_000, RetryMs = 200 };
    private static readonly ulong[] Kept = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
    private static readonly ulong[] Later = [.. Enumerable.Range(1000, 200).Select(i => (ulong)i)];

    [Fact]
    public void All_servers_stop_after_a_restore_and_come_back_with_what_was_loaded_and_pushed_since_and_with_nothing_older()
    {
        for (ulong seed = 1; seed <= 6; seed++)
        {
            using SimCluster cluster = Cluster(seed);
            cluster.Run(
                async () =>
                {
                    var store = new MemoryCheckpoints();
                    WeirClient client = await cluster.ConnectAsync("a", Patient);
                    (WeirTable durable, WeirTable memory) = await SaveAsync(client, store);
                    await client.RestoreCheckpointAsync(store, "one");
                    await client.PushAsync(durable, Kept.AsMemory(0, 50), Ones(50));
                    Assert.Equal(2, await OneAsync(client, durable, Kept[0]));
                    Assert.Equal(1, await OneAsync(client, memory, Kept[0]));
                    await StopAllAsync(cluster);
                    WeirClient after = await cluster.ConnectAsync("b", Patient);
                    durable = await after.OpenTableAsync(new TableOptions { Name = "durable", Durable = true });
                    await CheckAsync(after, durable, again: 50);

                    // A table of which rows are lost is in no checkpoint; an older checkpoint has it whole.
                    WeirException lost = await Assert.ThrowsAsync<WeirException>(() => after.SaveCheckpointAsync(new MemoryCheckpoints(), "two"));
                    Assert.Equal(Status.StateLost, lost.Status);
                    Assert.Contains("table memory", lost.Message, StringComparison.Ordinal);
                    await after.RestoreCheckpointAsync(store, "one");
                    await CheckAsync(after, durable, again: 0);
                    Assert.Equal(1, await OneAsync(after, await after.OpenTableAsync(new TableOptions { Name = "memory" }), Kept[0]));
                },
                limitMs: 400_000);
        }
    }

    [Fact]
    public void All_servers_stop_just_as_a_generation_begins_and_rows_of_the_older_do_not_come_back_with_the_journals()
    {
        for (ulong seed = 1; seed <= 12; seed++)
        {
            using SimCluster cluster = Cluster(seed);
            var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            cluster.Scheduler.Stepped = () => _ = cluster.Nodes.Any(n => n.Map?.Generation == 2) && begun.TrySetResult();
            cluster.Run(
                async () =>
                {
                    var store = new MemoryCheckpoints();
                    WeirClient client = await cluster.ConnectAsync("a", Patient);
                    await SaveAsync(client, store);
                    Task restoring = client.RestoreCheckpointAsync(store, "one");
                    while (!begun.Task.IsCompleted)
                    {
                        await cluster.Scheduler.Delay(1, CancellationToken.None);
                    }

                    await cluster.Scheduler.Delay((long)seed % 4, CancellationToken.None);
                    await StopAllAsync(cluster);
                    await Task.WhenAny(restoring);
                    _ = restoring.Exception;
                    WeirClient after = await cluster.ConnectAsync("b", Patient);
                    await after.RestoreCheckpointAsync(store, "one");
                    WeirTable durable = await after.OpenTableAsync(new TableOptions { Name = "durable", Durable = true });
                    await CheckAsync(after, durable, again: 0);
                    await StopAllAsync(cluster);
                    await CheckAsync(await cluster.ConnectAsync("c", Patient), durable, again: 0);
                },
                limitMs: 400_000);
        }
    }

    private static SimCluster Cluster(ulong seed) => new(seed, servers: 2, acceptors: 1, replicas: (int)(seed % 2), journals: true, limits: new ServerLimits
    {
        NodeTimeoutMs = 1000,
        JournalBytes = seed % 3 == 0 ? 4 << 10 : 256 << 20,
        RecoveryWaitMs = 2000,
    });

    /// <summary>A checkpoint, and rows that come after it.</summary>
    private static async Task<(WeirTable Durable, WeirTable Memory)> SaveAsync(WeirClient client, MemoryCheckpoints store)
    {
        WeirTable durable = await client.OpenTableAsync(new TableOptions { Name = "durable", Durable = true });
        WeirTable memory = await client.OpenTableAsync(new TableOptions { Name = "memory" });
        await client.PushAsync(durable, Kept, Ones(Kept.Length));
        await client.PushAsync(memory, Kept, Ones(Kept.Length));
        await client.SaveCheckpointAsync(store, "one");
        await client.PushAsync(durable, Later, Ones(Later.Length));
        await client.PushAsync(durable, Kept, Ones(Kept.Length));
        return (durable, memory);
    }

    private static async Task StopAllAsync(SimCluster cluster)
    {
        for (int server = 0; server < 2; server++)
        {
            cluster.KillServer(server);
        }

        await cluster.Scheduler.Delay(500, CancellationToken.None);
        for (int server = 0; server < 2; server++)
        {
            cluster.RestartServer(server);
        }

        await cluster.Scheduler.Delay(5000, CancellationToken.None);
    }

    private static async Task CheckAsync(WeirClient client, WeirTable table, int again)
    {
        Dictionary<ulong, float> rows = [];
        await foreach (RowBatch batch in client.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Span[i]);
            }
        }

        Assert.Equal(Kept, rows.Keys.Order());
        Assert.All(rows, r => Assert.Equal(r.Key < (ulong)again ? 2f : 1f, r.Value));
    }

    private static async Task<float> OneAsync(WeirClient client, WeirTable table, ulong key)
    {
        float[] read = new float[1];
        await client.PullAsync(table, new[] { key }, read);
        return read[0];
    }

    private static float[] Ones(int count) => [.. Enumerable.Repeat(1f, count)];
}
