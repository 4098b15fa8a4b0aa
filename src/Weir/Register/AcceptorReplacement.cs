using Weir.Wire;
using Weir.World;

namespace Weir.Register;

/// <summary>
/// Fills an acceptor whose records are lost (design R2). It has the others promise a ballot far above any that the lost one can have promised, so
/// that nothing which rests on a forgotten promise is ever accepted by a majority; and it takes over the value accepted last among a majority of
/// the whole set without the lost one, which any majority that has chosen a value shares a member with. Not thread-safe.
/// </summary>
internal sealed class AcceptorReplacement
{
    /// <summary>
    /// Each attempt of a proposer is one round above all it has heard of. What the lost acceptor alone had heard of is above what the others know by
    /// as many rounds as attempts reached it alone: not 2^40, which at one a millisecond take 34 years.
    /// </summary>
    private const ulong RoundsAbove = 1UL << 40;

    private const long RetryMs = 50;

    private readonly int _acceptors;
    private readonly int _own;
    private readonly ulong _proposer;
    private readonly SendToAcceptor _send;
    private readonly Cell[] _cells = [new Cell(), new Cell()];
    private Instant _nextSend;

    /// <param name="acceptors">3 or 5.</param>
    /// <param name="own">The place of the acceptor that is replaced.</param>
    /// <param name="proposer">A number that no proposer has.</param>
    /// <param name="send">Sends to the others.</param>
    public AcceptorReplacement(int acceptors, int own, ulong proposer, SendToAcceptor send)
    {
        Invariant.That(acceptors > 1, "a lone acceptor has nobody to be filled from");
        (_acceptors, _own, _proposer, _send) = (acceptors, own, proposer, send);
    }

    private sealed class Cell
    {
        public Dictionary<int, PaxosReplyBody> Replies { get; } = [];

        public Ballot Ballot { get; set; }

        /// <summary>The others have said how far they are, and are asked to promise above that.</summary>
        public bool IsAbove { get; set; }

        public bool IsFilled { get; set; }
    }

    /// <summary>What a person does whose acceptor has lost its records, in a sentence or two. The others know what a lost one of several had accepted; of a lone one nobody does.</summary>
    /// <param name="acceptors">How many acceptors the register has, the lost one among them.</param>
    public static string Advice(int acceptors) => acceptors > 1
        ? "If the records are lost for good, start this server once with --acceptor-start replaced: it learns from the other acceptors before it answers"
        : "It is the register's only acceptor, and nobody else knows what it promised. If the records are lost for good, so is this cluster: start a new one, with another --cluster-number and --acceptor-start first, and restore a checkpoint there (weir checkpoint restore)";

    /// <summary>Every cell is known: <see cref="Found"/> gives what stands.</summary>
    public bool IsDone => Array.TrueForAll(_cells, c => c.IsFilled);

    /// <summary>What the acceptor begins with: the ballot that the others have promised, and what was accepted last with its ballot.</summary>
    public (Ballot Promised, Ballot Accepted, CellValue Value) Found(int cell)
    {
        PaxosReplyBody best = _cells[cell].Replies.Values.MaxBy(r => r.Accepted);
        return (_cells[cell].Ballot, best.Accepted, best.Value);
    }

    /// <summary>An answer of another acceptor.</summary>
    public void Receive(int acceptor, in PaxosReplyBody reply)
    {
        if (reply.Cell >= _cells.Length || acceptor == _own || _cells[reply.Cell] is not { IsFilled: false } cell || reply.Asked != cell.Ballot)
        {
            return;
        }

        if (cell.IsAbove && reply.IsRefusal)
        {
            // Somebody is above it already: from there once more.
            Begin(cell, new Ballot(reply.Promised.Round + RoundsAbove, _proposer));
            return;
        }

        cell.Replies[acceptor] = reply;
        if (cell.Replies.Count <= _acceptors / 2)
        {
            return;
        }

        if (cell.IsAbove)
        {
            cell.IsFilled = true;
        }
        else
        {
            cell.IsAbove = true;
            Begin(cell, new Ballot(cell.Replies.Values.Max(r => Math.Max(r.Promised.Round, r.Accepted.Round)) + RoundsAbove, _proposer));
        }
    }

    /// <summary>Asks those who have not answered.</summary>
    public void Tick(Instant now)
    {
        if (now < _nextSend)
        {
            return;
        }

        _nextSend = now.AfterMs(RetryMs);
        for (int index = 0; index < _cells.Length; index++)
        {
            Cell cell = _cells[index];
            cell.Ballot = cell.Ballot == default ? new Ballot(1, _proposer) : cell.Ballot;
            for (int acceptor = 0; acceptor < _acceptors && !cell.IsFilled; acceptor++)
            {
                if (acceptor != _own && !cell.Replies.ContainsKey(acceptor))
                {
                    _send(acceptor, isAccept: false, new PaxosBody((byte)index, cell.Ballot, default, HasValue: false));
                }
            }
        }
    }

    private void Begin(Cell cell, Ballot ballot)
    {
        cell.Ballot = ballot;
        cell.Replies.Clear();
        _nextSend = default;
    }
}
