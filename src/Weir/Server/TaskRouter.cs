using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Passes tasks on to the processes that run them, and their answers back (papers PS-10): processes listen nowhere, but each has a connection to the manager. It keeps
/// nothing that is not said again: who runs tasks says so every while, and who issued one asks until it is answered. Not thread-safe: it lives in its node's loop.
/// </summary>
internal sealed class TaskRouter(NodeState node)
{
    private const int MostProcesses = 65_536;
    private const int NamedNodes = 8;

    private readonly Dictionary<string, Serving> _serving = [];
    private readonly Dictionary<ulong, LinkId> _issuers = [];

    private readonly record struct Serving(LinkId Link, ulong Process, Instant Heard);

    /// <summary>A process runs tasks. The text of a refusal, or null.</summary>
    public string? Serve(LinkId link, in ServeTasksBody serve, Instant now)
    {
        if (_serving.TryGetValue(serve.Name, out Serving other) && other.Process != serve.Process && !IsSilent(other, now))
        {
            return $"another process runs tasks as {serve.Name}: each has a name of its own, ClientOptions.Name";
        }

        if (_serving.Count >= MostProcesses && !_serving.ContainsKey(serve.Name))
        {
            foreach ((string name, _) in _serving.Where(s => IsSilent(s.Value, now)).ToArray())
            {
                _serving.Remove(name);
            }

            if (_serving.Count >= MostProcesses)
            {
                return $"{MostProcesses} processes run tasks already";
            }
        }

        _serving[serve.Name] = new Serving(link, serve.Process, now);
        return null;
    }

    /// <summary>Passes tasks on to their node; where none of that name was heard lately their issuer is told.</summary>
    public void Issue(LinkId link, in FrameHeader header, in TaskBody tasks, Instant now)
    {
        if (!_serving.TryGetValue(tasks.Node, out Serving serving) || IsSilent(serving, now))
        {
            // Of its issuer's namespace alone: nothing else is seen by name (PS-6).
            QualifiedName wanted = QualifiedName.Parse(tasks.Node);
            string[] names = [.. _serving.Where(s => !IsSilent(s.Value, now)).Select(s => QualifiedName.Parse(s.Key)).Where(n => n.Namespace == wanted.Namespace).Select(n => n.Name).Order(StringComparer.Ordinal)];
            string known = names.Length == 0 ? "none does" : $"these do: {string.Join(", ", names.Take(NamedNodes))}{(names.Length > NamedNodes ? " and more" : "")}";
            node.Outbox.Send(link, node.Reply(FrameKind.TaskReply, header), new TaskReplyBody(tasks.Issuer, Status.Down, $"no process runs tasks as {wanted.Name}; {known}", []));
            return;
        }

        if (_issuers.Count < MostProcesses || _issuers.ContainsKey(tasks.Issuer))
        {
            _issuers[tasks.Issuer] = link;
        }

        FrameHeader forward = node.Header(FrameKind.Task);
        (forward.RequestId, forward.DeadlineUs) = (header.RequestId, header.DeadlineUs);
        node.Outbox.Send(serving.Link, forward, tasks);
    }

    /// <summary>Passes an answer back to whoever issued the tasks; one that is gone needs none.</summary>
    public void Answer(in FrameHeader header, in TaskReplyBody reply)
    {
        if (_issuers.TryGetValue(reply.Issuer, out LinkId link))
        {
            FrameHeader back = node.Header(FrameKind.TaskReply);
            back.RequestId = header.RequestId;
            node.Outbox.Send(link, back, reply);
        }
    }

    /// <summary>A link has ended, and with it whoever was at its other end.</summary>
    public void LinkDown(LinkId link)
    {
        foreach ((string name, Serving serving) in _serving.Where(s => s.Value.Link == link).ToArray())
        {
            _serving.Remove(name);
        }

        foreach ((ulong issuer, _) in _issuers.Where(i => i.Value == link).ToArray())
        {
            _issuers.Remove(issuer);
        }
    }

    private bool IsSilent(in Serving serving, Instant now) => now.MsSince(serving.Heard) > node.Limits.ProcessTimeoutMs;
}
