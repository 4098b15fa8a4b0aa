using CsCheck;
using Weir.Client;
using Weir.Selection;
using Weir.Sim;

namespace Weir.Tests.Selection;

/// <summary>A worker's pushes through filters of rows: what is held back comes later, once, and in full.</summary>
public class FilteredPushesTests
{
    private const int Keys = 20, Width = 2;

    [Fact]
    public void What_filters_hold_back_arrives_with_later_pushes_and_the_flush_and_none_of_it_twice() =>
        Gen.Select(Gen.Int[0, 2], Gen.Bool, Gen.Select(Gen.Int[0, Keys - 1], Gen.Int[-3, 3]).List[1, 12].List[1, 8]).Sample(
            (kind, keepsKeys, pushes) =>
            {
                float[] expected = new float[Keys * Width];
                (float[] read, FilteredPushes filtered) = Push(kind, pushes.Select(rows => rows.Select(row => ((ulong)row.Item1, (float)row.Item2))), expected, keepsKeys);
                Assert.Equal(expected, read);
                Assert.Equal(0, filtered.Held);
                Assert.All(filtered.Counts, count => Assert.InRange(count.Out, 0, count.In));
            },
            iter: 25);

    /// <summary>Loss, duplicates and reordering, and a server that dies: the rows that were chosen arrive once.</summary>
    [Fact]
    public void Filtered_pushes_arrive_once_through_faults_and_the_death_of_a_server()
    {
        float[] expected = new float[Keys * Width];
        var rng = new Weir.World.Rng(7);
        (ulong, float)[][] pushes = [.. Enumerable.Range(0, 60).Select(_ => Enumerable.Range(0, 10).Select(_ => ((ulong)rng.Below(Keys), (float)(rng.Below(7) - 3))).ToArray())];
        (float[] read, _) = Push(2, pushes, expected, keepsKeys: false, hasFaults: true);
        Assert.Equal(expected, read);
    }

    [Fact]
    public void What_would_have_been_sent_is_counted_with_what_was_held_back()
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width, Job = job });
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                var filtered = new FilteredPushes(worker, table, [new SignificantRows(10)]);
                ClientCounters before = client.Counters;
                await filtered.PushAsync(new ulong[] { 1, 2 }, new float[] { 1, 1, 2, 2 }, stop);
                Assert.Equal(2, filtered.Held);
                Assert.Equal([new FilteredRows("significant", 2, 0)], filtered.Counts);
                Assert.Equal(before.PushBytes, client.Counters.PushBytes);
                Assert.Equal(before.UncompressedBytes + (2 * (8 + (4 * Width))), client.Counters.UncompressedBytes);
                Assert.Throws<ArgumentException>(() => { _ = filtered.PushAsync(new ulong[] { 1 }, new float[] { 1 }, stop); });
                await worker.ClockAsync(stop);
            });
        });
    }

    private static (float[] Read, FilteredPushes Filtered) Push(int kind, IEnumerable<IEnumerable<(ulong Key, float Value)>> pushes, float[] expected, bool keepsKeys, bool hasFaults = false)
    {
        using var cluster = new SimCluster(3, servers: 3, replicas: 1);
        float[] read = new float[expected.Length];
        FilteredPushes? filtered = null;
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { RetryMs = 150, Filters = keepsKeys ? Filters.Lossless : Filters.None });
            Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width, Job = job });
            await client.HostWorkersAsync(job, async (worker, stop) =>
            {
                RowFilter[] filters = kind switch { 0 => [new SignificantRows(2)], 1 => [new LargestRows(0.4f)], _ => [new SignificantRows(2), new LargestRows(0.6f)] };
                filtered = new FilteredPushes(worker, table, filters, keepsKeys);
                cluster.Network.Faults = hasFaults ? new SimFaults { LossPerMille = 20, DuplicatePerMille = 20, ReorderPerMille = 40 } : SimFaults.None;
                int made = 0;
                foreach ((ulong Key, float Value)[] rows in pushes.Select(rows => rows.ToArray()))
                {
                    if (hasFaults && made == 30)
                    {
                        cluster.KillServer(2);
                    }

                    ulong[] keys = [.. rows.Select(row => row.Key)];
                    float[] values = [.. rows.SelectMany(row => new[] { row.Value, -2 * row.Value })];
                    for (int row = 0; row < rows.Length; row++)
                    {
                        expected[(int)keys[row] * Width] += rows[row].Value;
                        expected[((int)keys[row] * Width) + 1] -= 2 * rows[row].Value;
                    }

                    Task push = filtered.PushAsync(keys, values, stop);
                    values.AsSpan().Fill(float.NaN);
                    await push;
                    if (++made % 3 == 0)
                    {
                        await worker.ClockAsync(stop);
                    }
                }

                await filtered.FlushAsync(stop);
                await worker.ClockAsync(stop);
            });
            cluster.Network.Faults = SimFaults.None;
            await client.PullAsync(table, Enumerable.Range(0, Keys).Select(key => (ulong)key).ToArray(), read);
        });
        return (read, filtered!);
    }
}
