using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>Planned joins and leaves at the node that decides the map (design R8).</summary>
public class WorkerChangesTests
{
    private const ulong Key = 42;
    private const long Margin = MapChange.MarginIterations;

    [Fact]
    public void A_join_is_announced_and_decided_above_all_that_the_hosts_have_begun_and_the_margin()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Assert.Equal((Status.Acked, 2UL), Add(node, group));
        Assert.Equal((node.MapVersion, MapWorker.Announced with { JoinedBy = Job(node, group).Workers[2].JoinedBy }), (Job(node, group).Change.Announced, Job(node, group).Workers[2]));
        Begun(node, group, 0, 12);
        Assert.Equal(0, Job(node, group).Workers[2].From);
        Begun(node, group, 1, 30);
        MapWorker joined = Job(node, group).Workers[2];
        Assert.Equal((30 + Margin + 1, MapWorker.NoEnd, 0UL), (joined.From, joined.Through, Job(node, group).Change.Announced));
        Assert.NotEqual(0UL, joined.Session);
    }

    [Fact]
    public void A_leave_is_decided_through_the_iteration_before_and_no_earlier_than_was_asked_for()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Assert.Equal(Status.Acked, Remove(node, group, 1).Status);
        Begun(node, group, 0, 12);
        Begun(node, group, 1, 30);
        Assert.Equal(30 + Margin, Job(node, group).Workers[1].Through);
        Assert.Equal(Status.Acked, Add(node, group, notBefore: 500).Status);
        Begun(node, group, 0, 31);
        Begun(node, group, 1, 31);
        Assert.Equal(500, Job(node, group).Workers[2].From);
    }

    [Fact]
    public void What_finished_workers_went_through_and_what_nodes_know_of_clocks_counts_like_an_answer()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(3);
        node.Admin(FrameKind.EndSession, new EndSessionBody(node.SessionOf(group, 2), group, 2, 77));
        Add(node, group);
        Begun(node, group, 0, 1);
        Begun(node, group, 1, 1);
        Assert.Equal(77 + Margin + 1, Job(node, group).Workers[3].From);
        node.Receive(FrameKind.Clock, new ClockBody([new ClockEntry(group, 0, 200, node.MapVersion)]));
        Remove(node, group, 0);
        foreach (uint worker in new uint[] { 0, 1, 3 })
        {
            Begun(node, group, worker, 2);
        }

        Assert.Equal(200 + Margin, Job(node, group).Workers[0].Through);
    }

    [Fact]
    public void An_answer_to_another_announcement_or_of_another_session_does_not_count()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        Add(node, group);
        ulong announced = Job(node, group).Change.Announced;
        ulong session = node.SessionOf(group, 0);
        node.Receive(FrameKind.Begun, new BegunBody(group, 0, announced - 1, 5), session);
        node.Receive(FrameKind.Begun, new BegunBody(group, 0, announced, 5), session + 1);
        node.Receive(FrameKind.Begun, new BegunBody(group, 7, announced, 5), session);
        node.Receive(FrameKind.Begun, new BegunBody(99, 0, announced, 5), session);
        Assert.Equal(announced, Job(node, group).Change.Announced);
        node.Receive(FrameKind.Begun, new BegunBody(group, 0, announced, 5), session);
        Assert.Equal(5 + Margin + 1, Job(node, group).Workers[1].From);
    }

    [Fact]
    public void A_host_that_is_gone_before_it_is_decided_makes_it_announced_anew_and_who_took_over_answers()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Add(node, group);
        ulong first = Job(node, group).Change.Announced;
        Begun(node, group, 1, 90);
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        ulong anew = Job(node, group).Change.Announced;
        Assert.True(anew > first);
        Assert.Equal(node.MapVersion, anew);
        Begun(node, group, 1, 3);
        Assert.NotEqual(0UL, Job(node, group).Change.Announced);
        Begun(node, group, 0, 4);
        Assert.Equal(4 + Margin + 1, Job(node, group).Workers[2].From);
    }

    /// <summary>A node that has yet to read who is gone still takes the pushes and clocks of ended sessions: they may be further than any answer.</summary>
    [Fact]
    public void It_is_decided_once_every_node_has_read_the_announcement_and_told_its_clocks()
    {
        using var node = new NodeHarness();
        node.Admin(FrameKind.JoinNode, new JoinNodeBody(2, 2, 100, "b", ""));
        uint group = node.OpenJob(1);
        Add(node, group);
        ulong announced = Job(node, group).Change.Announced;
        Begun(node, group, 0, 5);
        node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Node, 2, 2, 0, 0, []), mapVersion: announced - 1);
        Assert.Equal(announced, Job(node, group).Change.Announced);
        node.Receive(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Node, 2, 2, 0, 0, [new ClockEntry(group, 0, 40, announced - 1)]), mapVersion: announced);
        Assert.Equal(40 + Margin + 1, Job(node, group).Workers[1].From);
    }

    [Fact]
    public void One_change_is_under_way_at_a_time_and_a_request_that_comes_again_changes_nothing()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Assert.Equal((Status.Acked, 2UL), Add(node, group, nonce: 7));
        Assert.Equal((Status.Acked, 2UL), Add(node, group, nonce: 7));
        Assert.Equal(Status.Busy, Add(node, group, nonce: 8).Status);
        Assert.Equal(Status.Busy, Remove(node, group, 0).Status);
        Begun(node, group, 0, 1);
        Begun(node, group, 1, 1);
        Assert.Equal((Status.Acked, 2UL), Add(node, group, nonce: 7));
        Assert.Equal(3, Job(node, group).Workers.Length);

        // One whose answer was lost adds none either, though another's workers came since and it counted them (seed 82763).
        Assert.Equal((Status.Acked, 3UL), Add(node, group, nonce: 9));
        Begun(node, group, 0, 2);
        Begun(node, group, 1, 2);
        Begun(node, group, 2, 2);
        Assert.Equal((Status.Acked, 2UL), Add(node, group, nonce: 7));
        Assert.Equal(4, Job(node, group).Workers.Length);

        // One that another has overtaken adds nobody either: the job has not the number of workers that it names.
        Assert.Equal(Status.Conflict, node.Admin(FrameKind.AddWorkers, new AddWorkersBody(group, 1, 2, 0, 8)).Status);
        Assert.Equal(Status.Acked, Remove(node, group, 0).Status);
        foreach (uint worker in new uint[] { 0, 1, 2, 3 })
        {
            Begun(node, group, worker, 20);
        }

        long through = Job(node, group).Workers[0].Through;
        Assert.Equal(Status.Acked, Remove(node, group, 0).Status);
        Assert.Equal((through, 0UL), (Job(node, group).Workers[0].Through, Job(node, group).Change.Announced));
    }

    [Fact]
    public void What_cannot_be_is_refused_in_words()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Refused(node.Admin(FrameKind.RemoveWorker, new RemoveWorkerBody(group, 2, 0)), "job job has no worker 2: its workers are 0 to 1");
        Refused(node.Admin(FrameKind.AddWorkers, new AddWorkersBody(group, 0, 2, 0, 3)), "0 workers cannot join job job: it has 2 of at most 100000 workers");
        Assert.Equal(Status.Ended, node.Admin(FrameKind.AddWorkers, new AddWorkersBody(99, 1, 2, 0, 3)).Status);
        Assert.Equal(Status.Ended, node.Admin(FrameKind.RemoveWorker, new RemoveWorkerBody(99, 1, 0)).Status);
        node.Admin(FrameKind.EndSession, new EndSessionBody(node.SessionOf(group, 1), group, 1, 9));
        Refused(node.Admin(FrameKind.RemoveWorker, new RemoveWorkerBody(group, 1, 0)), "worker 1 of job job has finished already, through iteration 9");
        Refused(node.Admin(FrameKind.RemoveWorker, new RemoveWorkerBody(group, 0, 0)), "worker 0 is the last one at work in job job; end the job instead");
        node.Admin(FrameKind.EndSession, new EndSessionBody(node.SessionOf(group, 0), group, 0, 9));
        Refused(node.Admin(FrameKind.AddWorkers, new AddWorkersBody(group, 1, 2, 0, 3)), "all workers of job job have finished");
    }

    [Fact]
    public void A_worker_finishes_within_what_it_takes_part_in()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Remove(node, group, 1);
        Begun(node, group, 0, 10);
        Begun(node, group, 1, 10);
        long last = Job(node, group).Workers[1].Through;
        ulong session = node.SessionOf(group, 1);
        Refused(
            node.Admin(FrameKind.EndSession, new EndSessionBody(session, group, 1, last + 1)),
            $"worker 1 of job job takes part from iteration 1 through {last}; it did not finish through {last + 1}");
        Assert.Equal(Status.Acked, node.Admin(FrameKind.EndSession, new EndSessionBody(session, group, 1, last)).Status);
    }

    [Fact]
    public void A_pull_waits_for_a_worker_that_joined_from_its_first_iteration_on_and_no_earlier()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(1);
        node.OpenTable(group: group);
        Add(node, group, notBefore: 50);
        Clock(node, group, 0, 60);
        Assert.Equal(Status.Acked, node.Pull(Key, group, 61, 0)!.Value.Status);
        Begun(node, group, 0, 20);
        Clock(node, group, 0, 64);
        long from = Job(node, group).Workers[1].From;
        Assert.Equal(65, from);
        Assert.Equal(Status.Acked, node.Pull(Key, group, from, 0)!.Value.Status);
        Clock(node, group, 0, 70);
        Assert.Null(node.Pull(Key, group, from + 1, 0));
        Clock(node, group, 1, from);
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
    }

    [Fact]
    public void A_pull_waits_for_a_worker_that_leaves_through_its_last_iteration_and_no_further()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.OpenTable(group: group);
        Clock(node, group, 0, 70);
        Clock(node, group, 1, 20);
        Remove(node, group, 1);
        Assert.Null(node.Pull(Key, group, 22, 0));
        Begun(node, group, 0, 71);
        Begun(node, group, 1, 21);
        long last = Job(node, group).Workers[1].Through;
        Clock(node, group, 0, last + 10);
        Clock(node, group, 1, last - 1);
        Assert.Null(node.Pull(Key, group, last + 1, 0));
        Clock(node, group, 1, last);
        Assert.Equal(Status.Acked, node.Pull(Key, group, last + 11, 0)!.Value.Status);
    }

    [Fact]
    public void An_iteration_closes_when_the_workers_of_that_iteration_are_through_R20()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        uint table = node.OpenTable(aggregate: true, group: group);
        Add(node, group, notBefore: 6);
        Begun(node, group, 0, 1);
        Begun(node, group, 1, 1);
        Remove(node, group, 0);
        foreach (uint worker in new uint[] { 0, 1, 2 })
        {
            Begun(node, group, worker, 2);
        }

        Assert.Equal((6, 6), (Job(node, group).Workers[2].From, Job(node, group).Workers[0].Through));

        // In 5 the two that the job opened with, in 6 all three, in 7 the second and the one that joined.
        float expected = 0;
        for (long iteration = 5; iteration <= 7; iteration++)
        {
            uint[] takePart = iteration == 5 ? [0, 1] : iteration == 6 ? [0, 1, 2] : [1, 2];
            foreach (uint worker in takePart)
            {
                Assert.Equal(expected, node.Pull(Key)!.Value.Value);
                ulong n = (ulong)(iteration - (worker == 2 ? 5 : 4));
                ulong session = node.SessionOf(group, (int)worker);
                Assert.Equal(Status.Held, node.Push(session, n, new Seq(iteration, 0, 0), Key, 1).Status);
                node.Receive(FrameKind.Sent, new SentBody(group, worker, iteration, 0, 63, [new SentEntry(table, (uint)Mix.Segment(Key, 6), n)]), session);
            }

            expected += takePart.Length;
            Assert.Equal(expected, node.Pull(Key)!.Value.Value);
        }
    }

    [Fact]
    public void A_process_that_comes_gets_workers_of_those_who_host_more_until_they_are_even()
    {
        using var node = new NodeHarness();
        uint group = (uint)node.Admin(FrameKind.OpenJob, new OpenJobBody("job", 7, 2, false, 1)).First;
        int[] Shares(params ulong[] processes)
        {
            Array.ForEach(processes, process => node.Admin(FrameKind.JoinProcess, new JoinProcessBody(process, 1, group, "")));
            return [.. Job(node, group).Workers.GroupBy(w => w.Process).OrderBy(g => g.Key).Select(g => g.Count())];
        }

        Assert.Equal([4, 3], Shares(10, 11));
        ulong[] before = [.. Job(node, group).Workers.Select(w => w.Session)];
        Assert.Equal([3, 2, 2], Shares(12).OrderDescending());
        Assert.All(Job(node, group).Workers, (w, index) => Assert.Equal(w.Process == 12, w.Session != before[index]));
        Assert.Equal([2, 2, 2, 1], Shares(13));
        Assert.Equal([2, 2, 2, 1], Shares(13));
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        Assert.Equal([3, 2, 2], Shares().OrderDescending());
    }

    /// <summary>The worker had ended iteration 12 and sent a part of 13 and 14; others have begun 14 with it in view.</summary>
    [Fact]
    public void A_job_that_goes_on_without_the_dead_counts_them_through_their_last_known_clock_and_drops_what_they_sent_beyond()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(3, continuesWithout: true);
        uint table = node.OpenTable(aggregate: true, group: group);
        ulong[] sessions = [.. Job(node, group).Workers.Select(w => w.Session)];
        Clock(node, group, 0, 13);
        Clock(node, group, 1, 12);
        Clock(node, group, 2, 13);
        Assert.Equal(Status.Held, node.Push(sessions[1], 1, new Seq(13, 0, 0), Key, 100).Status);
        Assert.Equal(Status.Held, node.Push(sessions[1], 2, new Seq(14, 0, 0), Key, 1000).Status);
        Assert.Null(node.Pull(Key, group, 14, 0));
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 11, 1));
        Assert.Equal((MapWorker.Lost, MapWorker.Undecided, 0UL), (Job(node, group).Workers[1].FinishedThrough, Job(node, group).Workers[1].Through, Job(node, group).Workers[1].Process));
        Assert.Equal(Status.Ended, node.Push(sessions[1], 3, new Seq(15, 0, 0), Key, 10_000).Status);
        Begun(node, group, 0, 14);
        Begun(node, group, 2, 14);
        MapWorker lost = Job(node, group).Workers[1];
        Assert.Equal((12, 14 + Margin), (lost.FinishedThrough, lost.Through));
        Assert.Equal(3, new Weir.Client.WorkerSchedule(Job(node, group)).CountAt(14));
        foreach (uint worker in new uint[] { 0, 2 })
        {
            Assert.Equal(Status.Held, node.Push(sessions[worker], 1, new Seq(14, 0, 0), Key, 1).Status);
            node.Receive(FrameKind.Sent, new SentBody(group, worker, 14, 0, 63, [new SentEntry(table, (uint)Mix.Segment(Key, 6), 1)]), sessions[worker]);
        }

        Assert.Equal(2, node.Pull(Key)!.Value.Value);
    }

    [Fact]
    public void The_workers_of_the_last_process_wait_for_another_even_where_the_job_goes_on_without_the_dead()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2, continuesWithout: true);
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 10, 1));
        Begun(node, group, 1, 1);
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 11, 1));
        node.Admin(FrameKind.JoinProcess, new JoinProcessBody(12, 1, group, ""));
        Assert.Equal([(0UL, 0L), (12UL, MapWorker.Working)], Job(node, group).Workers.Select(w => (w.Process, w.FinishedThrough)));
    }

    [Fact]
    public void A_process_that_comes_late_gets_a_worker_that_joined_from_one_that_hosts_several()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        node.Admin(FrameKind.JoinProcess, new JoinProcessBody(12, 1, group, ""));
        Assert.Equal([10UL, 11UL], Job(node, group).Workers.Select(w => w.Process));
        node.Admin(FrameKind.Leave, new LeaveBody(MemberRole.Process, 12, 1));
        Add(node, group);
        Begun(node, group, 0, 1);
        Begun(node, group, 1, 1);
        MapWorker joined = Job(node, group).Workers[2];
        node.Admin(FrameKind.JoinProcess, new JoinProcessBody(13, 1, group, ""));
        MapWorker moved = Job(node, group).Workers[2];
        Assert.Equal((13UL, joined.From), (moved.Process, moved.From));
        Assert.True(moved.Session > joined.Session);
        Assert.Equal([10UL, 11UL, 13UL], Job(node, group).Workers.Select(w => w.Process));
    }

    /// <summary>Numbers that a peer may name are counted on from: none may overflow.</summary>
    [Fact]
    public void The_largest_iterations_that_anybody_may_name_are_counted_on_from()
    {
        using var node = new NodeHarness();
        uint group = node.OpenJob(2);
        Clock(node, group, 0, long.MaxValue);
        Add(node, group, notBefore: Seq.MaxIteration);
        Begun(node, group, 0, Seq.MaxIteration);
        Begun(node, group, 1, 1);
        Assert.Equal(Seq.MaxIteration + Margin + 1, Job(node, group).Workers[2].From);
    }

    private static MapJob Job(NodeHarness node, uint group) => node.Node.Map!.Job(group)!;

    private static (Status Status, ulong First) Add(NodeHarness node, uint group, long notBefore = 0, ulong? nonce = null)
    {
        AdminReplyBody reply = node.Admin(
            FrameKind.AddWorkers, new AddWorkersBody(group, 1, Job(node, group).Workers.Length, notBefore, nonce ?? node.MapVersion + 100));
        return (reply.Status, reply.First);
    }

    private static AdminReplyBody Remove(NodeHarness node, uint group, uint worker) =>
        node.Admin(FrameKind.RemoveWorker, new RemoveWorkerBody(group, worker, 0));

    private static void Begun(NodeHarness node, uint group, uint worker, long iteration) =>
        node.Receive(FrameKind.Begun, new BegunBody(group, worker, Job(node, group).Change.Announced, iteration), node.SessionOf(group, (int)worker));

    private static void Clock(NodeHarness node, uint group, uint worker, long clock) =>
        node.Receive(FrameKind.Clock, new ClockBody([new ClockEntry(group, worker, clock, node.MapVersion)]));

    private static void Refused(AdminReplyBody reply, string text) => Assert.Equal((Status.Conflict, text), (reply.Status, reply.Text));
}
