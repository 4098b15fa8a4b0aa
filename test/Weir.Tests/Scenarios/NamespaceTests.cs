using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.Store;

namespace Weir.Tests.Scenarios;

/// <summary>Several jobs share servers without seeing each other, with a memory quota each (Li et al. OSDI 2014, section 3; papers PS-6; docs/decisions/0106).</summary>
public class NamespaceTests
{
    private const int Width = 4;

    // A row's floats under Add, and its key in the index.
    private const long RowBytes = (Width * sizeof(float)) + Slot.Bytes;

    [Fact]
    public void PS06_clients_of_other_namespaces_have_tables_jobs_and_vectors_of_the_same_names_and_those_of_one_share_them() => Run(1, servers: 2, replicas: 0, async cluster =>
    {
        WeirClient[] clients = [await In(cluster, ""), await In(cluster, "ads"), await In(cluster, "news")];
        WeirClient reader = await In(cluster, "ads");
        ulong[] keys = [1, 2, 3];
        List<(WeirTable Table, Job Job, WeirVector Vector)> opened = [];
        for (int i = 0; i < clients.Length; i++)
        {
            Job job = await clients[i].OpenJobAsync(new JobOptions { Name = "training", Workers = i + 1 });
            WeirTable table = await clients[i].OpenTableAsync(new TableOptions { Name = "weights", Width = i + 1, Job = job });
            WeirVector vector = await WeirVector.OpenAsync(clients[i], new VectorOptions("gradient", 100 + i));
            opened.Add((table, job, vector));
            Assert.Equal("weights", table.Name);
            float[] ones = new float[keys.Length * (i + 1)];
            Array.Fill(ones, i + 1f);
            await clients[i].PushAsync(table, keys, ones);
            await vector.FillAsync(i + 1);
        }

        for (int i = 0; i < clients.Length; i++)
        {
            float[] values = new float[keys.Length * (i + 1)];
            await clients[i].PullAsync(opened[i].Table, keys, values);
            Assert.All(values, value => Assert.Equal(i + 1, value));
            Assert.Equal((100 + i) * (i + 1), await opened[i].Vector.SumAsync());
            ClusterStatus status = await clients[i].GetStatusAsync();
            Assert.Equal(["weights", "gradient"], status.Tables.Select(t => t.Name));
            Assert.Equal([.. Enumerable.Repeat("training", i + 1)], status.Workers.Select(w => w.Job));
            Assert.Equal(["", "ads", "news"], status.Namespaces.Select(n => n.Name));
            Assert.Equal((2, 1, i + 1), (status.Namespaces[i].Tables, status.Namespaces[i].Jobs, status.Namespaces[i].WorkersAtWork));

            // By name each finds its own, and another's is not there by its number either.
            Assert.Equal(opened[i].Job.Group, (await clients[i].FindJobAsync("training")).Group);
            Assert.Equal(opened[i].Job.Group, (await clients[i].FindJobAsync((string?)null)).Group);
            WeirException missing = await Assert.ThrowsAsync<WeirException>(() => clients[i].FindJobAsync(opened[(i + 1) % 3].Job.Group));
            Assert.Equal(Status.Ended, missing.Status);
        }

        // A reader of the trainer's namespace has its job, its table and its values.
        Job shared = await reader.FindJobAsync("training");
        WeirTable read = await reader.OpenTableAsync(new TableOptions { Name = "weights", Width = 2, Job = shared });
        float[] seen = new float[2];
        await reader.PullAsync(read, new ulong[] { 3 }, seen);
        Assert.Equal([2, 2], seen);
        WeirException conflict = await Assert.ThrowsAsync<WeirException>(() => reader.OpenTableAsync(new TableOptions { Name = "weights", Width = 3, Job = shared }));
        Assert.StartsWith("table ads/weights exists as", conflict.Message);

        // What is dropped in one is there in the others.
        await clients[1].DropTableAsync(opened[1].Table);
        Assert.Equal(["gradient"], (await reader.GetStatusAsync()).Tables.Select(t => t.Name));
        await clients[2].PullAsync(opened[2].Table, new ulong[] { 3 }, new float[3]);
    });

