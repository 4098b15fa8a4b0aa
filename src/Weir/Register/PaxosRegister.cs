using Weir.Wire;
using Weir.World;

namespace Weir.Register;

/// <summary>Sends a request to one of the acceptors, by its index.</summary>
internal delegate void SendToAcceptor(int acceptor, bool isAccept, in PaxosBody request);

/// <summary>Times and bounds of <see cref="PaxosRegister"/>. Immutable.</summary>
internal sealed record PaxosOptions
{
    /// <summary>1, 3 or 5: a majority of them must answer.</summary>
    public required int Acceptors { get; init; }

    /// <summary>This proposer's number, unlike that of any other that lives now or ever did: the node's incarnation.</summary>
    public required ulong Proposer { get; init; }

    /// <summary>After how long a request is sent again to acceptors that did not answer. Default 50 ms: ten round trips of a LAN with its flush.</summary>
    public long RetryMs { get; init; } = 50;

    /// <summary>After how long an operation ends as <see cref="RegisterOutcome.Unknown"/>. Default 2 s.</summary>
    public long DeadlineMs { get; init; } = 2_000;

    /// <summary>The longest pause after a first refusal; drawn anew each time, from more each time, so that proposers do not go on refusing each
    /// other. Default 20 ms.</summary>
    public long PauseMs { get; init; } = 20;

    /// <summary>Operations that may wait for one cell; more end as Unknown at once. Default 64: a node swaps one at a time.</summary>
    public int Waiting { get; init; } = 64;
}

/// <summary>
/// The register by CASPaxos (Rystsov 2018): every operation is a round of prepare and accept of its own - of accept alone where a swap follows this
/// proposer's last operation and nobody came between -, so there is no leader, and no log to compact. A swap proposes the next version where the highest accepted value has the expected one; a read, or a swap that comes too late,
/// proposes what it found again unless a majority has it already: only what a majority accepted is told. Not thread-safe.
/// </summary>
internal sealed class PaxosRegister(PaxosOptions options, Rng rng, SendToAcceptor send) : IRegister
{
    private readonly CellProposer[] _cells =
        [new CellProposer(RegisterCell.Lease, options, rng, send), new CellProposer(RegisterCell.Map, options, rng, send)];

    private readonly Queue<RegisterResult> _results = new();
    private Instant _now;

    public void Read(RegisterCell cell, ulong ticket) => Begin(cell, new Operation(ticket, IsSwap: false, 0, default, 0, _now.AfterMs(options.DeadlineMs)));

    public void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, ulong ticket) =>
        Begin(cell, new Operation(ticket, IsSwap: true, expectedVersion, value, rng.Next(), _now.AfterMs(options.DeadlineMs)));

    public bool TryTakeResult(out RegisterResult result) => _results.TryDequeue(out result);

    /// <summary>An acceptor's answer.</summary>
    public void Receive(int acceptor, in PaxosReplyBody reply, Instant now)
    {
        _now = now;
        if (reply.Cell < _cells.Length && acceptor >= 0 && acceptor < options.Acceptors)
        {
            Take(_cells[reply.Cell].Receive(acceptor, reply, now));
        }
    }

    /// <summary>Repeats what was not answered, ends what has waited too long.</summary>
    public void Tick(Instant now)
    {
        _now = now;
        foreach (CellProposer cell in _cells)
        {
            Take(cell.Tick(now));
        }
    }

    private void Begin(RegisterCell cell, Operation operation) => Take(_cells[(int)cell].Begin(operation, _now));

    private void Take(RegisterResult? result)
    {
        if (result is { } ended)
        {
            _results.Enqueue(ended);
        }
    }
}

/// <summary>A read or a swap that was asked for.</summary>
internal sealed record Operation(ulong Ticket, bool IsSwap, ulong ExpectedVersion, ReadOnlyMemory<byte> Value, ulong Nonce, Instant Deadline)
{
    /// <summary>Its own value was proposed: from here on it may take place at any time until a higher ballot is promised.</summary>
    public bool IsProposed { get; set; }
}
