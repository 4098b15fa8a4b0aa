using Weir.Keys;

namespace Weir.Wire;

/// <summary>Which task: its issuer's process, and its number there, 1, 2, 3 ...</summary>
internal readonly record struct TaskKey(ulong Issuer, ulong Number)
{
    public const int Bytes = 16;

    public static TaskKey Read(ref ByteReader reader) => new(reader.UInt64(), reader.UInt64());

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Issuer);
        writer.UInt64(Number);
    }
}

/// <summary>ServeTasks: a process runs tasks under a name, which nobody else has. To be said again and again: the manager alone knows, and may be another.</summary>
internal readonly record struct ServeTasksBody(ulong Process, string Name) : IBody
{
    public int Bytes => 8 + ByteWriter.TextBytes(Name);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Process);
        writer.Text(Name);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out ServeTasksBody message)
    {
        var reader = new ByteReader(body);
        message = new ServeTasksBody(reader.UInt64(), reader.Text());
        return reader.AtEnd && message.Process != 0 && message.Name.Length is > 0 and <= JoinNodeBody.MaxTextLength;
    }
}

/// <summary>One task of a <see cref="TaskBody"/>: what is to be run, and which tasks of the same node it must follow.</summary>
internal sealed record SentTask(ulong Number, string Function, byte[] Arguments, TaskKey[] After)
{
    public const int LeastBytes = 18;

    public int Bytes => LeastBytes + ByteWriter.TextBytes(Function) - 2 + Arguments.Length + (After.Length * TaskKey.Bytes);
}

/// <summary>Task: some tasks for one node, answered together once all have finished (papers PS-10 to PS-13). The manager passes it on; the same again, a retry, runs nothing twice.</summary>
internal readonly record struct TaskBody(string Node, ulong Issuer, SentTask[] Tasks) : IBody
{
    public int Bytes => 12 + ByteWriter.TextBytes(Node) + Tasks.Sum(t => t.Bytes);

    public void Write(ref ByteWriter writer)
    {
        writer.Text(Node);
        writer.UInt64(Issuer);
        writer.Int32(Tasks.Length);
        foreach (SentTask task in Tasks)
        {
            writer.UInt64(task.Number);
            writer.Text(task.Function);
            writer.Int32(task.Arguments.Length);
            writer.Raw(task.Arguments);
            writer.Int32(task.After.Length);
            foreach (TaskKey key in task.After)
            {
                key.Write(ref writer);
            }
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out TaskBody message)
    {
        var reader = new ByteReader(body);
        string node = reader.Text();
        ulong issuer = reader.UInt64();
        var tasks = new SentTask[reader.Count(SentTask.LeastBytes)];
        for (int i = 0; i < tasks.Length && !reader.Failed; i++)
        {
            ulong number = reader.UInt64();
            string function = reader.Text();
            byte[] arguments = reader.Take(reader.Int32()).ToArray();
            var after = new TaskKey[reader.Count(TaskKey.Bytes)];
            for (int k = 0; k < after.Length; k++)
            {
                after[k] = TaskKey.Read(ref reader);
            }

            tasks[i] = new SentTask(number, function, arguments, after);
        }

        message = new TaskBody(node, issuer, tasks);
        return reader.AtEnd && issuer != 0 && tasks.Length > 0 && node.Length is > 0 and <= JoinNodeBody.MaxTextLength;
    }
}

/// <summary>How a task ended: Acked with a result, or Failed with a text.</summary>
internal sealed record TaskOutcome(Status Status, string Text, byte[] Result)
{
    public const int LeastBytes = 7;

    public int Bytes => LeastBytes + ByteWriter.TextBytes(Text) - 2 + Result.Length;
}

/// <summary>TaskReply: the outcomes of a Task frame's tasks, in their order; none where it was refused: Down where no node of that name is known, Busy where it has too much to do.</summary>
internal readonly record struct TaskReplyBody(ulong Issuer, Status Status, string Text, TaskOutcome[] Outcomes) : IBody
{
    public int Bytes => 13 + ByteWriter.TextBytes(Text) + Outcomes.Sum(o => o.Bytes);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Issuer);
        writer.Byte((byte)Status);
        writer.Text(Text);
        writer.Int32(Outcomes.Length);
        foreach (TaskOutcome outcome in Outcomes)
        {
            writer.Byte((byte)outcome.Status);
            writer.Text(outcome.Text);
            writer.Int32(outcome.Result.Length);
            writer.Raw(outcome.Result);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out TaskReplyBody message)
    {
        var reader = new ByteReader(body);
        ulong issuer = reader.UInt64();
        Status status = reader.Status8();
        string text = reader.Text();
        var outcomes = new TaskOutcome[reader.Count(TaskOutcome.LeastBytes)];
        for (int i = 0; i < outcomes.Length && !reader.Failed; i++)
        {
            outcomes[i] = new TaskOutcome(reader.Status8(), reader.Text(), reader.Take(reader.Int32()).ToArray());
        }

        message = new TaskReplyBody(issuer, status, text, outcomes);
        return reader.AtEnd;
    }
}
