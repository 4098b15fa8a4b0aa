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
