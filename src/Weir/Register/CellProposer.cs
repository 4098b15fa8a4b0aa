using Weir.Wire;
using Weir.World;

namespace Weir.Register;

/// <summary>The proposer of one cell: one operation at a time, in rounds until a majority has accepted. Not thread-safe.</summary>
internal sealed class CellProposer(RegisterCell cell, PaxosOptions options, Rng rng, SendToAcceptor send)
{
    private const int MostDoublings = 4;

    private readonly Queue<Operation> _waiting = new();
    private readonly PaxosReplyBody?[] _promises = new PaxosReplyBody?[options.Acceptors];
    private readonly bool[] _accepted = new bool[options.Acceptors];
    private Operation? _current;
    private Phase _phase;
    private Ballot _ballot;
    private ulong _highestRound;
    private CellValue _proposed;
    private RegisterOutcome _outcome;
    private Instant _nextSend;
    private int _refusals;

    private enum Phase
    {
        /// <summary>After a refusal, until the drawn time.</summary>
        Pause,
        Prepare,
        Accept,
    }

    private int Majority => (options.Acceptors / 2) + 1;

    public RegisterResult? Begin(Operation operation, Instant now)
    {
        if (_waiting.Count >= options.Waiting)
        {
            return new RegisterResult(operation.Ticket, RegisterOutcome.Unknown, 0, default);
        }

        _waiting.Enqueue(operation);
        Next(now);
        return null;
    }

    public RegisterResult? Receive(int acceptor, in PaxosReplyBody reply, Instant now)
    {
        _highestRound = Math.Max(_highestRound, reply.Promised.Round);
        bool current = _current is not null && reply.Asked == _ballot && reply.IsAccept == (_phase == Phase.Accept) && _phase != Phase.Pause;
        if (!current)
        {
            return null;
        }

        if (reply.IsRefusal)
        {
            // Each refusal in a row doubles what is drawn from: the more proposers there are, the longer one of them is left alone.
            _phase = Phase.Pause;
            _nextSend = now.AfterUs(rng.Below((options.PauseMs << _refusals) * 1000));
            _refusals = Math.Min(_refusals + 1, MostDoublings);
            return null;
        }

        if (_phase == Phase.Prepare)
        {
            _promises[acceptor] = reply;
            return Count(_promises, p => p is not null) >= Majority ? Decide(now) : null;
        }

        _accepted[acceptor] = true;
        return Count(_accepted, a => a) >= Majority ? End(_outcome, _proposed, now) : null;
    }

    public RegisterResult? Tick(Instant now)
    {
        if (_current is null)
        {
            return null;
        }

        if (_current.Deadline <= now)
        {
            return End(RegisterOutcome.Unknown, default, now);
        }

        if (_nextSend <= now)
        {
            if (_phase == Phase.Pause)
            {
                Prepare(now);
            }
            else
            {
                Send(now);
            }
        }

        return null;
    }

    private void Next(Instant now)
    {
        if (_current is null && _waiting.TryDequeue(out _current))
        {
            Prepare(now);
        }
    }

    private void Prepare(Instant now)
    {
        _phase = Phase.Prepare;
        _ballot = new Ballot(++_highestRound, options.Proposer);
        Array.Clear(_promises);
        Send(now);
    }

    /// <summary>A majority has promised: the value accepted under the highest ballot among them is the one that may have been chosen.</summary>
    private RegisterResult? Decide(Instant now)
    {
        Operation operation = _current!;
        (Ballot Ballot, CellValue Value) best = default;
        foreach (PaxosReplyBody? promise in _promises)
        {
            if (promise is { } reply && reply.Accepted > best.Ballot)
            {
                best = (reply.Accepted, reply.Value);
            }
        }

        _outcome = RegisterOutcome.Done;
        if (operation.IsSwap && !(operation.IsProposed && best.Value.Nonce == operation.Nonce))
        {
            if (best.Value.Version == operation.ExpectedVersion)
            {
                operation.IsProposed = true;
                return Propose(new CellValue(operation.ExpectedVersion + 1, operation.Nonce, operation.Value), now);
            }

            // One version has one writer. Where the next version is another's, this swap did not take place; where more have come since, it
            // may have been the first of them.
            bool mayHaveBeen = operation.IsProposed && best.Value.Version > operation.ExpectedVersion + 1;
            _outcome = mayHaveBeen ? RegisterOutcome.Unknown : RegisterOutcome.Mismatch;
        }

        // Accepted by a majority under one ballot, or by nobody: that is chosen, and no lower ballot can change it any more.
        int agreed = Count(_promises, p => p is { } reply && reply.Accepted == best.Ballot);
        return agreed >= Majority ? End(_outcome, best.Value, now) : Propose(best.Value, now);
    }

    private RegisterResult? Propose(CellValue value, Instant now)
    {
        _phase = Phase.Accept;
        _proposed = value;
        Array.Clear(_accepted);
        Send(now);
        return null;
    }

    private void Send(Instant now)
    {
        _nextSend = now.AfterMs(options.RetryMs);
        bool isAccept = _phase == Phase.Accept;
        var request = new PaxosBody((byte)cell, _ballot, isAccept ? _proposed : default, isAccept);
        for (int acceptor = 0; acceptor < options.Acceptors; acceptor++)
        {
            if (isAccept ? !_accepted[acceptor] : _promises[acceptor] is null)
            {
                send(acceptor, isAccept, request);
            }
        }
    }

    private RegisterResult End(RegisterOutcome outcome, in CellValue value, Instant now)
    {
        ulong ticket = _current!.Ticket;
        _current = null;
        _refusals = 0;
        _phase = Phase.Pause;
        Next(now);
        return new RegisterResult(ticket, outcome, value.Version, value.Bytes);
    }

    private static int Count<T>(T[] items, Predicate<T> which) => Array.FindAll(items, which).Length;
}
