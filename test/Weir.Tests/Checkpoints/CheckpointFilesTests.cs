using Weir.Checkpoints;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Sim;

namespace Weir.Tests.Checkpoints;

/// <summary>What is wrong with a checkpoint is found and named, and nothing of it is loaded (promise G9).</summary>
public class CheckpointFilesTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 40).Select(i => (ulong)i)];

    [Fact]
    public void Every_truncation_of_every_file_is_named()
    {
        MemoryCheckpoints store = Written(1);
        foreach (string name in store.Objects.Keys.ToArray())
        {
            byte[] whole = store.Objects[name];
            for (int length = 0; length < whole.Length; length++)
            {
                store.Objects[name] = whole[..length];
                Assert.Contains(Faults(store), f => f.StartsWith(name, StringComparison.Ordinal));
            }

            store.Objects[name] = whole;
        }

        Assert.Empty(Faults(store));
    }

    [Fact]
    public void Every_flipped_bit_of_a_byte_in_three_is_named()
    {
        MemoryCheckpoints store = Written(1);
        foreach (string name in store.Objects.Keys.ToArray())
        {
            byte[] bytes = store.Objects[name];
            for (int bit = 0; bit < bytes.Length * 8; bit += bytes.Length > 4000 ? 23 : 1)
            {
                bytes[bit / 8] ^= (byte)(1 << (bit % 8));
                Assert.Contains(Faults(store), f => f.StartsWith(name, StringComparison.Ordinal));
                bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            }
        }

        Assert.Empty(Faults(store));
    }

    [Fact]
    public void A_missing_file_one_of_another_checkpoint_and_one_that_is_longer_are_named()
    {
        MemoryCheckpoints store = Written(1), other = Written(2);
        const string Blocks = "one/blocks-00000";
        byte[] own = store.Objects[Blocks];
        store.Objects[Blocks] = other.Objects[Blocks];
        Assert.Contains("another checkpoint", Assert.Single(Faults(store)), StringComparison.Ordinal);
        store.Objects[Blocks] = [.. own, 0];
        Assert.Contains($"{own.Length} were written", Assert.Single(Faults(store)), StringComparison.Ordinal);
        store.Objects.Remove(Blocks);
        Assert.Contains("missing", Assert.Single(Faults(store)), StringComparison.Ordinal);
        store.Objects["one/manifest"] = other.Objects["one/manifest"];
        Assert.NotEmpty(Faults(store));
        store.Objects.Remove("one/manifest");
        Assert.Contains("missing", Assert.Single(Faults(store)), StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_of_a_damaged_checkpoint_is_loaded()
    {
        MemoryCheckpoints store = Written(1);
        store.Objects["one/blocks-00000"][^5] ^= 4;
        using var cluster = new SimCluster(3, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("c");
            WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.RestoreCheckpointAsync(store, "one"));
            Assert.Equal(Status.Malformed, refused.Status);
            Assert.Contains("one/blocks-00000", refused.Message, StringComparison.Ordinal);
            Assert.Equal(1, (await client.GetStatusAsync()).Generation);
        });
    }

    [Fact]
    public void A_cluster_of_another_number_of_segments_or_with_tables_of_its_own_refuses()
    {
        MemoryCheckpoints store = Written(1);
        foreach (int bits in new[] { 6, 7 })
        {
            using var cluster = new SimCluster(3, servers: 1, segmentBits: bits);
            cluster.Run(async () =>
            {
                WeirClient client = await cluster.ConnectAsync("c");
                await client.OpenTableAsync(new TableOptions { Name = "mine" });
                WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.RestoreCheckpointAsync(store, "one"));
                Assert.Equal(Status.Conflict, refused.Status);
                Assert.Contains(bits == 6 ? "new cluster" : "64 segments", refused.Message, StringComparison.Ordinal);
            });
        }
    }

    /// <summary>Rows, optimizer state and de-duplication come back to the bit, on another number of servers; what came after is gone.</summary>
    [Fact]
    public void A_restored_table_goes_on_in_the_bits_of_one_that_was_never_away()
    {
        var store = new MemoryCheckpoints();
        float[] expected = new float[Keys.Length];
        using (var cluster = new SimCluster(1, servers: 3, replicas: 1))
        {
            cluster.Run(async () =>
            {
                WeirClient client = await cluster.ConnectAsync("c");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "own", Rule = UpdateRule.Adagrad(0.3f) });
                await client.PushAsync(table, Keys, Keys.Select(k => 0.1f * k).ToArray());
                await client.DeleteAsync(table, Keys.AsMemory(0, 3));
                await client.SaveCheckpointAsync(store, "one");
                await client.PushAsync(table, Keys, Keys.Select(k => 0.7f).ToArray());
                await client.PullAsync(table, Keys, expected);
                await client.PushAsync(table, Keys, Keys.Select(k => 9f).ToArray());
                await client.RestoreCheckpointAsync(store, "one");
                float[] again = new float[Keys.Length];
                await client.PushAsync(table, Keys, Keys.Select(k => 0.7f).ToArray());
                await client.PullAsync(table, Keys, again);
                Assert.Equal(expected, again);
            });
        }

        using var other = new SimCluster(2, servers: 1);
        other.Run(async () =>
        {
            WeirClient client = await other.ConnectAsync("c");
            await client.RestoreCheckpointAsync(store, "one");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "own", Rule = UpdateRule.Adagrad(0.3f) });
            await client.PushAsync(table, Keys, Keys.Select(k => 0.7f).ToArray());
            float[] again = new float[Keys.Length];
            await client.PullAsync(table, Keys, again);
            Assert.Equal(expected, again);
        });
    }

    /// <summary>Sessions are numbered above those of the checkpoint. Should one be the same all the same, it begins at n = 1.</summary>
    [Fact]
    public void What_a_session_of_the_older_generation_had_sent_does_not_count_for_one_of_the_same_number()
    {
        var store = new MemoryCheckpoints();
        using (var first = new SimCluster(1, servers: 1))
        {
            first.Run(async () =>
            {
                WeirClient client = await first.ConnectAsync("c");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                await client.HostWorkersAsync(job, (worker, stop) => StepsAsync(client, job, worker, 1, stop));
                await client.SaveCheckpointAsync(store, "one");
            });
        }

        Assert.Null(Manifest.TryDecode(store.Objects["one/manifest"], out Manifest manifest));
        MapJob recorded = manifest.Map.Jobs[0];
        recorded = recorded with { Workers = [recorded.Workers[0] with { Process = 0, Session = 0, FinishedThrough = MapWorker.Working }] };
        store.Objects["one/manifest"] = (manifest with { Map = manifest.Map with { NextSession = 1, Jobs = [recorded] } }).Encode();
        using var cluster = new SimCluster(3, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("c");
            await client.RestoreCheckpointAsync(store, "one");
            Job job = await client.FindJobAsync("j");
            await client.HostWorkersAsync(job, (worker, stop) => StepsAsync(client, job, worker, 2, stop));
            float[] read = new float[1];
            await client.PullAsync(await client.OpenTableAsync(new TableOptions { Name = "t", Job = job }), Keys.AsMemory(0, 1), read);
            Assert.Equal(2f, read[0]);
        });
    }

    private static async Task StepsAsync(WeirClient client, Job job, Worker worker, long last, CancellationToken stop)
    {
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job }, stop);
        while (worker.Clock < last)
        {
            await worker.PushAsync(table, Keys.AsMemory(0, 1), new float[] { 1 }, stop);
            await worker.ClockAsync(stop);
        }
    }

    [Fact]
    public async Task The_last_stay_and_what_was_never_completed_before_them_goes()
    {
        var store = new MemoryCheckpoints();
        foreach (string name in new[] { "a", "b", "c" })
        {
            MemoryCheckpoints one = Written(1);
            store.Objects[$"{name}/manifest"] = one.Objects["one/manifest"];
            store.Objects[$"{name}/blocks-00000"] = one.Objects["one/blocks-00000"];
        }

        store.Objects["aa/blocks-00000"] = [1];
        store.Objects["d/blocks-00000"] = [1];
        var catalog = new CheckpointCatalog(store);
        await catalog.KeepAsync(2, TestContext.Current.CancellationToken);
        Assert.Equal(["b", "c"], (await catalog.ListAsync(TestContext.Current.CancellationToken)).Select(c => c.Name));
        Assert.Equal(["b/blocks-00000", "b/manifest", "c/blocks-00000", "c/manifest", "d/blocks-00000"], store.Objects.Keys);
    }

    [Theory]
    [InlineData("")]
    [InlineData("..")]
    [InlineData("a/b")]
    [InlineData(".hidden")]
    public void A_name_cannot_lead_out_of_its_store(string name) => Assert.Throws<ArgumentException>(() => CheckpointCatalog.CheckName(name));

    private static IReadOnlyList<string> Faults(MemoryCheckpoints store) => new CheckpointCatalog(store).VerifyAsync("one").GetAwaiter().GetResult();

    /// <summary>A small checkpoint of one table.</summary>
    private static MemoryCheckpoints Written(ulong seed)
    {
        var store = new MemoryCheckpoints();
        using var cluster = new SimCluster(seed, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("c");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            await client.PushAsync(table, Keys.AsMemory(0, 4), new float[] { 1, 2, 3, 4 });
            await client.SaveCheckpointAsync(store, "one");
        });
        return store;
    }
}
