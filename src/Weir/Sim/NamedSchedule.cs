namespace Weir.Sim;

/// <summary>
/// A schedule that once broke a design like this, or nearly did (design section 12). A batch must have hit each at least once; it is counted where
/// the thing itself happened.
/// </summary>
internal enum NamedSchedule
{
    /// <summary>An append read by the newcomer but not by the old tail, which is cut off from all but clients.</summary>
    AppendUnreadByCutOffTail,

    /// <summary>Two members of one chain are killed within one failure timeout.</summary>
    TwoMembersKilled,

    /// <summary>The swap that a seal was for comes after the sealed head has resumed.</summary>
    SwapAfterResume,

    /// <summary>A node skips a version of the map.</summary>
    SkippedMapVersion,

    /// <summary>A slice of an earlier copy comes late.</summary>
    LateSlice,

    /// <summary>A worker dies after one node has received its Sent and before another has.</summary>
    DeathAmidSent,

    /// <summary>A head dies after a worker's Clock of an iteration of which it holds another worker's parts.</summary>
    HeadDeathAfterClock,

    /// <summary>The register is lost right after a swap.</summary>
    RegisterLostAfterSwap,

    /// <summary>A worker is hosted by another process, a worker or a server leaves by plan, or a checkpoint is loaded, while one is being written.</summary>
    ChangeDuringCheckpoint,

    /// <summary>A head is killed between the receipt of a push and its acknowledgement.</summary>
    KillBeforeAcknowledge,

    /// <summary>The manager dies while a head is sealed for it.</summary>
    SealWithoutManager,

    /// <summary>A chain changes while an iteration is open in its segment.</summary>
    MoveDuringIteration,
}
