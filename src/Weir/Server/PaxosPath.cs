using Weir.Keys;
using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The register's Paxos at one node: its proposer, its acceptor where it hosts one, and the frames between them and other nodes' (kinds 64 to
/// 66). It works before the node has a map: the first map is decided by it. Not thread-safe.
/// </summary>
internal sealed class PaxosPath
{
    private readonly NodeState _node;
    private readonly string[] _acceptors;
    private readonly Acceptor? _acceptor;
    private readonly int _own;
    private readonly PaxosRegister _register;
    private AcceptorReplacement? _replacement;
    private Instant _now;

    /// <param name="node">The node.</param>
    /// <param name="acceptors">The acceptors' addresses: 1, 3 or 5, in the same order at every node.</param>
    /// <param name="hosted">The acceptor that this node hosts under its own address; null for none.</param>
    public PaxosPath(NodeState node, IReadOnlyList<string> acceptors, AcceptorOptions? hosted)
    {
        _node = node;
        _acceptors = [.. acceptors];
        _own = Array.IndexOf(_acceptors, node.Options.Address);
        if (hosted is not null)
        {
            _acceptor = new Acceptor(hosted.Disk, node.Options.Cluster, hosted.Identity, hosted.Start == AcceptorStart.First);
            if (_acceptor.IsSilent && hosted.Start == AcceptorStart.Replacement)
            {
                _replacement = new AcceptorReplacement(_acceptors.Length, _own, ~node.Options.Incarnation, Send);
            }
            else if (_acceptor.IsSilent)
            {
                Fault = $"the register's acceptor {hosted.Identity} finds no record of cluster {node.Options.Cluster:x} and of itself on its disk: it may have forgotten what it promised, and answers nobody. {AcceptorReplacement.Advice(_acceptors.Length)}";
                node.Outbox.Note(Fault);
            }
        }

        var options = new PaxosOptions { Acceptors = _acceptors.Length, Proposer = node.Options.Incarnation };
        _register = new PaxosRegister(options, new Rng(node.Options.Incarnation ^ node.Options.Node), Send);
    }

    public IRegister Register => _register;

    /// <summary>The acceptor here knows what it promised, and answers.</summary>
    public bool Answers => _acceptor is { IsSilent: false };

    /// <summary>Why the acceptor here answers nobody and never will as this node was started, and what to do; null where all is well.</summary>
    public string? Fault { get; }

    /// <summary>A write of the acceptor could not be flushed: the node must stop (promise G13).</summary>
    public bool HasFailed => _acceptor is { HasFailed: true };

    /// <summary>Takes a frame of kind 64 to 66; whoever asks for another cluster is told so, and nothing else (design R2).</summary>
    /// <returns>False where the body makes no sense.</returns>
    public bool Receive(LinkId link, in FrameHeader header, ReadOnlySpan<byte> body, Instant now)
    {
        _now = now;
        FrameHeader asked = header;
        ulong cluster = _node.Map?.Cluster ?? _node.Options.Cluster;
        bool isOurs = header.Cluster == cluster;
        if (header.Kind == FrameKind.PaxosReply)
        {
            if (!PaxosReplyBody.TryRead(body, out PaxosReplyBody reply))
            {
                return false;
            }

            // Only the acceptor that was asked may speak for itself.
            if (isOurs && header.RequestId < (ulong)_acceptors.Length && link == _node.Outbox.Open(_acceptors[(int)header.RequestId]))
            {
                _register.Receive((int)header.RequestId, reply, now);
                _replacement?.Receive((int)header.RequestId, reply);
            }

            return true;
        }

        bool isAccept = header.Kind == FrameKind.PaxosAccept;
        if (!PaxosBody.TryRead(body, isAccept, out PaxosBody request))
        {
            return false;
        }

        if (isOurs && header.RequestId == (ulong)_own)
        {
            _acceptor?.Receive(request, isAccept, reply => _node.Outbox.Send(link, _node.Reply(FrameKind.PaxosReply, asked), reply));
        }
        else if (!isOurs && _acceptor is not null)
        {
            _node.Outbox.SendStatus(
                link, _node.Reply(FrameKind.Error, header), Status.Conflict, $"this is an acceptor of cluster {cluster:x}, the frame names {header.Cluster:x}");
        }

        return true;
    }

    public void Tick(Instant now)
    {
        _now = now;
        _register.Tick(now);
        _replacement?.Tick(now);
        if (_replacement is { IsDone: true } done)
        {
            _acceptor!.Fill(done);
            _replacement = null;
            _node.Outbox.Note("the register's acceptor has taken over what stands among the others, in place of its lost records");
        }
    }

    /// <summary>Sends what the acceptor has on its disk by now. To be called at the end of each turn.</summary>
    /// <returns>Whether there was anything to do.</returns>
    public bool Advance(Instant now)
    {
        _now = now;
        return _acceptor is not null && _acceptor.Advance();
    }

    private void Send(int acceptor, bool isAccept, in PaxosBody request)
    {
        if (acceptor == _own)
        {
            _acceptor?.Receive(request, isAccept, reply => _register.Receive(acceptor, reply, _now));
            return;
        }

        FrameHeader header = _node.Header(isAccept ? FrameKind.PaxosAccept : FrameKind.PaxosPrepare);
        header.RequestId = (ulong)acceptor;
        _node.Outbox.Send(_node.Outbox.Open(_acceptors[acceptor]), header, request);
    }
}
