using Weir.Keys;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>Rows that expire by the clocks of their job, and keys that get a row only with some push, on one node.</summary>
public class KeyLifetimeTests
{
    private const ulong Key = 42;

    [Fact]
    public void A_row_goes_once_the_smallest_clock_is_more_than_the_bound_above_its_last_push_and_no_clock_earlier()
    {
        using var node = new NodeHarness();
        uint group = OpenExpiring(node, workers: 2, clocks: 3);
        Push(node, group, n: 1, iteration: 2);
        Raise(node, group, 0, 100);
        Raise(node, group, 1, 5);
        node.Tick();
        Assert.Equal(1, node.Pull(Key)!.Value.Value);
        Raise(node, group, 1, 6);
        node.Tick();
        Assert.Equal(0, node.Pull(Key)!.Value.Value);
        Assert.Equal(0, node.Node.StoredRows);

        // The next push begins anew.
        Push(node, group, n: 2, iteration: 7);
        Assert.Equal(1, node.Pull(Key)!.Value.Value);
        node.Tick();
        Assert.Equal(1, node.Node.StoredRows);
    }

    [Fact]
    public void A_push_keeps_a_row_and_a_redo_of_an_old_iteration_does_not_make_it_older()
    {
        using var node = new NodeHarness();
        uint group = OpenExpiring(node, workers: 2, clocks: 1);
        Push(node, group, n: 1, iteration: 5);
        PartReply slower = node.Push(node.SessionOf(group, 1), 1, new Seq(1, 0, 0), Key, 1);
        Assert.Equal(Status.Acked, slower.Status);
        Raise(node, group, 0, 6);
        Raise(node, group, 1, 6);
        node.Tick();
        Assert.Equal(2, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void What_somebody_outside_the_job_sets_is_as_new_as_the_clocks_are_then()
    {
        using var node = new NodeHarness();
        uint group = OpenExpiring(node, workers: 1, clocks: 2);
        Raise(node, group, 0, 50);
        node.Push(node.OpenSession(), 1, new Seq(0, 0, 0), Key, 9, operation: PartOperation.Assign);
        node.Tick();
        Raise(node, group, 0, 52);
        node.Tick();
        Assert.Equal(9, node.Pull(Key)!.Value.Value);
        Raise(node, group, 0, 53);
        node.Tick();
        Assert.Equal(0, node.Node.StoredRows);
    }

    /// <summary>The model of a job that is done stays: no clock rises any more, though the smallest of none is above any number.</summary>
    [Fact]
    public void Nothing_expires_once_all_workers_have_finished_or_the_job_has_ended()
    {
        using var node = new NodeHarness();
        uint group = OpenExpiring(node, workers: 1, clocks: 2);
        Push(node, group, n: 1, iteration: 1);
        node.Admin(FrameKind.EndSession, new EndSessionBody(node.SessionOf(group, 0), group, 0, 3));
        node.Tick();
        Assert.Equal(1, node.Node.StoredRows);
        node.Admin(FrameKind.EndJob, new NumberBody(group));
        node.Tick();
        Assert.Equal(1, node.Node.StoredRows);
    }

    [Fact]
    public void A_tick_deletes_a_bounded_number_and_the_next_ones_go_on_where_it_stopped()
    {
        const int Rows = 10_000;
        using var node = new NodeHarness();
        uint group = OpenExpiring(node, workers: 1, clocks: 1);
        ulong session = node.SessionOf(group, 0);
        for (uint row = 1; row <= Rows; row++)
        {
            // All in the first segment, so that one stream carries them.
            node.Push(session, row, new Seq(1, row, 0), Mix.Inverse((ulong)row << 20), 1);
        }

        Assert.Equal(Rows, node.Node.StoredRows);
        Raise(node, group, 0, 10);
        node.Tick();
        Assert.InRange(node.Node.StoredRows, Rows / 2, Rows - 1);
        for (int tick = 0; tick < 20; tick++)
        {
            node.Tick();
        }

        Assert.Equal(0, node.Node.StoredRows);
    }

    [Fact]
    public void Two_tables_of_one_job_and_another_jobs_table_are_each_judged_by_their_own_bound()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        uint other = node.OpenJob(1, "other", firstProcess: 30);
        uint brief = node.OpenTable("brief", group: group, lifetime: new KeyLifetime(1, 1));
        Push(node, group, n: 1, iteration: 1);
        node.OpenTable("long", group: group, lifetime: new KeyLifetime(20, 1));
        Push(node, group, n: 1, iteration: 1);
        node.OpenTable("other", group: other, lifetime: new KeyLifetime(1, 1));
        Push(node, other, n: 1, iteration: 1);
        node.OpenTable("plain");
        node.Push(node.OpenSession(), 1, new Seq(0, 0, 0), Key, 1);
        Raise(node, group, 0, 10);
        node.Tick();
        Assert.Equal(3, node.Node.StoredRows);
        node.Admin(FrameKind.DropTable, new NumberBody(brief));
        Raise(node, group, 0, 22);
        node.Tick();
        Assert.Equal(2, node.Node.StoredRows);
        Raise(node, other, 0, 3);
        node.Tick();
        Assert.Equal(1, node.Node.StoredRows);
    }

    [Fact]
    public void An_absent_key_gets_its_row_with_the_push_that_the_table_says_and_a_resend_is_none()
    {
        using var node = new NodeHarness();
        node.OpenTable(lifetime: new KeyLifetime(null, 3));
        ulong session = node.OpenSession();
        for (ulong n = 1; n <= 2; n++)
        {
            Assert.Equal(Status.Acked, node.Push(session, n, new Seq(0, (uint)n, 0), Key, 1).Status);
            Assert.Equal(Status.Acked, node.Push(session, n, new Seq(0, (uint)n, 0), Key, 1).Status);
            Assert.Equal(0, node.Node.StoredRows);
        }

        node.Push(session, 3, new Seq(0, 3, 0), Key, 5);
        Assert.Equal(5, node.Pull(Key)!.Value.Value);

        // What is set has its row at once.
        node.Push(session, 1, new Seq(0, 4, 0), Key + 1, 7, operation: PartOperation.Assign);
        Assert.Equal(7, node.Pull(Key + 1)!.Value.Value);
    }

    [Theory]
    [InlineData(false, false, "table t has rows that expire, so it needs the job whose clocks they grow old by")]
    [InlineData(true, true, "table t aggregates, so that every run of its job ends in the same bits")]
    public void A_table_whose_rows_cannot_expire_is_refused_with_the_reason(bool hasJob, bool aggregates, string reason)
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        var body = new OpenTableBody("t", 1, UpdateRule.Add, 0, aggregates, hasJob ? group : 0, new KeyLifetime(5, 1));
        AdminReplyBody reply = node.Admin(FrameKind.OpenTable, body);
        Assert.Equal(Status.Conflict, reply.Status);
        Assert.StartsWith(reason, reply.Text);
    }

