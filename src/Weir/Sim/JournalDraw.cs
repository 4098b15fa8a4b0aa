using Weir.Server;

namespace Weir.Sim;

/// <summary>What the durable tables of a run and the journals of its servers are.</summary>
/// <param name="HasJobs">The jobs' tables are durable too, and not only the pushers': else segments have tables of both kinds.</param>
/// <param name="FlushUs">The longest time that a flush takes where disks are not slow, in microseconds.</param>
/// <param name="GroupMs">How long a group of entries waits for more before it is flushed, in milliseconds.</param>
/// <param name="Bytes">Above this a journal is written anew, in bytes.</param>
internal sealed record JournalDraw(bool HasJobs, long FlushUs, long GroupMs, long Bytes)
{
    /// <summary>How long those that are away are waited for, in milliseconds: a run does not last much longer than the ten seconds of the default.</summary>
    private const long RecoveryWaitMs = 1000;

    /// <summary>The limits of nodes with such journals.</summary>
    public ServerLimits Limits(ServerLimits limits) => limits with { JournalGroupMs = GroupMs, JournalBytes = Bytes, RecoveryWaitMs = RecoveryWaitMs };

    public override string ToString() => $"durable tables {(HasJobs ? "of all kinds" : "of the pushers")}, flushes to {FlushUs} us in groups of {GroupMs} ms, journals to {Bytes} bytes";
}
