using System.Globalization;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Sim;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>Workers join and leave in mid-run (design R8).</summary>
public class JoinLeaveTests
{
    /// <summary>How many seeds a run tries: 200, or as many as WEIR_SEEDS says.</summary>
    private static int Seeds =>
        int.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out int seeds) ? Math.Max(200, seeds) : 200;

    [Fact]
    public void No_pull_breaks_its_bound_while_workers_join_and_leave_in_200_seeds_and_every_schedule_was_hit()
    {
        Dictionary<string, int> hit = [];
        for (ulong seed = 1; seed <= (ulong)Seeds; seed++)
        {
            using JoinLeaveRun run = Run(seed);
            foreach ((string what, bool was) in new (string, bool)[]
            {
                ("join in mid-run", run.Joins > 0), ("leave in mid-run", run.Leaves > 0), ("both", run.Joins > 0 && run.Leaves > 0),
                ("death during an announcement", run.DiedDuringAnnouncement), ("a living process cut off during an announcement", run.WasCutOffDuringAnnouncement),
                ("a change announced anew", run.AnnouncedAnew), ("an iteration held back", run.HeldBack), ("workers moved to a process that came late", run.MovedToLateProcess), ("lost workers that the job went on without", run.WentOnWithout),
                ("redo superseded", run.Superseded > 0), ("loss", run.Tally.Lost > 0), ("duplicate", run.Tally.Duplicated > 0), ("reorder", run.Tally.Reordered > 0),
            })
            {
                hit[what] = hit.GetValueOrDefault(what) + (was ? 1 : 0);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", hit.Select(h => $"{h.Key}: {h.Value}")));
        Assert.All(hit, h => Assert.True(h.Value >= 10, $"'{h.Key}' was hit in {h.Value} of {Seeds} seeds; at least 10 are needed"));
    }

    /// <summary>
    /// The host answers and then hears nothing of the decision, from the register or from the node that it trains on: it goes on by the margin
    /// and no further, and so begins no iteration that a worker it does not know of takes part in.
    /// </summary>
    [Fact]
    public void A_host_that_has_not_read_the_decision_begins_no_iteration_above_its_answer_and_the_margin()
    {
        using var cluster = new SimCluster(1, servers: 2);
        cluster.Run(async () =>
        {
            WeirClient host = await cluster.ConnectAsync("host");
            WeirClient asker = await cluster.ConnectAsync("asker");
            Job job = await asker.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
            WeirTable table = await asker.OpenTableAsync(new TableOptions { Name = "t", Job = job });
            ClusterMap map = cluster.Nodes[0].Map!;
            ulong key = Enumerable.Range(0, 1000).Select(k => (ulong)k).First(k => map.Head(Mix.Segment(k, map.SegmentBits))!.Value.Node == 2);
            long begun = 0;
            bool isCut = false;
            MapJob Decided() => cluster.Nodes[0].Map!.Job(job.Group)!;
            cluster.Scheduler.Stepped = () =>
            {
                bool answered = host.Core.Pushes.Sessions.Any(s => s.Span.MayBegin != long.MaxValue);
                if (!isCut && answered && cluster.Nodes[1].Map!.Version >= Decided().Change.Announced)
                {
                    isCut = true;
                    cluster.Cut(host, 0, toServer: false, toProcess: true);
                    cluster.CutServers(0, 1, true);
                }
            };
            Task hosting = host.HostWorkersAsync(job, async (worker, stop) =>
            {
                while (worker.Clock < 3000)
                {
                    begun = worker.Index == 0 ? worker.Clock + 1 : begun;
                    float[] row = new float[1];
                    await worker.PullAsync(table, new[] { key }, row, null, stop);
                    await worker.PushAsync(table, new[] { key }, new float[] { 1 }, stop);
                    await worker.ClockAsync(stop);
                }
            });
            await cluster.Scheduler.Delay(20, CancellationToken.None);
            Task<JoinedWorkers> joining = asker.AddWorkersAsync(job, 1);
            while (!isCut || Decided().Change.Announced != 0)
            {
                await cluster.Scheduler.Delay(1, CancellationToken.None);
            }

            await cluster.Scheduler.Delay(1000, CancellationToken.None);
            long answer = host.Core.Pushes.Sessions.Single(s => s.Worker == 0).Span.Answer.Begun;
            Assert.InRange(begun, answer, Decided().Workers[1].From - 1);
            Assert.Equal(answer + MapChange.MarginIterations, begun);
            cluster.Cut(host, 0, toServer: false, toProcess: false);
            cluster.CutServers(0, 1, false);
            Assert.True((await joining).FirstIteration > answer + MapChange.MarginIterations);
            await hosting;
            Assert.All(Decided().Workers, w => Assert.Equal(3000, w.FinishedThrough));
        });
    }

    /// <summary>Iterations may be ended without waiting: calls that come before the next has begun wait for it, in the order they were made in.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Calls_of_an_iteration_that_is_held_back_are_made_in_their_order_once_it_begins_or_end_where_the_worker_has_left(bool stays)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient host = await cluster.ConnectAsync("host");
            WeirClient asker = await cluster.ConnectAsync("asker");
            Job job = await asker.OpenJobAsync(new JobOptions { Name = "j", Workers = 2 });
            WeirTable table = await asker.OpenTableAsync(new TableOptions { Name = "t", Job = job, Rule = UpdateRule.Assign });
            var announced = new TaskCompletionSource();
            cluster.Scheduler.Stepped = () =>
            {
                if (host.Core.Pushes.Sessions.Any(s => s.Span.MayBegin != long.MaxValue) && announced.TrySetResult())
                {
                    // The decision is not heard of for a while.
                    cluster.Cut(host, 0, toServer: true, toProcess: true);
                }
            };
            float[] read = new float[1];
            List<Task> late = [];
            var over = new TaskCompletionSource();
            Task<bool>[] clocks = [];
            Task hosting = host.HostWorkersAsync(job, async (worker, stop) =>
            {
                if (worker.Index > 0)
                {
                    await over.Task;
                    return;
                }

                await announced.Task;
                clocks = [.. Enumerable.Range(0, (int)MapChange.MarginIterations + 1).Select(_ => worker.ClockAsync(stop))];
                Assert.NotNull(host.Core.Pushes.Sessions.Single(s => s.Worker == 0).Span.Held);
                using var cancelled = new CancellationTokenSource();
                Task taken = worker.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, cancelled.Token);
                late.AddRange(Enumerable.Range(2, 20).Select(value => worker.PushAsync(table, new ulong[] { 1 }, new[] { (float)value }, stop)));
                late.Add(worker.PullAsync(table, new ulong[] { 1 }, new float[1], null, stop));
                late.Add(worker.ClockAsync(stop));
                cancelled.Cancel();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => taken);
                await cluster.Scheduler.Delay(100, CancellationToken.None);
                Assert.All(late, call => Assert.False(call.IsCompleted));
                cluster.Cut(host, 0, toServer: false, toProcess: false);
                await Task.WhenAny(Task.WhenAll(late));
                over.SetResult();
                await Task.WhenAll(late);
            });
            await cluster.Scheduler.Delay(20, CancellationToken.None);
            Task change = stays ? asker.AddWorkersAsync(job, 1) : asker.RemoveWorkerAsync(job, 0);
            await announced.Task;
            await hosting;
            await change;
            Assert.All(clocks[..^1], clock => Assert.True(clock.Result));
            Assert.Equal(stays, clocks[^1].Result);
            await asker.PullAsync(table, new ulong[] { 1 }, read);
            Assert.Equal(stays ? 21 : 0, read[0]);
            Assert.All(late, call => Assert.Equal(stays, call.IsCompletedSuccessfully));
        });
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_iteration_that_waits_to_begin_fails_when_its_client_is_closed_or_its_deadline_passes(bool closes)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient host = await cluster.ConnectAsync("host", new ClientOptions { DeadlineMs = 1500 });
            WeirClient asker = await cluster.ConnectAsync("asker");
            Job job = await asker.OpenJobAsync(new JobOptions { Name = "j", Workers = 2, Hosts = 2 });

            // A process that takes on a worker and answers nothing: the change is never decided.
            await asker.ChangeAsync(FrameKind.JoinProcess, new JoinProcessBody(asker.State.Process, asker.State.Incarnation, job.Group, ""), CancellationToken.None);
            Task<bool>? held = null;
            Task hosting = host.HostWorkersAsync(job, async (worker, stop) =>
            {
                _ = asker.AddWorkersAsync(job, 1, cancellation: CancellationToken.None);
                IterationSpan span = host.Core.Pushes.Sessions.Single().Span;
                while (span.Held is null)
                {
                    held = worker.ClockAsync(stop);
                    await cluster.Scheduler.Delay(5, CancellationToken.None);
                }

                if (closes)
                {
                    await host.DisposeAsync();
                }

                await held!;
            });
            await Task.WhenAny(hosting);
            WeirException failed = await Assert.ThrowsAsync<WeirException>(() => held!);
            Assert.Equal(closes ? Status.Ended : Status.DeadlineExceeded, failed.Status);
            Assert.Contains(closes ? "the client was closed" : "did not begin in time: it waits for the join or leave of workers announced in map", failed.Message);
        });
    }

    private static JoinLeaveRun Run(ulong seed)
    {
        var run = new JoinLeaveRun(seed);
        try
        {
            run.Run();
        }
        catch (Exception fault)
        {
            throw new InvalidOperationException($"seed {seed} ({run.Describe()}): {fault.Message}", fault);
        }

        return run;
    }
}
