namespace Weir.Client;

/// <summary>Names a task, wherever it runs: who issued it, its number there, and the node that runs it. It may be handed to others, whose tasks then follow it.</summary>
/// <param name="Issuer">The process that issued it.</param>
/// <param name="Number">1, 2, 3 ... in the order of its issuer's calls.</param>
/// <param name="Node">The name of the process that runs it; empty for one that its issuer runs itself and serves to nobody.</param>
public readonly record struct TaskId(ulong Issuer, ulong Number, string Node);

/// <summary>A task that was issued: it goes on by itself (papers PS-11). Immutable and safe to share among threads.</summary>
public sealed class WeirTask
{
    internal WeirTask(TaskId id, Task<ReadOnlyMemory<byte>> finished) => (Id, Finished) = (id, finished);

    /// <summary>What others name it by.</summary>
    public TaskId Id { get; }

    /// <summary>Completes with its result once its function has returned and all its subtasks have finished. Fails with a <see cref="WeirException"/> of Failed, with the message of what it threw;
    /// of Down where no process of that name runs tasks, of Unreachable where it did not finish within <see cref="ClientOptions.DeadlineMs"/>.</summary>
    public Task<ReadOnlyMemory<byte>> Finished { get; }
}

/// <summary>A task of a graph that is shipped whole (papers PS-13).</summary>
/// <param name="Function">What is to be run.</param>
/// <param name="Arguments">Handed to it.</param>
/// <param name="After">The tasks of the graph that it must follow, by their places before it.</param>
public sealed record GraphTask(string Function, ReadOnlyMemory<byte> Arguments, IReadOnlyList<int> After);

/// <summary>What a function of a node is given for one task.</summary>
public sealed class TaskCall
{
    private readonly WeirTasks _tasks;
    private readonly List<WeirTask> _subtasks = [];

    internal TaskCall(WeirTasks tasks, TaskId id, ReadOnlyMemory<byte> arguments, CancellationToken cancellation) =>
        (_tasks, Id, Arguments, Cancellation) = (tasks, id, arguments, cancellation);

    /// <summary>The task.</summary>
    public TaskId Id { get; }

    /// <summary>What its issuer handed to it.</summary>
    public ReadOnlyMemory<byte> Arguments { get; }

    /// <summary>Cancelled when the node stops to run tasks.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>Runs a push, a pull or anything else as a subtask: the task finishes after it, and its function need not wait for it.</summary>
    /// <param name="operation">What is to be run.</param>
    /// <param name="after">Tasks that it must follow.</param>
    public WeirTask Run(Func<CancellationToken, Task> operation, params ReadOnlySpan<TaskId> after) => Add(_tasks.Run(operation, after));

    /// <summary>Issues a task to a node as a subtask: the task finishes after it.</summary>
    /// <param name="node">The node's name.</param>
    /// <param name="function">The function of the node.</param>
    /// <param name="arguments">Handed to it.</param>
    /// <param name="after">Tasks that it must follow.</param>
    public WeirTask Issue(string node, string function, ReadOnlyMemory<byte> arguments = default, params ReadOnlySpan<TaskId> after) =>
        Add(_tasks.Issue(node, function, arguments, after));

    /// <summary>Waits for all subtasks, those that come meanwhile too.</summary>
    internal async Task FinishSubtasksAsync()
    {
        for (int i = 0; ; i++)
        {
            WeirTask next;
            lock (_subtasks)
            {
                if (i == _subtasks.Count)
                {
                    return;
                }

                next = _subtasks[i];
            }

            await next.Finished;
        }
    }

    private WeirTask Add(WeirTask subtask)
    {
        lock (_subtasks)
        {
            _subtasks.Add(subtask);
        }

        return subtask;
    }
}
