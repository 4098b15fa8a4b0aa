using System.Globalization;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.Tests.Wire;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>What a durable table promises (design R5, R6, R23; G2, G13).</summary>
public class JournalTests
{
    /// <summary>How many seeds a run tries: 60, or as many as WEIR_SEEDS says.</summary>
    private static ulong Seeds =>
        ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seeds) ? Math.Max(60, seeds) : 60;

    [Fact]
    public void Nothing_acknowledged_of_a_durable_table_is_lost_or_doubled_when_servers_stop_and_disks_fail()
    {
        Dictionary<string, int> hits = [];
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            Run(seed, hits);
        }

        // A batch that never hit these has not tested them.
        foreach (string hit in (string[])["all servers stopped", "all servers stopped and one disk was lost", "one server came back with its journal", "one server lost its disk", "a flush failed"])
        {
            Assert.True(hits.GetValueOrDefault(hit) > 3, $"too few seeds hit: {hit}");
        }
    }

    [Fact]
    public void A_push_to_a_durable_table_waits_for_the_flush_of_every_member_and_one_to_another_table_of_the_segment_for_none()
    {
        using var cluster = new SimCluster(2, servers: 2, replicas: 1, journals: true);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable durable = await client.OpenTableAsync(new TableOptions { Name = "durable", Durable = true });
                WeirTable memory = await client.OpenTableAsync(new TableOptions { Name = "memory" });
                ulong[] keys = [1];
                foreach (SimJournal slow in cluster.Journals)
                {
                    long usual = slow.MaxFlushUs;
                    (slow.MinFlushUs, slow.MaxFlushUs) = (3_000_000, 3_000_001);
                    Task push = client.PushAsync(durable, keys, new float[] { 1 });
                    await client.PushAsync(memory, keys, new float[] { 1 });
                    await cluster.Scheduler.Delay(2000, CancellationToken.None);
                    Assert.False(push.IsCompleted, "a member has not flushed it");
                    await push;
                    (slow.MinFlushUs, slow.MaxFlushUs) = (0, usual);
                }

                float[] read = new float[1];
                await client.PullAsync(durable, keys, read);
                Assert.Equal(2, read[0]);
            },
            limitMs: 60_000);
    }

    [Fact]
    public void A_server_whose_disk_does_not_flush_any_more_stops_and_the_others_go_on()
    {
        var limits = new ServerLimits { NodeTimeoutMs = 500, JournalTimeoutMs = 2000 };
        using var cluster = new SimCluster(3, servers: 3, acceptors: 3, replicas: 1, journals: true, limits: limits);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Durable = true });
                ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
                (cluster.Journals[1].MinFlushUs, cluster.Journals[1].MaxFlushUs) = (600_000_000, 600_000_001);
                await client.PushAsync(table, keys, new float[200]);
                Assert.False(cluster.Runs(1));
                Assert.Contains("has not flushed", cluster.Nodes[1].StopReason, StringComparison.Ordinal);
            },
            limitMs: 60_000);
    }

    [Fact]
    public void A_durable_table_needs_a_journal_at_every_server_and_a_server_without_one_is_not_let_in_beside_it()
    {
        using var without = new SimCluster(4, servers: 2);
        without.Run(
            async () =>
            {
                WeirClient client = await without.ConnectAsync("a");
                WeirException refused = await Assert.ThrowsAsync<WeirException>(() => client.OpenTableAsync(new TableOptions { Name = "t", Durable = true }));
                Assert.Equal(Status.Conflict, refused.Status);
                Assert.Contains("server server:0 has none", refused.Message, StringComparison.Ordinal);
            },
            limitMs: 60_000);
        ClusterMap map = FrameSamples.Map(FrameSamples.Names.Default);
        map = map with { Tables = [map.Tables[0] with { Durable = true }, .. map.Tables[1..]] };
        Membership.Decision decision = MapChanges.AddNode(map, new JoinNodeBody(9, 9, 100, "c", ""));
        Assert.Null(decision.Map);
        Assert.Contains("server c has none", decision.Text, StringComparison.Ordinal);
        Assert.NotNull(MapChanges.AddNode(map, new JoinNodeBody(9, 9, 100, "c", "") { Journal = 9 }).Map);
    }

    /// <summary>
    /// Found by seed 25: the server that hosts the only acceptor lost its journal and not the acceptor's records, and was never let in again.
    /// </summary>
    [Fact]
    public void Seed_25_the_only_acceptors_server_comes_back_without_its_journal() => Run(25, []);

    /// <summary>
    /// A push that came again to a head that was read from its journal waited for what the successor has flushed, and the only frame that said so was
    /// lost: nothing was journalled since, so nobody asked.
    /// </summary>
    [Fact]
    public void Seed_163_what_a_successor_has_flushed_is_asked_for_though_nothing_was_journalled_since() => Run(163, []);

    /// <summary>
    /// Entries that came while the base of a newcomer's segment was being flushed were neither in the base nor in the journal, and were missing once
    /// the newcomer came back with it.
    /// </summary>
    [Fact]
    public void Seed_15_entries_behind_a_base_that_is_being_flushed_are_in_the_journal() => Run(15, []);

    /// <summary>A seed that failed, again: WEIR_ONE_SEED=N.</summary>
    [Fact]
    public void One_journal_seed_by_hand()
    {
        if (ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_ONE_SEED"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            Run(seed, [], (server, note) => Console.WriteLine($"{server}: {note}"));
        }
    }

    private static void Run(ulong seed, Dictionary<string, int> hits, Action<string, string>? noted = null)
    {
        using var run = new JournalRun(seed, hits) { Noted = noted };
        try
        {
            run.Run();
        }
        catch (Exception failure)
        {
            throw new InvalidOperationException($"seed {seed}: {failure.Message}\n{run.Describe()}", failure);
        }
    }
}
