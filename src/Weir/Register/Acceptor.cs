using System.IO.Hashing;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Register;

/// <summary>
/// An acceptor of CASPaxos (Rystsov 2018, "CASPaxos: Replicated State Machines without logs"): for each cell the highest ballot promised, and the
/// value accepted last with its ballot. Its state is flushed before it answers (design R1). One that finds no record of its cluster and
/// identity on its disk may have forgotten what it promised, and is silent until it is replaced (R2). Not thread-safe.
/// </summary>
internal sealed class Acceptor
{
    private const int Cells = 2;
    private const uint RecordVersion = 1;

    private readonly IDisk _disk;
    private readonly ulong _cluster;
    private readonly ulong _identity;
    private readonly CellState[] _cells = new CellState[Cells];
    private readonly Dictionary<ulong, (PaxosReplyBody Reply, Action<PaxosReplyBody> Answer)> _unflushed = [];
    private readonly Queue<(PaxosReplyBody Reply, Action<PaxosReplyBody> Answer)> _refusals = new();
    private ulong _lastTicket;

    private struct CellState
    {
        public Ballot Promised;
        public Ballot Accepted;
        public CellValue Value;
    }

    /// <param name="disk">Where its records are.</param>
    /// <param name="cluster">The cluster it belongs to.</param>
    /// <param name="identity">Its own number among all acceptors that ever were.</param>
    /// <param name="isFirstStart">It never answered anybody yet: it may begin empty. Any other start must find its records.</param>
    public Acceptor(IDisk disk, ulong cluster, ulong identity, bool isFirstStart)
    {
        (_disk, _cluster, _identity) = (disk, cluster, identity);
        IsSilent = !isFirstStart;
        if (isFirstStart)
        {
            for (int cell = 0; cell < Cells; cell++)
            {
                _disk.Write(Record(cell), Encode(_cells[cell]), ++_lastTicket);
            }

            return;
        }

        bool whole = true;
        for (int cell = 0; cell < Cells; cell++)
        {
            whole &= TryDecode(_disk.Read(Record(cell)), out _cells[cell]);
        }

        IsSilent = !whole;
    }

    /// <summary>It has no record of what it promised, so it promises nothing.</summary>
    public bool IsSilent { get; private set; }

    /// <summary>A write could not be flushed: nobody knows what is on the disk, and the node must stop (promise G13).</summary>
    public bool HasFailed { get; private set; }

    /// <summary>Begins with what stands among the others, in place of one whose records are lost; it answers once that is on its disk.</summary>
    public void Fill(AcceptorReplacement replacement)
    {
        Invariant.That(IsSilent && replacement.IsDone, "only a silent acceptor is filled, with all that stands");
        for (int cell = 0; cell < Cells; cell++)
        {
            (Ballot promised, Ballot accepted, CellValue value) = replacement.Found(cell);
            _cells[cell] = new CellState { Promised = promised, Accepted = accepted, Value = value };
            _disk.Write(Record(cell), Encode(_cells[cell]), ++_lastTicket);
        }

        // Answers follow writes of their own, which follow these: a crash in between leaves it silent or whole.
        IsSilent = false;
    }

    /// <summary>
    /// Takes a prepare or an accept; <paramref name="answer"/> is called by <see cref="Advance"/> once the state is flushed, or never.
    /// </summary>
    public void Receive(in PaxosBody request, bool isAccept, Action<PaxosReplyBody> answer)
    {
        if (IsSilent || HasFailed || request.Cell >= Cells)
        {
            return;
        }

        ref CellState state = ref _cells[request.Cell];
        bool isAccepted = isAccept && state.Accepted == request.Ballot;
        if (request.Ballot < state.Promised && !isAccepted)
        {
            // A refusal promises nothing, so nothing has to stand before it is said.
            _refusals.Enqueue((new PaxosReplyBody(request.Cell, isAccept, request.Ballot, state.Promised, state.Accepted, default), answer));
            return;
        }

        if (!isAccepted)
        {
            // Who proposes is likely to propose again: with the value goes the promise of the same proposer's next ballot.
            state.Promised = isAccept ? request.Ballot.Next : request.Ballot;
            state.Accepted = isAccept ? request.Ballot : state.Accepted;
            state.Value = isAccept ? request.Value : state.Value;
        }

        Flush(request, isAccept, state, answer);
    }

    /// <summary>Sends the answers whose state is on disk now. To be called at the end of each turn.</summary>
    /// <returns>Whether there was anything to do.</returns>
    public bool Advance()
    {
        bool any = false;
        while (_refusals.TryDequeue(out (PaxosReplyBody Reply, Action<PaxosReplyBody> Answer) refusal))
        {
            any = true;
            refusal.Answer(refusal.Reply);
        }

        while (_disk.TryTakeResult(out DiskResult result))
        {
            any = true;
            HasFailed |= !result.IsFlushed;
            if (_unflushed.Remove(result.Ticket, out (PaxosReplyBody Reply, Action<PaxosReplyBody> Answer) waiting) && !HasFailed)
            {
                waiting.Answer(waiting.Reply);
            }
        }

        return any;
    }

    private void Flush(in PaxosBody request, bool isAccept, in CellState state, Action<PaxosReplyBody> answer)
    {
        // A promise carries the value that may have been chosen; the answer to an accept needs none.
        CellValue value = isAccept ? new CellValue(state.Value.Version, state.Value.Nonce, default) : state.Value;
        ulong ticket = ++_lastTicket;
        _unflushed.Add(ticket, (new PaxosReplyBody(request.Cell, isAccept, request.Ballot, state.Promised, state.Accepted, value), answer));
        _disk.Write(Record(request.Cell), Encode(state), ticket);
    }

    private static string Record(int cell) => cell == (int)RegisterCell.Lease ? "register-lease" : "register-map";

    private byte[] Encode(in CellState state)
    {
        byte[] record = new byte[32 + (2 * Ballot.Size) + state.Value.Size];
        var writer = new ByteWriter(record.AsSpan(8));
        writer.UInt64(RecordVersion);
        writer.UInt64(_cluster);
        writer.UInt64(_identity);
        state.Promised.Write(ref writer);
        state.Accepted.Write(ref writer);
        state.Value.Write(ref writer);
        new ByteWriter(record).UInt64(XxHash3.HashToUInt64(record.AsSpan(8)));
        return record;
    }

    private bool TryDecode(byte[]? record, out CellState state)
    {
        state = default;
        if (record is null || record.Length < 8)
        {
            return false;
        }

        var reader = new ByteReader(record);
        bool whole = reader.UInt64() == XxHash3.HashToUInt64(record.AsSpan(8));
        bool mine = reader.UInt64() == RecordVersion && reader.UInt64() == _cluster && reader.UInt64() == _identity;
        state.Promised = Ballot.Read(ref reader);
        state.Accepted = Ballot.Read(ref reader);
        state.Value = CellValue.ReadRest(ref reader);
        return whole && mine && !reader.Failed;
    }
}
