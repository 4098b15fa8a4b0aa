using Weir.Keys;
using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// The tasks that others have this process run (papers PS-10 to PS-13): each once, however often it comes, after those of this node that it must follow; finished
/// when its function has returned and all its subtasks have finished. Guarded by the client's gate.
/// </summary>
internal sealed class TaskHost(ClientState state)
{
    /// <summary>Tasks that have come and not ended, or are waited for; beyond, frames are answered Busy.</summary>
    private const int MostOpen = 4096;

    /// <summary>Ended tasks whose outcome is kept, for who asks again; the oldest goes first. And the bytes of their results and texts.</summary>
    private const int MostKept = 4096;
    private const long MostKeptBytes = 64 << 20;

    /// <summary>Tasks of which it is known that they have ended, and no more.</summary>
    private const int MostForgotten = 65_536;

    private readonly Dictionary<TaskKey, HostedTask> _tasks = [];
    private readonly Queue<HostedTask> _ready = [];
    private readonly Queue<HostedTask> _ended = [];
    private readonly HashSet<TaskKey> _forgotten = [];
    private readonly Queue<TaskKey> _forgottenInOrder = [];
    private readonly Queue<(HostedTask Task, TaskOutcome Outcome)> _ending = [];
    private int _open;
    private long _keptBytes;
    private TaskCompletionSource _arrived = new(state.Completions);

    /// <summary>Completes when a task may run.</summary>
    public Task Arrived
    {
        get
        {
            lock (state.Gate)
            {
                return _ready.Count > 0 ? Task.CompletedTask : _arrived.Task;
            }
        }
    }

    /// <summary>Takes tasks that the manager passed on. To be called under the gate.</summary>
    public void Receive(NodeLink node, ulong request, ReadOnlySpan<byte> body)
    {
        if (!TaskBody.TryRead(body, out TaskBody sent))
        {
            return;
        }

        TaskKey[] keys = [.. sent.Tasks.Select(task => new TaskKey(sent.Issuer, task.Number))];
        if (Array.Exists(keys, _forgotten.Contains))
        {
            // What came of it was told, or was to be told to somebody who has not asked for long.
            Reply(node, request, Refusal(sent, Status.Failed, "the task has ended, and what came of it is kept no longer"));
            return;
        }

        int news = keys.Concat(sent.Tasks.SelectMany(task => task.After)).Distinct().Count(key => !_tasks.ContainsKey(key) && !_forgotten.Contains(key));
        if (news > 0 && _open + news > MostOpen)
        {
            Reply(node, request, news > MostOpen
                ? Refusal(sent, Status.Failed, $"{news} tasks came together; a node has at most {MostOpen} open")
                : Refusal(sent, Status.Busy, $"{_open} tasks are open at {sent.Node}"));
            return;
        }

        AskedTasks asked = _tasks.TryGetValue(keys[0], out HostedTask? known) && known.Asked is { } before ? before : new AskedTasks(keys);
        (asked.Node, asked.Request) = (node, request);
        foreach (SentTask task in sent.Tasks)
        {
            Take(new TaskKey(sent.Issuer, task.Number), task, asked);
        }

        EndAll();
        Answer(asked);
    }

    /// <summary>The next task that may run; null where there is none now.</summary>
    public HostedTask? TakeReady()
    {
        lock (state.Gate)
        {
            return _ready.TryDequeue(out HostedTask? task) ? task : null;
        }
    }

    /// <summary>A task that this process runs for itself, and that others may have theirs follow.</summary>
    public HostedTask Begin(TaskKey key)
    {
        lock (state.Gate)
        {
            HostedTask task = Of(key);
            task.HasCome = true;
            return task;
        }
    }

    /// <summary>A task has finished or failed.</summary>
    public void End(HostedTask task, TaskOutcome outcome)
    {
        lock (state.Gate)
        {
            _ending.Enqueue((task, outcome));
            EndAll();
        }

        state.Flush();
    }

    private void Take(TaskKey key, SentTask sent, AskedTasks asked)
    {
        HostedTask task = Of(key);
        if (task.HasCome)
        {
            return;
        }

        (task.HasCome, task.Asked, task.Function, task.Arguments) = (true, asked, sent.Function, sent.Arguments);
        foreach (TaskKey after in sent.After)
        {
            if (_forgotten.Contains(after))
            {
                continue;
            }

            HostedTask earlier = Of(after);
            if (earlier.Outcome is null)
            {
                earlier.Followers.Add(task);
                task.Waits++;
            }
            else if (earlier.Outcome.Status != Status.Acked)
            {
                Fail(task, earlier);
                return;
            }
        }

        BeginWhereFree(task);
    }

    private HostedTask Of(TaskKey key)
    {
        if (!_tasks.TryGetValue(key, out HostedTask? task))
        {
            _tasks.Add(key, task = new HostedTask(key));
            _open++;
        }

        return task;
    }

