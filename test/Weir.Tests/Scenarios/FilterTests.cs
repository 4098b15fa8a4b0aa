using Weir.Client;
using Weir.Server;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>A client's filters: fewer bytes, the same bits.</summary>
public class FilterTests
{
    private const int Rows = 2000;
    private static readonly ulong[] Ids = [.. Enumerable.Range(0, Rows).Select(i => (ulong)i)];
    private static readonly ulong[] Spread = [.. Ids.Select(i => i * 0x9E37_79B9_7F4A_7C15)];
    private static readonly float[] Dense = [.. Enumerable.Range(0, 2 * Rows).Select(i => i + 0.5f)];
    private static readonly float[] Sparse = [.. Enumerable.Range(0, 2 * Rows).Select(i => i % 10 == 0 ? -i : i % 10 == 1 ? -0.0f : 0)];

    [Theory]
    [InlineData(Filters.KeyCache, 0.7)]
    [InlineData(Filters.DeltaVarint, 0.85)]
    [InlineData(Filters.ZeroBitmap, 0.85)]
    [InlineData(Filters.Lossless, 0.5)]
    public void Each_filter_takes_bytes_and_changes_no_bit(Filters filters, double atMost)
    {
        (long plain, float[][] expected) = PushAndPull(Filters.None, null);
        (long bytes, float[][] read) = PushAndPull(filters, null);
        Assert.Equal(expected, read);
        Assert.InRange(bytes, plain * atMost / 2, plain * atMost);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1000)]
    [InlineData(30_000)]
    public void A_server_that_forgets_key_lists_asks_for_them_and_nothing_is_lost(long keyListBytes)
    {
        (long plain, float[][] expected) = PushAndPull(Filters.None, null);
        (long bytes, float[][] read) = PushAndPull(Filters.Lossless, new ServerLimits { KeyListBytes = keyListBytes });
        Assert.Equal(expected, read);
        Assert.InRange(bytes, 0, plain);
    }

    [Fact]
    public void Lists_that_a_server_always_forgets_are_soon_sent_at_once()
    {
        using var cluster = new SimCluster(1, servers: 1, limits: new ServerLimits { KeyListBytes = 1000 });
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = Filters.KeyCache });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
            for (int round = 0; round < 100; round++)
            {
                await client.PushAsync(table, Ids, Dense);
            }
        });
        (long hits, long misses) = References(cluster);

        // All 64 lists of one push before the first miss is known; then one in a pause that grows to 4,096 of 6,400, with those beside it.
        Assert.InRange(misses, 64, 640);
        Assert.InRange(hits, 0, misses);
    }

    [Fact]
    public void A_list_is_named_only_to_a_node_that_has_answered_for_it()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = Filters.KeyCache });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
            Task first = client.PushAsync(table, Ids, Dense);
            Task second = client.PushAsync(table, Ids, Dense);
            await Task.WhenAll(first, second);
            Assert.Equal((0, 0), References(cluster));
            await client.PullAsync(table, Ids, new float[2 * Rows]);
            Assert.Equal((64, 0), References(cluster));
            await client.PushPullAsync(table, Ids, Dense, new float[2 * Rows]);

            // The part, and the item that takes its keys from it.
            Assert.Equal((192, 0), References(cluster));

            // Another client has its own memory of what was answered.
            WeirClient other = await cluster.ConnectAsync("b", new ClientOptions { Filters = Filters.KeyCache });
            await other.PullAsync(table, Ids, new float[2 * Rows]);
            Assert.Equal((192, 0), References(cluster));
        });
    }

    [Fact]
    public void Options_that_name_no_filter_are_refused() =>
        Assert.Contains("Filters is 8", Assert.Single(new ClientOptions { Filters = (Filters)8 }.Validate()));

    private static (long Hits, long Misses) References(SimCluster cluster) =>
        (cluster.Nodes.Sum(n => n.KeyListReferences.Hits), cluster.Nodes.Sum(n => n.KeyListReferences.Misses));

    private static (long Bytes, float[][] Read) PushAndPull(Filters filters, ServerLimits? limits)
    {
        using var cluster = new SimCluster(1, servers: 2, limits: limits);
        List<float[]> read = [];
        long bytes = 0;
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = filters });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2, InitialValue = 0.25f });
            for (int round = 0; round < 4; round++)
            {
                foreach (ulong[] keys in new[] { Ids, Spread })
                {
                    await client.PushAsync(table, keys, round % 2 == 0 ? Dense : Sparse);
                    read.Add(new float[2 * Rows]);
                    await client.PullAsync(table, keys, read[^1]);
                    read.Add(new float[2 * Rows]);
                    await client.PushPullAsync(table, keys, Sparse, read[^1]);
                }

                await client.SetAsync(table, Ids, Sparse);
                read.Add(new float[2 * Rows]);
                await client.PullAsync(table, Ids, read[^1]);
                await client.DeleteAsync(table, Spread);
                read.Add(new float[2 * Rows]);
                await client.PullAsync(table, Spread, read[^1]);
            }

            bytes = client.Counters.PushBytes + client.Counters.PullBytes;
        });
        return (bytes, [.. read]);
    }
}