    [Fact]
    public void Another_lifetime_is_another_declaration_and_the_refusal_shows_both()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        node.OpenTable(group: group, lifetime: new KeyLifetime(5, 4));
        AdminReplyBody reply = node.Admin(FrameKind.OpenTable, new OpenTableBody("t", 1, UpdateRule.Add, 0, false, group, new KeyLifetime(5, 3)));
        Assert.Equal(Status.Conflict, reply.Status);
        Assert.Contains("rows with push 4, for 5 clocks, group ", reply.Text);
    }

    [Theory]
    [InlineData(uint.MaxValue, 1u)]
    [InlineData(0x80000000u, 1u)]
    [InlineData(1u, 0u)]
    [InlineData(1u, 101u)]
    public void Foreign_bytes_of_a_lifetime_out_of_range_are_refused(uint expire, uint admit)
    {
        byte[] bytes = new byte[KeyLifetime.EncodedBytes];
        var writer = new ByteWriter(bytes);
        writer.UInt32(expire);
        writer.UInt32(admit);
        var reader = new ByteReader(bytes);
        Assert.False(KeyLifetime.TryRead(ref reader, out _));
        reader = new ByteReader(bytes.AsSpan(1));
        Assert.False(KeyLifetime.TryRead(ref reader, out _));
    }

    private static uint OpenExpiring(NodeHarness node, int workers, int clocks)
    {
        uint group = node.OpenJob(workers);
        node.OpenTable(group: group, lifetime: new KeyLifetime(clocks, 1));
        return group;
    }

    private static void Push(NodeHarness node, uint group, ulong n, long iteration) =>
        Assert.Equal(Status.Acked, node.Push(node.SessionOf(group, 0), n, new Seq(iteration, 0, 0), Key, 1).Status);

    private static void Raise(NodeHarness node, uint group, uint worker, long clock) =>
        node.Receive(FrameKind.Clock, new ClockBody([new ClockEntry(group, worker, clock, node.MapVersion)]));
}