    private void BeginWhereFree(HostedTask task)
    {
        if (task.Waits > 0 || task.Outcome is not null)
        {
            return;
        }

        if (task.Function.Length == 0)
        {
            // Nothing to run: somebody waits for those that it follows.
            _ending.Enqueue((task, new TaskOutcome(Status.Acked, "", [])));
            return;
        }

        _ready.Enqueue(task);

        // The next one first: who wakes, and finds that another was faster, waits for that.
        TaskCompletionSource arrived = _arrived;
        _arrived = new TaskCompletionSource(state.Completions);
        arrived.TrySetResult();
    }

    /// <summary>What follows a failed task fails with the words of the one that failed first, however long the way there.</summary>
    private void Fail(HostedTask task, HostedTask earlier)
    {
        task.Cause = earlier.Cause ?? earlier;
        _ending.Enqueue((task, new TaskOutcome(Status.Failed, $"task {task.Cause.Key.Number}, which it must follow, failed: {task.Cause.Outcome!.Text}", [])));
    }

    private void EndAll()
    {
        while (_ending.TryDequeue(out (HostedTask Task, TaskOutcome Outcome) next))
        {
            HostedTask task = next.Task;
            if (task.Outcome is not null)
            {
                continue;
            }

            (task.Outcome, task.Arguments) = (next.Outcome, []);
            _open--;
            foreach (HostedTask follower in task.Followers)
            {
                follower.Waits--;
                if (next.Outcome.Status == Status.Acked)
                {
                    BeginWhereFree(follower);
                }
                else
                {
                    Fail(follower, task);
                }
            }

            task.Followers.Clear();
            Keep(task);
            if (task.Asked is { } asked)
            {
                asked.Left--;
                Answer(asked);
            }
        }
    }

    /// <summary>Keeps an outcome as long as there is room: not those of this process's own tasks, for which nobody asks, and all of a frame until it is answered.</summary>
    private void Keep(HostedTask task)
    {
        if (task.Asked is null && task.Outcome!.Status == Status.Acked)
        {
            Forget(task.Key);
            return;
        }

        _ended.Enqueue(task);
        _keptBytes += task.Outcome!.Bytes;
        while ((_ended.Count > MostKept || _keptBytes > MostKeptBytes) && _ended.Peek().Asked is not { Left: > 0 })
        {
            HostedTask oldest = _ended.Dequeue();
            _keptBytes -= oldest.Outcome!.Bytes;
            Forget(oldest.Key);
        }
    }

    private void Forget(TaskKey key)
    {
        _tasks.Remove(key);
        if (_forgotten.Add(key))
        {
            _forgottenInOrder.Enqueue(key);
        }

        while (_forgottenInOrder.Count > MostForgotten)
        {
            _forgotten.Remove(_forgottenInOrder.Dequeue());
        }
    }

    private void Answer(AskedTasks asked)
    {
        if (asked.Left > 0)
        {
            return;
        }

        TaskOutcome?[] outcomes = [.. asked.Keys.Select(key => _tasks.GetValueOrDefault(key)?.Outcome)];
        if (Array.Exists(outcomes, outcome => outcome is null))
        {
            return;
        }

        var reply = new TaskReplyBody(asked.Keys[0].Issuer, Status.Acked, "", outcomes!);
        Reply(
            asked.Node, asked.Request,
            reply.Bytes <= FrameHeader.MaxBodyBytes ? reply : reply with { Status = Status.Failed, Text = $"the results take {reply.Bytes} bytes and a frame has {FrameHeader.MaxBodyBytes}: push what is larger to a table", Outcomes = [] });
    }

    private static TaskReplyBody Refusal(in TaskBody sent, Status status, string text) => new(sent.Issuer, status, text, []);

    private void Reply(NodeLink node, ulong request, in TaskReplyBody reply) => state.Send(node, state.Header(FrameKind.TaskReply, request), reply);
}

/// <summary>A frame of tasks, and the request that is to be answered once all have ended: the newest, where it was sent again. Guarded by the client's gate.</summary>
internal sealed class AskedTasks(TaskKey[] keys)
{
    public TaskKey[] Keys { get; } = keys;

    /// <summary>Those that have not ended.</summary>
    public int Left { get; set; } = keys.Length;

    public NodeLink Node { get; set; } = null!;

    public ulong Request { get; set; }
}

/// <summary>A task at the node that runs it. Guarded by the client's gate.</summary>
internal sealed class HostedTask(TaskKey key)
{
    public TaskKey Key { get; } = key;

    /// <summary>False where others must follow it and it has not come yet.</summary>
    public bool HasCome { get; set; }

    /// <summary>The frame that it came in; null for a task that this process runs for itself.</summary>
    public AskedTasks? Asked { get; set; }

    public string Function { get; set; } = "";

    public byte[] Arguments { get; set; } = [];

    /// <summary>Tasks that it must follow and that have not ended.</summary>
    public int Waits { get; set; }

    public List<HostedTask> Followers { get; } = [];

    public TaskOutcome? Outcome { get; set; }

    /// <summary>The task that failed first of those that it follows.</summary>
    public HostedTask? Cause { get; set; }
}
