namespace Weir.World;

/// <summary>
/// A log on a disk, of one node of one cluster: blocks of bytes one behind another, each whole after a loss of power or not there at all, and none
/// there without those before it. A machine appends and takes the results in a later turn, so that no loop waits for a disk. Not thread-safe: it
/// lives in its node's loop.
/// </summary>
internal interface IJournal
{
    /// <summary>Drawn when it was made, above 0, and kept from start to start: no other journal has it, a later one of the same node neither.</summary>
    ulong Number { get; }

    /// <summary>Whether an earlier start of the node had it, whatever it appended: it comes back (design R5).</summary>
    bool HasPast { get; }

    /// <summary>Bytes that its files take, with what was appended and is not written yet.</summary>
    long Bytes { get; }

    /// <summary>The next block of what earlier starts appended, from the oldest on, valid until the next call; false behind the last.</summary>
    bool TryRead(out ReadOnlyMemory<byte> block);

    /// <summary>Appends a block and flushes it. What is given is not changed until its result was taken.</summary>
    void Append(ReadOnlyMemory<byte> block, ulong ticket);

    /// <summary>The next append that has ended, in their order, if any. After one that failed all fail: nobody knows what is on the disk (promise G13).</summary>
    bool TryTakeResult(out DiskResult result);

    /// <summary>Appends go to a new part from now on; the number of that part.</summary>
    ulong BeginPart();

    /// <summary>Nothing before a part is needed any more.</summary>
    void DropPartsBefore(ulong part);
}
