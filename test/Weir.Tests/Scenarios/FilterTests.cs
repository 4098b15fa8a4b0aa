using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;
using Weir.Tests.Wire;
using Weir.Wire;

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

    /// <summary>
    /// Loss, duplicates and reordering, a server that dies, lists of keys that are forgotten: what was pushed is rounded once, whoever holds it and
    /// however often it was sent, so that all replicas say the same, and it is near what was pushed; what was set is there to the bit.
    /// </summary>
    [Theory]
    [InlineData(Filters.RoundToBFloat16 | Filters.Lossless)]
    [InlineData(Filters.RoundToInt8 | Filters.Lossless)]
    [InlineData(Filters.RoundToInt8)]
    [InlineData(Filters.RoundToInt8 | Filters.Lossless | Filters.Lz4)]
    public void Rounded_pushes_and_pulls_stay_near_through_faults_and_the_death_of_a_server(Filters filters)
    {
        var limits = new ServerLimits { NodeTimeoutMs = 500, KeyListBytes = 20_000 };
        using var cluster = new SimCluster(5, servers: 3, replicas: 1, limits: limits);
        const int Rounds = 16;
        float[] values = [.. Enumerable.Range(0, 2 * Rows).Select(i => MathF.Sin(i))], pulled = new float[2 * Rows], exact = new float[2 * Rows];
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = filters, RetryMs = 150 }), plain = await cluster.ConnectAsync("b");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 }), set = await client.OpenTableAsync(new TableOptions { Name = "set", Width = 2 });
            cluster.Network.Faults = new SimFaults { LossPerMille = 20, DuplicatePerMille = 20, ReorderPerMille = 40 };
            for (int round = 0; round < Rounds; round++)
            {
                if (round == Rounds / 2)
                {
                    cluster.KillServer(2);
                }

                await client.PushAsync(table, Spread, values);
            }

            cluster.Network.Faults = SimFaults.None;
            await client.SetAsync(set, Spread, values);
            await client.PullAsync(table, Spread, pulled);
            await plain.PullAsync(table, Spread, exact);
            float[] copy = new float[2 * Rows];
            await plain.PullAsync(set, Spread, copy);
            Assert.Equal(values, copy);
        });
        // Ten standard deviations of a sum of sixteen roundings; they would add up to twice that if all were alike.
        const double AtMost = 0.16;
        for (int i = 0; i < exact.Length; i++)
        {
            Assert.InRange(Math.Abs(exact[i] - (Rounds * (double)values[i])), 0, AtMost);
            Assert.InRange(Math.Abs(pulled[i] - exact[i]), 0, AtMost);
        }
    }

    [Theory]
    [InlineData(Filters.RoundToBFloat16, 0.85)]
    [InlineData(Filters.RoundToInt8, 0.75)]
    [InlineData(Filters.RoundToInt8 | Filters.Lossless, 0.45)]
    public void Rounding_takes_bytes_in_both_directions(Filters filters, double atMost)
    {
        (long plain, _) = PushAndPull(Filters.None, null);
        (long bytes, _) = PushAndPull(filters, null);
        Assert.InRange(bytes, plain * atMost / 2, plain * atMost);
    }

    [Theory]
    [InlineData(Filters.RoundToBFloat16)]
    [InlineData(Filters.RoundToInt8)]
    public void A_value_that_is_not_finite_is_refused_and_one_near_the_largest_is_not(Filters filters)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = filters });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
            foreach (float bad in (float[])[float.NaN, float.PositiveInfinity, float.NegativeInfinity])
            {
                float[] values = [.. Dense];
                values[77] = bad;
                WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.PushAsync(table, Ids, values));
                Assert.Equal(Status.Failed, refused.Status);
            }

            await client.DeleteAsync(table, Ids);
            float[] large = [.. Enumerable.Repeat(float.MaxValue, 2 * Rows)], pulled = new float[2 * Rows];
            await client.PushAsync(table, Ids, large);
            await client.PullAsync(table, Ids, pulled);
            Assert.All(pulled, value => Assert.InRange(value, 3.3e38f, float.MaxValue));
        });
    }

    /// <summary>A server of the release before says in its HelloReply what it knows, and refuses nothing itself: the client does, before anything is pushed.</summary>
    [Fact]
    public void A_server_that_lacks_an_encoding_is_named_when_a_client_connects_that_will_use_it()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Network.Forge = (from, _, frame) =>
        {
            if (from == cluster.Servers[1] && (FrameKind)frame.Span[5] == FrameKind.HelloReply)
            {
                HelloBody.TryRead(frame.Span[FrameHeader.Size..], out HelloBody reply);
                var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
                (reply with { Encodings = KnownEncodings.CachedKeys | KnownEncodings.PackedKeys | KnownEncodings.ZeroBitmap | KnownEncodings.BFloat16 }).Write(ref writer);
                FrameMutator.Reseal(frame.Span);
            }

            return frame;
        };
        cluster.Run(async () =>
        {
            WeirException refused = await Assert.ThrowsAsync<WeirException>(() => cluster.ConnectAsync("a", new ClientOptions { Filters = Filters.RoundToInt8 }));
            Assert.Equal(Status.Conflict, refused.Status);
            Assert.Contains("does not know the encoding Int8", refused.Message);
            Assert.Equal(cluster.Servers[1].Address, refused.Node);
            await cluster.ConnectAsync("b", new ClientOptions { Filters = Filters.RoundToBFloat16 | Filters.Lossless });
        });
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
        Assert.Contains("Filters is 64", Assert.Single(new ClientOptions { Filters = (Filters)64 }.Validate()));

    [Fact]
    public void A_table_has_filters_of_its_own_and_each_tells_what_it_took()
    {
        using var cluster = new SimCluster(7, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = Filters.KeyCache | Filters.DeltaVarint });
            WeirTable rounded = await client.OpenTableAsync(new TableOptions { Name = "rounded", Width = 2, Filters = Filters.RoundToInt8 | Filters.ZeroBitmap });
            WeirTable exact = await client.OpenTableAsync(new TableOptions { Name = "exact", Width = 2 });
            Assert.Equal((Filters.RoundToInt8 | Filters.ZeroBitmap, null), (rounded.Filters, exact.Filters));
            float[] values = [.. Enumerable.Range(0, 2 * Rows).Select(i => i % 4 == 0 ? MathF.Sin(i) : 0)], read = new float[2 * Rows];
            await client.PushAsync(rounded, Ids, values);
            Assert.Equal(["int8", "zero"], client.Counters.ByFilter!.Select(f => f.Filter));
            Assert.All(client.Counters.ByFilter!, f => Assert.InRange(f.BytesOut, 1, f.BytesIn * 2 / 3));
            FilterBytes zero = client.Counters.ByFilter!.Single(f => f.Filter == FilterNames.ZeroBitmap);
            Assert.Equal(2 * Rows * sizeof(float), zero.BytesIn);

            // Key lists are named from the second time on; nothing of the other table is rounded.
            await client.PushAsync(exact, Ids, values);
            await client.PushAsync(exact, Ids, values);
            await client.PullAsync(exact, Ids, read);
            Assert.Equal([.. values.Select(v => v + v)], read);
            Assert.Equal(["int8", "key-cache", "varint", "zero"], client.Counters.ByFilter!.Select(f => f.Filter));
            Assert.Equal(zero, client.Counters.ByFilter!.Single(f => f.Filter == FilterNames.ZeroBitmap));
            ArgumentException fault = await Assert.ThrowsAsync<ArgumentException>(() => client.OpenTableAsync(new TableOptions { Name = "both", Filters = Filters.RoundToInt8 | Filters.RoundToBFloat16 }));
            Assert.Contains("both RoundToBFloat16 and RoundToInt8", fault.Message);
        });
    }

    [Fact]
    public void A_table_whose_filters_a_server_does_not_know_is_refused_as_it_is_opened()
    {
        using var cluster = new SimCluster(8, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            cluster.Network.Forge = (from, _, frame) =>
            {
                if (from == cluster.Servers[1] && (FrameKind)frame.Span[5] == FrameKind.HelloReply)
                {
                    HelloBody.TryRead(frame.Span[FrameHeader.Size..], out HelloBody reply);
                    var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
                    (reply with { Encodings = KnownEncodings.All & ~KnownEncodings.Lz4 }).Write(ref writer);
                    FrameMutator.Reseal(frame.Span);
                }

                return frame;
            };
            WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "t", Filters = Filters.Lz4 }));
            Assert.Contains("does not know the encoding Lz4", refused.Message);
            await client.OpenTableAsync(new TableOptions { Name = "t", Filters = Filters.Lossless });
        });
    }

    [Fact]
    public void A_table_with_filters_of_its_own_is_opened_although_the_manager_has_just_died()
    {
        using var cluster = new SimCluster(9, servers: 3, replicas: 1, acceptors: 3, limits: new ServerLimits { NodeTimeoutMs = 500 });
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            cluster.KillServer(0);
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Filters = Filters.RoundToInt8 });
            Assert.Equal(Filters.RoundToInt8, table.Filters);
        });
    }

    [Fact]
    public void Two_forms_of_a_float_exclude_each_other() =>
        Assert.Contains("both RoundToBFloat16 and RoundToInt8", Assert.Single(new ClientOptions { Filters = Filters.RoundToBFloat16 | Filters.RoundToInt8 }.Validate()));

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
