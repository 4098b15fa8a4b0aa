using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Tasks (Li et al. OSDI 2014, section 3.2 and figure 5; papers PS-10 to PS-13): a function of another process, a push, a pull or whatever else takes time, run asynchronously and in
/// parallel unless one names tasks that it must follow. A scheduler issues tasks to nodes, which are processes that serve functions under their name; nodes issue subtasks. What is issued runs
/// once, however often frames are sent again, and whoever is the manager: unless its node dies; one that comes back under that name runs again what it had not answered. Safe for any number of threads.
/// </summary>
public sealed class WeirTasks
{
    /// <summary>Between two words of a node that it runs tasks: five fit into the time after which a process counts as silent.</summary>
    private const long ServeMs = 500;

    private readonly WeirClient _client;
    /// <summary>The latest tasks of which it is known that they failed, among those that have not ended.</summary>
    private const int MostRemembered = 4096;

    private readonly Dictionary<ulong, Task> _open = [];
    private readonly Queue<ulong> _numbers = [];
    private ulong _issued;
    private string _name = "";

    internal WeirTasks(WeirClient client) => _client = client;

    /// <summary>
    /// Runs the tasks that others issue to this process, named by <see cref="ClientOptions.Name"/>, until it is cancelled. A function begins once the tasks that its task follows have finished; the next one
    /// begins as soon as it returns, while its subtasks go on.
    /// </summary>
    /// <param name="functions">By their names, which are not empty. What one throws fails its task with its message.</param>
    /// <param name="parallel">How many functions may run at a time, 1 or more.</param>
    /// <param name="cancellation">Ends the serving.</param>
    /// <exception cref="ArgumentException">The process's name has a '/'.</exception>
    /// <exception cref="WeirException">Conflict: another process of the client's namespace runs tasks under this name.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public async Task ServeAsync(IReadOnlyDictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>> functions, int parallel = 1, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(functions);
        ArgumentOutOfRangeException.ThrowIfLessThan(parallel, 1);
        _name = _client.State.Options.Name;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await SayAsync(stop.Token);
        List<Task> running = [KeepSayingAsync(stop.Token), .. Enumerable.Range(0, parallel).Select(_ => RunAsync(functions, stop.Token))];
        try
        {
            // None of them ends by itself.
            await await Task.WhenAny(running);
        }
        finally
        {
            await stop.CancelAsync();
        }
    }

    /// <summary>Issues a task to a node. It runs by itself; a node that is not there yet is waited for, for <see cref="ClientOptions.UnreachableMs"/>.</summary>
    /// <param name="node">The node's name, in the client's namespace.</param>
    /// <param name="function">The function of the node.</param>
    /// <param name="arguments">Handed to it, at most some 900 KiB.</param>
    /// <param name="after">Tasks that it must follow, of this caller or of others in its namespace. The node holds it for those that it runs itself; for others it is issued when they have finished.</param>
    public WeirTask Issue(string node, string function, ReadOnlyMemory<byte> arguments = default, params ReadOnlySpan<TaskId> after)
    {
        ArgumentException.ThrowIfNullOrEmpty(node);
        ArgumentException.ThrowIfNullOrEmpty(function);
        TaskId[] open = Unfinished(after);
        return IssueAll(node, [new SentTask(0, function, arguments.ToArray(), [.. open.Where(id => id.Node == node).Select(id => new TaskKey(id.Issuer, id.Number))])], open)[0];
    }

    /// <summary>Ships a graph of tasks whole to one node, which runs each when those that it follows have finished (papers PS-13). The results come together.</summary>
    /// <param name="node">The node's name, in the client's namespace.</param>
    /// <param name="graph">The tasks; each follows only tasks before it.</param>
    /// <returns>The tasks, in their order.</returns>
    /// <exception cref="ArgumentException">The graph is empty, or a task follows one that is not before it.</exception>
    public IReadOnlyList<WeirTask> IssueGraph(string node, IReadOnlyList<GraphTask> graph)
    {
        ArgumentException.ThrowIfNullOrEmpty(node);
        ArgumentNullException.ThrowIfNull(graph);
        for (int place = 0; place < graph.Count; place++)
        {
            if (graph[place].Function.Length == 0 || graph[place].After.Any(before => before < 0 || before >= place))
            {
                throw new ArgumentException($"task {place} of the graph must name a function, and follow tasks before it: 0 to {place - 1}", nameof(graph));
            }
        }

        return graph.Count == 0
            ? throw new ArgumentException("a graph has at least one task", nameof(graph))
            : IssueAll(node, [.. graph.Select(task => new SentTask(0, task.Function, task.Arguments.ToArray(), [.. task.After.Select(before => new TaskKey(0, (ulong)before))]))], []);
    }

    /// <summary>Runs a push, a pull or anything else of this process as a task.</summary>
    /// <param name="operation">What is to be run, once the tasks that it follows have finished.</param>
    /// <param name="after">Tasks that it must follow, of this caller or of others.</param>
    public WeirTask Run(Func<CancellationToken, Task> operation, params ReadOnlySpan<TaskId> after)
    {
        ArgumentNullException.ThrowIfNull(operation);
        ulong number = NextNumber(1);
        var id = new TaskId(_client.State.Process, number, _name);
        HostedTask hosted = _client.Core.Tasks.Begin(new TaskKey(id.Issuer, number));
        return Opened(id, RunNowAsync(operation, [.. after], hosted));
    }

    private WeirTask[] IssueAll(string node, SentTask[] tasks, TaskId[] after)
    {
        // Refused at once where it is none.
        _ = _client.Qualified("node", node);
        ulong issuer = _client.State.Process, first = NextNumber(tasks.Length);
        SentTask[] numbered =
        [
            // In a graph the tasks to follow are places.
            .. tasks.Select((task, i) => task with { Number = first + (ulong)i, After = [.. task.After.Select(key => key.Issuer == 0 ? new TaskKey(issuer, first + key.Number) : key)] }),
        ];
        Task<TaskOutcome[]> answer = AskAsync(node, numbered, [.. after.Where(id => id.Node != node)]);
        return [.. numbered.Select((task, i) => Opened(new TaskId(issuer, task.Number, node), ResultAsync(answer, i)))];
    }

    /// <summary>Those that may not have finished: of its own this caller knows.</summary>
    private TaskId[] Unfinished(ReadOnlySpan<TaskId> tasks)
    {
        List<TaskId> open = [];
        lock (_open)
        {
            foreach (TaskId id in tasks)
            {
                if (id.Issuer != _client.State.Process || _open.ContainsKey(id.Number))
                {
                    open.Add(id);
                }
            }
        }

        return [.. open];
    }

    private static async Task<ReadOnlyMemory<byte>> ResultAsync(Task<TaskOutcome[]> answer, int place)
    {
        TaskOutcome outcome = (await answer)[place];
        return outcome.Status == Status.Acked ? outcome.Result : throw new WeirException(outcome.Status, outcome.Text);
    }

    private async Task<TaskOutcome[]> AskAsync(string node, SentTask[] tasks, TaskId[] elsewhere)
    {
        await FollowAsync(elsewhere);
        ClientState state = _client.State;
        var body = new TaskBody(_client.Qualified("node", node), state.Process, tasks);
        if (body.Bytes > FrameHeader.MaxBodyBytes)
        {
            throw new WeirException(Status.Malformed, $"the tasks for {node} take {body.Bytes} bytes with their arguments; a frame has {FrameHeader.MaxBodyBytes}. Push what is larger to a table");
        }

        Instant begun = state.Now, missedSince = Instant.Never;
        while (true)
        {
            Instant asked = state.Now;
            byte[] bytes = await _client.Core.AskManagerAsync(FrameKind.Task, FrameKind.TaskReply, body, state.Options.DeadlineMs, CancellationToken.None);
            if (!TaskReplyBody.TryRead(bytes, out TaskReplyBody reply) || (reply.Status == Status.Acked && reply.Outcomes.Length != tasks.Length))
            {
                throw new WeirException(Status.Malformed, $"the answer of {node} to tasks makes no sense");
            }

            if (reply.Status == Status.Acked)
            {
                return reply.Outcomes;
            }

            // It may be about to come, and a new manager has yet to hear of it; what was under way until now goes on there.
            missedSince = missedSince == Instant.Never || state.Now.MsSince(asked) > ServeMs ? state.Now : missedSince;
            if (reply.Status == Status.Failed || (reply.Status != Status.Busy && state.Now.MsSince(missedSince) > state.Options.UnreachableMs) || state.Now.MsSince(begun) > state.Options.DeadlineMs)
            {
                throw new WeirException(reply.Status, reply.Text);
            }

            await state.Timers.Delay(state.Options.BackoffMs, CancellationToken.None);
        }
    }

    /// <summary>Waits for tasks that run elsewhere: this caller's own by what it knows, others' by a task that runs nothing and follows them.</summary>
    private async Task FollowAsync(TaskId[] tasks)
    {
        foreach (TaskId id in tasks)
        {
            if (id.Issuer == _client.State.Process)
            {
                Task? open;
                lock (_open)
                {
                    _open.TryGetValue(id.Number, out open);
                }

                await (open ?? Task.CompletedTask);
            }
            else if (id.Node.Length == 0)
            {
                throw new WeirException(Status.Failed, $"task {id.Number} of process {id.Issuer:x} runs where no tasks are served: nobody can follow it");
            }
            else
            {
                SentTask follower = new(NextNumber(1), "", [], [new TaskKey(id.Issuer, id.Number)]);
                await ResultAsync(AskAsync(id.Node, [follower], []), 0);
            }
        }
    }

    private async Task<ReadOnlyMemory<byte>> RunNowAsync(Func<CancellationToken, Task> operation, TaskId[] after, HostedTask hosted)
    {
        try
        {
            await FollowAsync(after);
            await operation(CancellationToken.None);
            _client.Core.Tasks.End(hosted, new TaskOutcome(Status.Acked, "", []));
            return default;
        }
        catch (Exception failure)
        {
            _client.Core.Tasks.End(hosted, new TaskOutcome(Status.Failed, failure.Message, []));
            throw;
        }
    }

    private WeirTask Opened(TaskId id, Task<ReadOnlyMemory<byte>> finished)
    {
        lock (_open)
        {
            _open.Add(id.Number, finished);
            _numbers.Enqueue(id.Number);
            while (_numbers.Count > MostRemembered && _open.TryGetValue(_numbers.Peek(), out Task? oldest) is var isKnown && (!isKnown || oldest!.IsCompleted))
            {
                _open.Remove(_numbers.Dequeue());
            }
        }

        // What has finished well need not be followed any more; what failed is remembered for a while.
        _ = finished.ContinueWith(
            _ =>
            {
                lock (_open)
                {
                    _open.Remove(id.Number);
                }
            },
            CancellationToken.None,
            TaskContinuationOptions.OnlyOnRanToCompletion | TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
        return new WeirTask(id, finished);
    }

    private ulong NextNumber(int count)
    {
        lock (_open)
        {
            ulong first = _issued + 1;
            _issued += (ulong)count;
            return first;
        }
    }

    private async Task SayAsync(CancellationToken cancellation)
    {
        byte[] bytes = await _client.Core.AskManagerAsync(
            FrameKind.ServeTasks, FrameKind.AdminReply, new ServeTasksBody(_client.State.Process, _client.Qualified("node", _name)), _client.State.Options.DeadlineMs, cancellation);
        if (AdminReplyBody.TryRead(bytes, out AdminReplyBody reply) && reply.Status != Status.Acked)
        {
            throw new WeirException(reply.Status, reply.Text);
        }
    }

    private async Task KeepSayingAsync(CancellationToken cancellation)
    {
        while (true)
        {
            await _client.State.Timers.Delay(ServeMs, cancellation);
            await SayAsync(cancellation);
        }
    }

    private async Task RunAsync(IReadOnlyDictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>> functions, CancellationToken cancellation)
    {
        TaskHost host = _client.Core.Tasks;
        while (true)
        {
            if (host.TakeReady() is not { } task)
            {
                await host.Arrived.WaitAsync(cancellation);
                continue;
            }

            var call = new TaskCall(this, new TaskId(task.Key.Issuer, task.Key.Number, _name), task.Arguments, cancellation);
            try
            {
                if (!functions.TryGetValue(task.Function, out Func<TaskCall, Task<ReadOnlyMemory<byte>>>? function))
                {
                    throw new WeirException(Status.Failed, $"{_name} has no function {task.Function}; it has {string.Join(", ", functions.Keys.Order(StringComparer.Ordinal))}");
                }

                ReadOnlyMemory<byte> result = await function(call);
                _ = EndAsync(task, call, result);
            }
            catch (Exception failure)
            {
                // Whatever a user's function throws is its task's failure, and not this node's.
                host.End(task, new TaskOutcome(Status.Failed, failure.Message, []));
                cancellation.ThrowIfCancellationRequested();
            }
        }
    }

    private async Task EndAsync(HostedTask task, TaskCall call, ReadOnlyMemory<byte> result)
    {
        try
        {
            await call.FinishSubtasksAsync();
            _client.Core.Tasks.End(task, new TaskOutcome(Status.Acked, "", result.ToArray()));
        }
        catch (Exception failure)
        {
            _client.Core.Tasks.End(task, new TaskOutcome(Status.Failed, $"a subtask failed: {failure.Message}", []));
        }
    }
}