    [Fact]
    public void PS06_tasks_are_issued_to_the_node_of_a_name_in_the_callers_namespace() => Run(2, servers: 1, replicas: 0, async cluster =>
    {
        foreach (string name in (string[])["ads", "news"])
        {
            WeirClient node = await cluster.ConnectAsync("worker", new ClientOptions { Namespace = name });
            _ = node.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
            {
                ["where"] = _ => Task.FromResult<ReadOnlyMemory<byte>>(System.Text.Encoding.UTF8.GetBytes(name)),
            });
        }

        foreach (string name in (string[])["news", "ads"])
        {
            WeirClient caller = await In(cluster, name);
            Assert.Equal(name, System.Text.Encoding.UTF8.GetString((await caller.Tasks.Issue("worker", "where").Finished).Span));
            Assert.Throws<ArgumentException>(() => caller.Tasks.Issue("news/worker", "where"));
        }

        WeirClient outside = await cluster.ConnectAsync("outside", new ClientOptions { UnreachableMs = 1000 });
        WeirException nobody = await Assert.ThrowsAsync<WeirException>(() => outside.Tasks.Issue("worker", "where").Finished);
        Assert.Equal(Status.Down, nobody.Status);
    });

    [Theory]
    [InlineData("a/b")]
    [InlineData("a b")]
    [InlineData("-a")]
    [InlineData("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public void What_is_no_namespace_is_refused_before_anything_is_asked(string name) => Run(3, servers: 1, replicas: 0, async cluster =>
    {
        ArgumentException wrong = await Assert.ThrowsAsync<ArgumentException>(() => In(cluster, name));
        Assert.Contains("a namespace's name has 1 to 64 letters", wrong.Message);
        WeirClient client = await In(cluster, "");
        await Assert.ThrowsAsync<ArgumentException>(() => client.SetNamespaceQuotaAsync(name, 1));
    });

    [Fact]
    public void A_name_with_a_slash_or_none_or_too_long_a_one_is_refused_and_so_is_a_quota_of_nothing() => Run(4, servers: 1, replicas: 0, async cluster =>
    {
        WeirClient client = await In(cluster, "ads");
        await Assert.ThrowsAsync<ArgumentException>(() => client.OpenTableAsync(new TableOptions { Name = "a/b" }));
        await Assert.ThrowsAsync<ArgumentException>(() => client.OpenJobAsync(new JobOptions { Name = "news/job", Workers = 1 }));
        foreach (string name in (string[])["", new string('a', 257)])
        {
            WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = name }));
            Assert.Equal((Status.Conflict, "a table's name has 1 to 256 bytes"), (refused.Status, refused.Message));
        }

        await client.OpenTableAsync(new TableOptions { Name = new string('a', 256) });
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.SetNamespaceQuotaAsync("ads", 0));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.SetNamespaceQuotaAsync("ads", -1));
    });

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void PS06_a_namespace_over_its_quota_waits_and_others_go_on_and_with_a_higher_one_every_push_stands_once(int replicas) => Run(5, servers: 3, replicas, async cluster =>
    {
        const int Rows = 6400;
        WeirClient trainer = await cluster.ConnectAsync("trainer", new ClientOptions { Namespace = "ads", DeadlineMs = 5000 });
        WeirClient reader = await In(cluster, "ads"), other = await In(cluster, "news");
        await other.SetNamespaceQuotaAsync("ads", Rows * RowBytes);
        WeirTable table = await trainer.OpenTableAsync(new TableOptions { Name = "w", Width = Width });
        WeirTable others = await other.OpenTableAsync(new TableOptions { Name = "w", Width = Width });
        (ulong[] keys, float[] ones) = Some(0, Rows * 2);
        WeirException refused = await Assert.ThrowsAsync<WeirException>(() => InBlocks(trainer, table, keys, ones));
        Assert.Equal(Status.DeadlineExceeded, refused.Status);
        Assert.Contains("namespace ads is over its quota", refused.Message);
        NamespaceStatus status = (await reader.GetStatusAsync()).Namespaces.Single(n => n.Name == "ads");
        Assert.Equal((Rows * RowBytes, status.Rows * RowBytes), (status.QuotaBytes, status.Bytes));
        Assert.InRange(status.Rows, Rows * 9 / 10, Rows);
        await other.PushAsync(others, keys, ones);

        // Who updates rows that are there does not wait, and reads go on.
        ulong[] there = await KeysOf(reader, table);
        WeirTable own = await reader.OpenTableAsync(new TableOptions { Name = "w", Width = Width });
        await reader.PushAsync(own, there, ones.AsMemory(0, there.Length * Width));
        await other.SetNamespaceQuotaAsync("ads", Rows * 2 * RowBytes * 2);
        await cluster.Scheduler.Delay(2000, CancellationToken.None);
        HashSet<ulong> twice = [.. there];
        float[] values = new float[keys.Length * Width];
        PullResult all = await reader.PullAsync(own, keys, values);
        Assert.Equal(keys.Length, all.Found);
        Assert.All(keys, key => Assert.Equal(twice.Contains(key) ? 2 : 1, values[(int)key * Width]));
    });

    [Fact]
    public void PS06_what_is_lost_of_a_quota_by_moves_and_deaths_is_nothing() => Run(6, servers: 3, replicas: 1, async cluster =>
    {
        const int Rows = 12_800;
        WeirClient client = await cluster.ConnectAsync("trainer", new ClientOptions { Namespace = "ads", DeadlineMs = 20_000 });
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "w", Width = Width });
        await client.SetNamespaceQuotaAsync("ads", Rows * RowBytes);
        (ulong[] keys, float[] ones) = Some(0, Rows * 3 / 4);
        await client.PushAsync(table, keys, ones);
        CheckCounts(cluster, keys.Length);
        cluster.AddServer();
        await Settled(cluster, 4);
        CheckCounts(cluster, keys.Length);
        cluster.KillServer(1);
        await Settled(cluster, 3);
        CheckCounts(cluster, keys.Length);
        await client.DeleteAsync(table, keys.AsMemory(0, Rows / 4));
        CheckCounts(cluster, Rows / 2);

        // The quota came through all of this: as much as it says fits and no more.
        (keys, ones) = Some(Rows, Rows);
        await Assert.ThrowsAsync<WeirException>(() => InBlocks(client, table, keys, ones));
        NamespaceStatus status = (await client.GetStatusAsync()).Namespaces.Single();
        Assert.InRange(status.Rows, Rows * 9 / 10, Rows);
        await client.DropTableAsync(table);
        WeirTable next = await client.OpenTableAsync(new TableOptions { Name = "w", Width = Width });
        (keys, ones) = Some(0, Rows * 3 / 4);
        await client.PushAsync(next, keys, ones);
        CheckCounts(cluster, keys.Length);
    });

    [Fact]
    public void PS06_a_checkpoint_is_loaded_into_the_namespaces_and_quotas_it_was_written_of()
    {
        var store = new MemoryCheckpoints();
        (ulong[] keys, float[] ones) = Some(0, 1000);
        Run(7, servers: 2, replicas: 0, async cluster =>
        {
            foreach (string name in (string[])["ads", "news"])
            {
                WeirClient client = await In(cluster, name);
                await client.PushAsync(await client.OpenTableAsync(new TableOptions { Name = "w", Width = Width }), keys, ones);
            }

            WeirClient operators = await In(cluster, "");
            await operators.SetNamespaceQuotaAsync("ads", 1000 * RowBytes);
            await operators.SaveCheckpointAsync(store, "c");
        });
        Run(8, servers: 3, replicas: 0, async cluster =>
        {
            WeirClient operators = await In(cluster, ""), ads = await cluster.ConnectAsync("ads", new ClientOptions { Namespace = "ads", DeadlineMs = 2000 }), news = await In(cluster, "news");
            await operators.SetNamespaceQuotaAsync("news", 1);
            await operators.RestoreCheckpointAsync(store, "c");
            ClusterStatus status = await operators.GetStatusAsync();
            Assert.Equal([("ads", 1000L, 1000 * RowBytes), ("news", 1000L, (long?)1)], status.Namespaces.Select(n => (n.Name, n.Rows, n.QuotaBytes)));

            // The rows of news are more than it may have by now: they are there, as they were.
            foreach (WeirClient client in (WeirClient[])[ads, news])
            {
                float[] values = new float[ones.Length];
                Assert.Equal(keys.Length, (await client.PullAsync(await client.OpenTableAsync(new TableOptions { Name = "w", Width = Width }), keys, values)).Found);
                Assert.Equal(ones, values);
            }

            (ulong[] more, float[] others) = Some(1000, 1000);
            WeirException refused = await Assert.ThrowsAsync<WeirException>(async () =>
                await ads.PushAsync(await ads.OpenTableAsync(new TableOptions { Name = "w", Width = Width }), more, others));
            Assert.Contains("namespace ads is over its quota", refused.Message);
        });
    }

    private static void Run(ulong seed, int servers, int replicas, Func<SimCluster, Task> scenario)
    {
        using var cluster = new SimCluster(seed, servers, replicas: replicas, limits: new ServerLimits { NodeTimeoutMs = 1000 });
        cluster.Run(() => scenario(cluster), limitMs: 120_000);
    }

    private static Task<WeirClient> In(SimCluster cluster, string name) => cluster.ConnectAsync($"client {cluster.Clients.Count} of {name}", new ClientOptions { Namespace = name });

    private static (ulong[] Keys, float[] Ones) Some(int first, int count)
    {
        float[] ones = new float[count * Width];
        Array.Fill(ones, 1);
        return ([.. Enumerable.Range(first, count).Select(i => (ulong)i)], ones);
    }

    /// <summary>Pushes all at once, some rows a part: of a part all rows find room or none.</summary>
    private static Task InBlocks(WeirClient client, WeirTable table, ulong[] keys, float[] values)
    {
        const int Block = 640;
        return Task.WhenAll(Enumerable.Range(0, keys.Length / Block).Select(i => client.PushAsync(table, keys.AsMemory(i * Block, Block), values.AsMemory(i * Block * Width, Block * Width))));
    }

    private static async Task<ulong[]> KeysOf(WeirClient client, WeirTable table)
    {
        List<ulong> keys = [];
        await foreach (RowBatch batch in client.ScanAsync(table))
        {
            keys.AddRange(batch.Keys.ToArray());
        }

        return [.. keys];
    }

    /// <summary>Of all copies of a row one counts, that of the head; and what a table counts is what its segments have.</summary>
    private static void CheckCounts(SimCluster cluster, int rows)
    {
        long counted = 0;
        foreach (NodeState node in Enumerable.Range(0, cluster.Nodes.Count).Where(cluster.Runs).Select(i => cluster.Nodes[i].State))
        {
            long ofNode = node.Tables.Values.Sum(t => t.CountedRows);
            Assert.Equal(node.HeadedSegments.SelectMany(s => s.Tables).Sum(t => t.Rows.Rows), ofNode);
            counted += ofNode;
        }

        Assert.Equal(rows, counted);
    }

    private static async Task Settled(SimCluster cluster, int servers)
    {
        for (int looks = 0; looks < 600; looks++)
        {
            ClusterMap map = cluster.Nodes[0].Map!;
            if (map.Members.Length == servers && Array.TrueForAll(map.Chains, c => c.Members.Length == 2 && Array.TrueForAll(c.Members, m => m.IsComplete)))
            {
                await cluster.Scheduler.Delay(1000, CancellationToken.None);
                return;
            }

            await cluster.Scheduler.Delay(100, CancellationToken.None);
        }

        Assert.Fail("the cluster does not settle");
    }
}
