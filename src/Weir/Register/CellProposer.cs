using Weir.Wire;
using Weir.World;

namespace Weir.Register;

/// <summary>
/// The proposer of one cell: one operation at a time, in rounds until a majority has accepted. What a majority has accepted it has promised the next
/// ballot of the same proposer too, so that a swap that follows the proposer's last operation needs no prepare (Rystsov 2018, section 2.2.1, the
/// one-round-trip optimization): the manager, who alone changes a cell for long, waits for one flush of a majority and not for two. Not thread-safe.
/// </summary>
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

    /// <summary>A ballot that a majority has promised and nothing was proposed under, and the value that is chosen, which they know; null for none.</summary>
    private (Ballot Ballot, CellValue Value)? _promised;

    /// <summary>The current accept had no prepare of its own.</summary>
    private bool _isWithoutPrepare;

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

        if (reply.IsRefusal && _isWithoutPrepare)
        {
            // Somebody else was here since, and may be long done.
            Prepare(now);
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
        return Count(_accepted, a => a) >= Majority ? End(_outcome, _proposed, _ballot.Next, now) : null;
    }

    public RegisterResult? Tick(Instant now)
    {
        if (_current is null)
        {
            return null;
        }

        if (_current.Deadline <= now)
        {
            return End(RegisterOutcome.Unknown, default, null, now);
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
        if (_current is not null || !_waiting.TryDequeue(out _current))
        {
            return;
        }

        if (_current.IsSwap && _promised is { } promised && promised.Value.Version == _current.ExpectedVersion)
        {
            _isWithoutPrepare = true;
            _ballot = promised.Ballot;
            _highestRound = Math.Max(_highestRound, _ballot.Round);
            _outcome = RegisterOutcome.Done;
            Swap(_current, now);
        }
        else
        {
            Prepare(now);
        }
    }

    private void Prepare(Instant now)
    {
        _phase = Phase.Prepare;
        _isWithoutPrepare = false;
        _promised = null;
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
                Swap(operation, now);
                return null;
            }

            // One version has one writer. Where the next version is another's, this swap did not take place; where more have come since, it
            // may have been the first of them.
            bool mayHaveBeen = operation.IsProposed && best.Value.Version > operation.ExpectedVersion + 1;
            _outcome = mayHaveBeen ? RegisterOutcome.Unknown : RegisterOutcome.Mismatch;
        }

        // Accepted by a majority under one ballot, or by nobody: that is chosen, and no lower ballot can change it any more.
        int agreed = Count(_promises, p => p is { } reply && reply.Accepted == best.Ballot);
        if (agreed >= Majority)
        {
            return End(_outcome, best.Value, _ballot, now);
        }

        Propose(best.Value, now);
        return null;
    }

    private void Swap(Operation operation, Instant now)
    {
        operation.IsProposed = true;
        Propose(new CellValue(operation.ExpectedVersion + 1, operation.Nonce, operation.Value), now);
    }

    private void Propose(CellValue value, Instant now)
    {
        // One ballot proposes one value.
        _promised = null;
        _phase = Phase.Accept;
        _proposed = value;
        Array.Clear(_accepted);
        Send(now);
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

    /// <param name="outcome">How the operation ends.</param>
    /// <param name="value">What is chosen.</param>
    /// <param name="promised">A ballot that a majority has promised and nothing was proposed under; null for none.</param>
    /// <param name="now">Now.</param>
    private RegisterResult End(RegisterOutcome outcome, in CellValue value, Ballot? promised, Instant now)
    {
        _promised = promised is { } ballot ? (ballot, value) : null;
        ulong ticket = _current!.Ticket;
        _current = null;
        _refusals = 0;
        _phase = Phase.Pause;
        Next(now);
        return new RegisterResult(ticket, outcome, value.Version, value.Bytes);
    }

    private static int Count<T>(T[] items, Predicate<T> which) => Array.FindAll(items, which).Length;
}
