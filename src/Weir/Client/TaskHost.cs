using Weir.Keys;
using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// The tasks that others have this process run (papers PS-10 to PS-13): each once, however often it comes, after those of this node that it must follow; finished
/// when its function has returned and all its subtasks have finished. Guarded by the client's gate.
/// </summary>
internal sealed class TaskHost(ClientState state)
{
    /// <summary>Tasks that have come and not finished, or are waited for; beyond, frames are answered Busy.</summary>
    private const int MostOpen = 4096;

    /// <summary>Ended tasks whose outcome is kept, for who asks again; the oldest goes first.</summary>
    private const int MostKept = 4096;

    private readonly Dictionary<TaskKey, HostedTask> _tasks = [];
    private readonly Dictionary<TaskKey, Asked> _asked = [];
    private readonly Queue<HostedTask> _ready = [];
    private readonly Queue<TaskKey> _ended = [];
    private int _open;
    private TaskCompletionSource _arrived = new(state.Completions);

    /// <summary>A frame of tasks, and the request that is to be answered once all have ended: the newest, where it was sent again.</summary>
    private sealed class Asked(TaskKey[] keys)
    {
        public TaskKey[] Keys { get; } = keys;

        public NodeLink Node { get; set; } = null!;

        public ulong Request { get; set; }
    }

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
        int news = keys.Count(key => !_tasks.ContainsKey(key)) + sent.Tasks.Sum(task => task.After.Count(key => !_tasks.ContainsKey(key)));
        if (news > 0 && _open + news > MostOpen)
        {
            Reply(node, request, new TaskReplyBody(sent.Issuer, Status.Busy, $"{_open} tasks are open at {sent.Node}", []));
            return;
        }

        foreach (SentTask task in sent.Tasks)
        {
            Take(new TaskKey(sent.Issuer, task.Number), task);
        }

        if (!_asked.TryGetValue(keys[0], out Asked? asked))
        {
            _asked.Add(keys[0], asked = new Asked(keys));
        }

        (asked.Node, asked.Request) = (node, request);
        AnswerEnded(asked);
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
            EndNow(task, outcome);
        }

        state.Flush();
    }

    private void Take(TaskKey key, SentTask sent)
    {
        HostedTask task = Of(key);
        if (task.HasCome)
        {
            return;
        }

        (task.HasCome, task.Function, task.Arguments) = (true, sent.Function, sent.Arguments);
        foreach (TaskKey after in sent.After)
        {
            HostedTask earlier = Of(after);
            if (earlier.Outcome is null)
            {
                earlier.Followers.Add(task);
                task.Waits++;
            }
            else if (earlier.Outcome.Status != Status.Acked)
            {
                EndNow(task, Follows(earlier));
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
            EndNow(task, new TaskOutcome(Status.Acked, "", []));
            return;
        }

        _ready.Enqueue(task);

        // The next one first: who wakes, and finds that another was faster, waits for that.
        TaskCompletionSource arrived = _arrived;
        _arrived = new TaskCompletionSource(state.Completions);
        arrived.TrySetResult();
    }

    private void EndNow(HostedTask task, TaskOutcome outcome)
    {
        if (task.Outcome is not null)
        {
            return;
        }

        task.Outcome = outcome;
        _open--;
        foreach (HostedTask follower in task.Followers)
        {
            follower.Waits--;
            if (outcome.Status != Status.Acked)
            {
                EndNow(follower, Follows(task));
            }
            else
            {
                BeginWhereFree(follower);
            }
        }

        task.Followers.Clear();
        foreach (Asked asked in _asked.Values.Where(a => Array.IndexOf(a.Keys, task.Key) >= 0).ToArray())
        {
            AnswerEnded(asked);
        }

        _ended.Enqueue(task.Key);
        while (_ended.Count > MostKept)
        {
            TaskKey oldest = _ended.Dequeue();
            _tasks.Remove(oldest);
            _asked.Remove(oldest);
        }
    }

    private void AnswerEnded(Asked asked)
    {
        if (Array.TrueForAll(asked.Keys, key => _tasks.TryGetValue(key, out HostedTask? task) && task.Outcome is not null))
        {
            var reply = new TaskReplyBody(asked.Keys[0].Issuer, Status.Acked, "", [.. asked.Keys.Select(key => _tasks[key].Outcome!)]);
            Reply(
                asked.Node, asked.Request,
                reply.Bytes <= FrameHeader.MaxBodyBytes ? reply : reply with { Status = Status.Failed, Text = $"the results take {reply.Bytes} bytes and a frame has {FrameHeader.MaxBodyBytes}: push what is larger to a table", Outcomes = [] });
        }
    }

    private void Reply(NodeLink node, ulong request, in TaskReplyBody reply) => state.Send(node, state.Header(FrameKind.TaskReply, request), reply);

    private static TaskOutcome Follows(HostedTask earlier) =>
        new(Status.Failed, $"task {earlier.Key.Number}, which it must follow, failed: {earlier.Outcome!.Text}", []);
}

/// <summary>A task at the node that runs it. Guarded by the client's gate.</summary>
internal sealed class HostedTask(TaskKey key)
{
    public TaskKey Key { get; } = key;

    /// <summary>False where others must follow it and it has not come yet.</summary>
    public bool HasCome { get; set; }

    public string Function { get; set; } = "";

    public byte[] Arguments { get; set; } = [];

    /// <summary>Tasks that it must follow and that have not ended.</summary>
    public int Waits { get; set; }

    public List<HostedTask> Followers { get; } = [];

    public TaskOutcome? Outcome { get; set; }
}
