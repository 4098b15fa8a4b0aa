using System.Text;
using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>Tasks that follow others, of this caller or another, at any node (Li et al. OSDI 2014, section 3.2; papers PS-10 to PS-13).</summary>
public class TaskTests
{
    private const int GradientMs = 20;
    private const int PullMs = 70;

    /// <summary>
    /// Figure 5 of the paper: 10 and 11 are independent, 12 depends on 11. The node begins 11 as soon as it has 10's gradient, while 10's push and pull go on, and 12 only once 11's pull has finished.
    /// </summary>
    [Fact]
    public void PS12_iterations_of_figure_5_overlap_where_they_may_and_wait_where_they_must()
    {
        List<string> log = [];
        Run(1, async cluster =>
        {
            WeirClient worker = await NodeAsync(cluster, "worker"), scheduler = await cluster.ConnectAsync("scheduler");
            WeirTable table = await worker.OpenTableAsync(new TableOptions { Name = "w" });
            _ = worker.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
            {
                ["iterate"] = async call =>
                {
                    string iteration = Encoding.UTF8.GetString(call.Arguments.Span);
                    log.Add($"{iteration} begins");
                    await cluster.Scheduler.Delay(GradientMs, call.Cancellation);
                    log.Add($"{iteration} has its gradient");
                    call.Run(async stop =>
                    {
                        await worker.PushPullAsync(table, new ulong[] { 1 }, new float[] { 1 }, new float[1], stop);
                        await cluster.Scheduler.Delay(PullMs, CancellationToken.None);
                        log.Add($"{iteration} has pulled");
                    });
                    return default;
                },
            });
            WeirTask ten = Iterate("10"), eleven = Iterate("11"), twelve = Iterate("12", eleven.Id);
            await Task.WhenAll(ten.Finished, eleven.Finished, twelve.Finished);
            WeirTask Iterate(string iteration, params ReadOnlySpan<TaskId> after) => scheduler.Tasks.Issue("worker", "iterate", Encoding.UTF8.GetBytes(iteration), after);
        });
        Assert.Equal(
            [
                "10 begins", "10 has its gradient", "11 begins", "11 has its gradient", "10 has pulled", "11 has pulled", "12 begins", "12 has its gradient", "12 has pulled",
            ],
            log);
    }

    /// <summary>Frames are lost and come twice, and the manager, through whom they go, dies: each ran once, and each caller hears its result.</summary>
    [Fact]
    public void PS10_a_task_runs_once_though_its_frames_are_lost_or_come_twice_and_the_manager_dies()
    {
        for (ulong seed = 0; seed < 5; seed++)
        {
            Dictionary<string, int> runs = [];
            Run(seed, async cluster =>
            {
                WeirClient node = await NodeAsync(cluster, "node"), scheduler = await cluster.ConnectAsync("scheduler", new ClientOptions { UnreachableMs = 60_000 });
                _ = node.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
                {
                    ["echo"] = async call =>
                    {
                        string text = Encoding.UTF8.GetString(call.Arguments.Span);
                        runs[text] = runs.GetValueOrDefault(text) + 1;
                        await cluster.Scheduler.Delay(30, CancellationToken.None);
                        return call.Arguments;
                    },
                });
                cluster.Network.Faults = new SimFaults { LossPerMille = 150, DuplicatePerMille = 150, ReorderPerMille = 100 };
                cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(200), () => cluster.KillServer(0));
                WeirTask[] tasks = [.. Enumerable.Range(0, 20).Select(i => scheduler.Tasks.Issue("node", "echo", Encoding.UTF8.GetBytes($"{i}")))];
                for (int i = 0; i < tasks.Length; i++)
                {
                    Assert.Equal($"{i}", Encoding.UTF8.GetString((await tasks[i].Finished).Span));
                }
            });
            Assert.Equal(20, runs.Count);
            Assert.All(runs.Values, count => Assert.Equal(1, count));
        }
    }

    /// <summary>A graph goes over in one frame, and its node goes through it without asking anybody.</summary>
    [Fact]
    public void PS13_a_graph_is_shipped_whole_and_each_task_runs_when_those_before_it_have_finished()
    {
        List<string> log = [];
        int frames = 0;
        Run(3, async cluster =>
        {
            WeirClient node = await NodeAsync(cluster, "node"), scheduler = await cluster.ConnectAsync("scheduler");
            cluster.Network.Arriving = (_, to, frame) => frames += to == cluster.Clients[node] && FrameHeader.TryRead(frame.Span, out FrameHeader header) == HeaderFault.None && header.Kind == FrameKind.Task ? 1 : 0;
            _ = node.Tasks.ServeAsync(
                new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
                {
                    ["step"] = async call =>
                    {
                        await cluster.Scheduler.Delay(call.Arguments.Span[1], call.Cancellation);
                        log.Add($"{(char)call.Arguments.Span[0]}");
                        return call.Arguments[..1];
                    },
                },
                parallel: 4);
            IReadOnlyList<WeirTask> tasks = scheduler.Tasks.IssueGraph("node", [Step('a', 5), Step('b', 60, 0), Step('c', 10, 0), Step('d', 5, 1, 2), Step('e', 30)]);
            Assert.Equal("abcde", string.Concat((await Task.WhenAll(tasks.Select(t => t.Finished))).Select(r => (char)r.Span[0])));
            Assert.Throws<ArgumentException>(() => scheduler.Tasks.IssueGraph("node", [Step('a', 5, 0)]));
            GraphTask Step(char name, byte ms, params int[] after) => new("step", new byte[] { (byte)name, ms }, after);
        });
        Assert.Equal(["a", "c", "e", "b", "d"], log);
        Assert.Equal(1, frames);
    }

    /// <summary>A task follows others that it neither issued nor runs beside; it finishes after its subtasks, those at other nodes among them; a push is a task like any.</summary>
    [Fact]
    public void PS11_a_task_follows_tasks_of_other_callers_at_other_nodes_and_finishes_after_its_subtasks()
    {
        List<string> log = [];
        Run(4, async cluster =>
        {
            WeirClient first = await NodeAsync(cluster, "first"), second = await NodeAsync(cluster, "second"), one = await cluster.ConnectAsync("one"), other = await cluster.ConnectAsync("other");
            WeirTable table = await one.OpenTableAsync(new TableOptions { Name = "t" });
            Serve(first, "first");
            Serve(second, "second");
            WeirTask outer = one.Tasks.Issue("first", "outer");
            WeirTask there = other.Tasks.Issue("second", "wait", new byte[] { 1 }, outer.Id);
            WeirTask pushed = other.Tasks.Run(stop => other.PushAsync(table, new ulong[] { 1 }, new float[] { 5 }, stop), there.Id);
            float[] read = new float[1];
            await one.Tasks.Run(stop => one.PullAsync(table, new ulong[] { 1 }, read, stop)).Finished;
            Assert.Equal(0, read[0]);
            await other.Tasks.Run(stop => other.PullAsync(table, new ulong[] { 1 }, read, stop), pushed.Id).Finished;
            Assert.Equal(5, read[0]);

            void Serve(WeirClient node, string name) => _ = node.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
            {
                ["outer"] = call =>
                {
                    call.Issue("second", "wait", new byte[] { 80 });
                    log.Add("outer returns");
                    return Task.FromResult<ReadOnlyMemory<byte>>(default);
                },
                ["wait"] = async call =>
                {
                    await cluster.Scheduler.Delay(call.Arguments.Span[0], call.Cancellation);
                    log.Add($"{call.Arguments.Span[0]} waited at {name}");
                    return default;
                },
            });
        });
        Assert.Equal(["outer returns", "80 waited at second", "1 waited at second"], log);
    }

    [Fact]
    public void What_fails_says_so_and_so_does_what_follows_it()
    {
        Run(5, async cluster =>
        {
            WeirClient node = await NodeAsync(cluster, "node"), scheduler = await cluster.ConnectAsync("scheduler", new ClientOptions { UnreachableMs = 500 });
            _ = node.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
            {
                ["fails"] = _ => throw new InvalidOperationException("the disk is full"),
                ["large"] = _ => Task.FromResult<ReadOnlyMemory<byte>>(new byte[2 << 20]),
                ["fine"] = _ => Task.FromResult<ReadOnlyMemory<byte>>(default),
            });
            WeirTask failed = scheduler.Tasks.Issue("node", "fails");
            Assert.Equal("the disk is full", await FailureAsync(failed, Status.Failed));
            Assert.Contains("which it must follow, failed: the disk is full", await FailureAsync(scheduler.Tasks.Issue("node", "fine", default, failed.Id), Status.Failed));
            Assert.Contains("has no function other; it has fails, fine, large", await FailureAsync(scheduler.Tasks.Issue("node", "other"), Status.Failed));
            Assert.Contains("push what is larger to a table", await FailureAsync(scheduler.Tasks.Issue("node", "large"), Status.Failed));
            Assert.Contains("no process runs tasks as nobody; these do: node", await FailureAsync(scheduler.Tasks.Issue("nobody", "fine"), Status.Down));
            await scheduler.Tasks.Issue("node", "fine").Finished;

            static async Task<string> FailureAsync(WeirTask task, Status status)
            {
                WeirException failure = await Assert.ThrowsAsync<WeirException>(() => task.Finished);
                Assert.Equal(status, failure.Status);
                return failure.Message;
            }
        });
    }

    /// <summary>Found by review: who had waited longer than a node may be out of reach took the first word of a new manager, who had yet to hear of the node, for its end.</summary>
    [Fact]
    public void A_task_that_runs_for_long_is_waited_for_though_the_manager_changes_meanwhile()
    {
        int runs = 0;
        Run(6, async cluster =>
        {
            WeirClient node = await NodeAsync(cluster, "node"), scheduler = await cluster.ConnectAsync("scheduler", new ClientOptions { UnreachableMs = 3000 });
            _ = node.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
            {
                ["long"] = async call =>
                {
                    runs++;
                    await cluster.Scheduler.Delay(20_000, call.Cancellation);
                    return new byte[] { 7 };
                },
            });
            WeirTask task = scheduler.Tasks.Issue("node", "long");
            await cluster.Scheduler.Delay(15_000, CancellationToken.None);
            cluster.KillServer(0);
            Assert.Equal(7, (await task.Finished).Span[0]);
        });
        Assert.Equal(1, runs);
    }

    /// <summary>
    /// Found by review: a node kept its own finished tasks and dropped others' for them, so that what came again ran again, and what followed a task of long ago waited for ever; and it counted a graph's
    /// edges as tasks, so that a dense one was never taken.
    /// </summary>
    [Fact]
    public void What_ended_long_ago_is_followed_at_once_and_a_dense_graph_is_taken()
    {
        const int Layer = 70;
        Run(7, async cluster =>
        {
            WeirClient node = await NodeAsync(cluster, "node"), scheduler = await cluster.ConnectAsync("scheduler"), other = await cluster.ConnectAsync("other");
            _ = node.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
            {
                ["fine"] = _ => Task.FromResult<ReadOnlyMemory<byte>>(default),
                ["busy"] = async call =>
                {
                    for (int i = 0; i < 10_000; i++)
                    {
                        call.Run(_ => Task.CompletedTask);
                    }

                    await Task.CompletedTask;
                    return default;
                },
            });
            WeirTask first = scheduler.Tasks.Issue("node", "fine");
            await first.Finished;
            await scheduler.Tasks.Issue("node", "busy").Finished;
            for (int i = 0; i < 50; i++)
            {
                await Task.WhenAll(Enumerable.Range(0, 100).Select(_ => scheduler.Tasks.Issue("node", "fine").Finished));
            }

            await other.Tasks.Issue("node", "fine", default, first.Id).Finished;
            await scheduler.Tasks.Issue("node", "fine", default, first.Id).Finished;
            int[] all = [.. Enumerable.Range(0, Layer)];
            IReadOnlyList<WeirTask> graph = scheduler.Tasks.IssueGraph("node", [.. all.Select(_ => new GraphTask("fine", default, [])), .. all.Select(_ => new GraphTask("fine", default, all))]);
            await Task.WhenAll(graph.Select(task => task.Finished));
            WeirTask tooMany = scheduler.Tasks.IssueGraph("node", [.. Enumerable.Range(0, 5000).Select(_ => new GraphTask("fine", default, []))])[0];
            Assert.Contains("at most 4096 open", (await Assert.ThrowsAsync<WeirException>(() => tooMany.Finished)).Message, StringComparison.Ordinal);
        });
    }

    private static Task<WeirClient> NodeAsync(SimCluster cluster, string name) => cluster.ConnectAsync(name, new ClientOptions { UnreachableMs = 60_000 });

    private static void Run(ulong seed, Func<SimCluster, Task> scenario)
    {
        using var cluster = new SimCluster(seed, servers: 3, acceptors: 3, replicas: 1, limits: ServerLimits.FastFailover);

        // Frames of one link keep their order, as they do in TCP.
        cluster.Network.Faults = new SimFaults { MinDelayUs = 200, MaxDelayUs = 201 };
        cluster.Run(() => scenario(cluster), limitMs: 60_000);
    }
}
