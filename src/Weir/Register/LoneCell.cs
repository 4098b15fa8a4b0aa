namespace Weir.Register;

/// <summary>The cells of the register (design R1).</summary>
internal enum RegisterCell : byte
{
    Lease = 0,
    Map = 1,
}

/// <summary>What became of a read or a swap. <see cref="Ticket"/> is the asker's number.</summary>
internal readonly record struct RegisterResult(ulong Ticket, RegisterOutcome Outcome, ulong Version, ReadOnlyMemory<byte> Value);

/// <summary>How a register operation ended.</summary>
internal enum RegisterOutcome
{
    /// <summary>A read, or a swap that took place.</summary>
    Done,

    /// <summary>The cell's version was another; the result carries what stands there.</summary>
    Mismatch,

    /// <summary>Nobody knows whether the swap took place: read again before acting (design R1).</summary>
    Unknown,
}

/// <summary>
/// The linearizable compare-and-swap register, as a machine: operations are started and their results taken later, so that an
/// implementation may need messages in between. Not thread-safe: it lives in its node's loop.
/// </summary>
internal interface IRegister
{
    void Read(RegisterCell cell, ulong ticket);

    /// <summary>Writes <paramref name="value"/> if the cell's version is the expected one; an empty cell has version 0.</summary>
    void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, ulong ticket);

    bool TryTakeResult(out RegisterResult result);
}

/// <summary>
/// A register of one acceptor that remembers in memory only: the embedded default until Paxos takes its place (design R1, R2). It is as
/// durable as its node, whose loss ends the cluster.
/// </summary>
internal sealed class LoneCell : IRegister
{
    private readonly (ulong Version, ReadOnlyMemory<byte> Value)[] _cells = new (ulong, ReadOnlyMemory<byte>)[2];
    private readonly Queue<RegisterResult> _results = new();

    public void Read(RegisterCell cell, ulong ticket)
    {
        (ulong version, ReadOnlyMemory<byte> value) = _cells[(int)cell];
        _results.Enqueue(new RegisterResult(ticket, RegisterOutcome.Done, version, value));
    }

    public void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, ulong ticket)
    {
        ref (ulong Version, ReadOnlyMemory<byte> Value) content = ref _cells[(int)cell];
        RegisterOutcome outcome = RegisterOutcome.Mismatch;
        if (content.Version == expectedVersion)
        {
            content = (expectedVersion + 1, value);
            outcome = RegisterOutcome.Done;
        }

        _results.Enqueue(new RegisterResult(ticket, outcome, content.Version, content.Value));
    }

    public bool TryTakeResult(out RegisterResult result) => _results.TryDequeue(out result);
}
