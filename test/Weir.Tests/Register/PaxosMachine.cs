using Weir.Register;
using Weir.Sim;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>A machine with a proposer and, on the first ones, an acceptor: what a node has of the register, and nothing else.</summary>
internal sealed class PaxosMachine : IMachine
{
    private readonly SimPort _port;
    private readonly string[] _acceptors;
    private readonly Acceptor? _acceptor;
    private readonly int _self;
    private AcceptorReplacement? _replacement;

    public PaxosMachine(SimPort port, string[] acceptors, IDisk? disk, ulong identity, bool isFirstStart, ulong proposer, Rng rng, bool replaces = false)
    {
        _port = port;
        _acceptors = acceptors;
        _self = Array.IndexOf(acceptors, port.Address);
        _acceptor = disk is null ? null : new Acceptor(disk, 7, identity, isFirstStart);
        _replacement = replaces && _acceptor is { IsSilent: true } ? new AcceptorReplacement(acceptors.Length, _self, ~proposer, Send) : null;
        Register = new PaxosRegister(new PaxosOptions { Acceptors = acceptors.Length, Proposer = proposer }, rng, Send);
    }

    public PaxosRegister Register { get; }

    public bool IsSilent => _acceptor is { IsSilent: true };

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        FrameHeader.TryRead(frame.Span, out FrameHeader header);
        ReadOnlySpan<byte> body = frame.Span[FrameHeader.Size..];
        bool isAccept = header.Kind == FrameKind.PaxosAccept;
        if (header.Kind == FrameKind.PaxosReply)
        {
            Assert.True(PaxosReplyBody.TryRead(body, out PaxosReplyBody reply));
            Register.Receive((int)header.RequestId, reply, now);
            _replacement?.Receive((int)header.RequestId, reply);
        }
        else
        {
            Assert.True(PaxosBody.TryRead(body, isAccept, out PaxosBody request));
            ulong index = header.RequestId;
            _acceptor?.Receive(request, isAccept, reply =>
                _port.Send(link, Frames.Build(FramePool.Shared, new FrameHeader { Kind = FrameKind.PaxosReply, RequestId = index }, reply)));
        }

        frame.Release();
    }

    public void LinkDown(LinkId link, string reason, Instant now)
    {
    }

    public void Tick(Instant now)
    {
        Register.Tick(now);
        _replacement?.Tick(now);
        if (_replacement is { IsDone: true } done)
        {
            _acceptor!.Fill(done);
            _replacement = null;
        }

        EndTurn();
    }

    public void EndTurn() => _acceptor?.Advance();

    private void Send(int acceptor, bool isAccept, in PaxosBody request)
    {
        if (acceptor == _self)
        {
            _acceptor!.Receive(request, isAccept, reply => Register.Receive(acceptor, reply, Now));
            return;
        }

        FrameKind kind = isAccept ? FrameKind.PaxosAccept : FrameKind.PaxosPrepare;
        _port.Send(_port.Open(_acceptors[acceptor]), Frames.Build(FramePool.Shared, new FrameHeader { Kind = kind, RequestId = (ulong)acceptor }, request));
    }

    public required Func<Instant> Clock { get; init; }

    private Instant Now => Clock();
}
