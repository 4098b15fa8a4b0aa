using Weir.Client;
using Weir.Host;
using Weir.Keys;
using Weir.World;

namespace Weir.Tests.Scenarios;

public class ConcurrencyTests
{
    [Fact]
    public async Task A_call_with_a_key_in_each_of_many_segments_is_cut_into_frames_by_the_heads_of_its_items()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { SegmentBits = 16 });
        await using WeirClient client = await cluster.ConnectAsync();
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
        ulong[] keys = [.. Enumerable.Range(0, 60_000).Select(key => (ulong)key)];
        float[] ones = [.. keys.Select(_ => 1f)];
        float[] read = new float[keys.Length];
        await client.PushAsync(table, keys, ones);
        Assert.Equal(keys.Length, (await client.PullAsync(table, keys, read)).Found);
        Assert.Equal(ones, read);
        await client.PushPullAsync(table, keys, ones, read);
        Assert.All(read, value => Assert.Equal(2, value));
    }

    [Fact]
    public async Task Three_hundred_callers_of_one_client_lose_nothing()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync();
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 3 });
        long[] expected = new long[50];
        await Task.WhenAll(Enumerable.Range(0, 300).Select(caller => Task.Run(async () =>
        {
            var rng = new Rng((ulong)caller);
            for (int call = 0; call < 10; call++)
            {
                ulong[] keys = [.. Enumerable.Range(0, 1 + rng.Below(20)).Select(_ => (ulong)rng.Below(50))];
                float[] values = [.. keys.SelectMany(k => new float[] { 1, k, 2 })];
                foreach (ulong key in keys)
                {
                    Interlocked.Increment(ref expected[key]);
                }

                await client.PushAsync(table, keys, values);
                float[] read = new float[values.Length];
                await client.PullAsync(table, keys, read);
                Assert.All(Enumerable.Range(0, keys.Length), i => Assert.True(read[3 * i] >= 1 && read[(3 * i) + 1] == read[3 * i] * keys[i]));
            }
        })));
        float[] total = new float[150];
        await client.PullAsync(table, Enumerable.Range(0, 50).Select(i => (ulong)i).ToArray(), total);
        Assert.Equal(expected, Enumerable.Range(0, 50).Select(i => (long)total[3 * i]));
    }

    [Fact]
    public async Task Large_pushes_and_pulls_are_cut_into_frames_and_put_together_again()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2, SegmentBits = 6 });
        await using WeirClient client = await cluster.ConnectAsync(new ClientOptions { PendingBytes = 1 << 20, WindowFrames = 2 });
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 5 });
        ulong[] keys = [.. Enumerable.Range(0, 200_000).Select(i => Mix.Of((ulong)i))];
        float[] values = [.. Enumerable.Range(0, keys.Length * 5).Select(i => (float)i)];
        await client.PushAsync(table, keys, values);
        float[] read = new float[values.Length];
        PullResult result = await client.PullAsync(table, keys, read);
        Assert.Equal(keys.Length, result.Found);
        Assert.True(values.AsSpan().SequenceEqual(read));
        Assert.True(client.Counters.Requests > 10);
    }

    [Fact]
    public async Task The_same_bytes_cross_in_process_as_over_tcp()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 1, SegmentBits = 8 });
        await using WeirClient embedded = await cluster.ConnectAsync();
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 8 });
        await using WeirClient tcp = await WeirHost.ConnectAsync([server.Address]);
        ClientCounters inProcess = await WorkAsync(embedded);
        ClientCounters overTcp = await WorkAsync(tcp);
        Assert.Equal((inProcess.PushBytes, inProcess.PullBytes), (overTcp.PushBytes, overTcp.PullBytes));
        Assert.Equal((inProcess.Keys, inProcess.Values), (overTcp.Keys, overTcp.Values));
        Assert.True(inProcess.PushBytes > 100_000);
    }

    [Fact]
    public async Task A_second_declaration_of_a_table_agrees_or_is_refused()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded();
        await using WeirClient client = await cluster.ConnectAsync();
        WeirTable first = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2, Rule = UpdateRule.Ftrl(0.1f) });
        WeirTable again = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2, Rule = UpdateRule.Ftrl(0.1f) });
        Assert.Equal(first.Id, again.Id);
        WeirException conflict = await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "t", Width = 3 }));
        Assert.Equal(Status.Conflict, conflict.Status);
        Assert.Contains("width 2", conflict.Message);
        Assert.Contains("width 3", conflict.Message);
        await client.DropTableAsync(first);
        WeirException gone = await Assert.ThrowsAsync<WeirException>(() => client.PullAsync(first, new ulong[] { 1 }, new float[2]));
        Assert.Equal(Status.UnknownTable, gone.Status);
    }

    [Fact]
    public async Task Misuse_names_the_argument_and_the_valid_range()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded();
        await using WeirClient client = await cluster.ConnectAsync();
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
        ArgumentException shape = await Assert.ThrowsAsync<ArgumentException>(() => client.PushAsync(table, new ulong[] { 1 }, new float[1]));
        Assert.Contains("need 2 floats, not 1", shape.Message);
        Assert.Throws<ArgumentOutOfRangeException>(() => UpdateRule.Sgd(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 0 }));
    }

    private static async Task<ClientCounters> WorkAsync(WeirClient client)
    {
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 4 });
        var rng = new Rng(3);
        for (int i = 0; i < 20; i++)
        {
            ulong[] keys = [.. Enumerable.Range(0, 500).Select(_ => rng.Next() % 10_000)];
            await client.PushAsync(table, keys, new float[2000]);
            await client.PullAsync(table, keys, new float[2000]);
            await client.PushPullAsync(table, keys, new float[2000], new float[2000]);
        }

        return client.Counters;
    }
}
