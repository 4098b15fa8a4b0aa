namespace Weir.Sim;

/// <summary>A kind of fault that a run of a cluster may be given (design section 12). The names are counted over a batch.</summary>
internal enum FaultKind
{
    /// <summary>A frame is lost.</summary>
    Loss,

    /// <summary>A frame takes many times longer, because a machine is slow.</summary>
    Delay,

    /// <summary>A frame is overtaken by later ones.</summary>
    Reorder,

    /// <summary>A frame comes twice.</summary>
    Duplicate,

    /// <summary>A link takes no more for a while.</summary>
    NoRoom,

    /// <summary>A server and all others are cut off from one another.</summary>
    Partition,

    /// <summary>All others hear nothing of a server that hears them, or the other way round.</summary>
    OneWayPartition,

    /// <summary>Two servers are cut off from one another; others reach both.</summary>
    PairPartition,

    /// <summary>A client is cut off from one server or all, one way or both.</summary>
    ClientPartition,

    /// <summary>A server dies, and its memory with it.</summary>
    Crash,

    /// <summary>It is started again in the same moment.</summary>
    RestartAtOnce,

    /// <summary>It is started again later, before or after others count it gone.</summary>
    RestartLater,

    /// <summary>A server that dies loses its disk as well: its acceptor is replaced, and its journal begins anew.</summary>
    LostDisk,

    /// <summary>A server stands still for longer than any timeout, and goes on.</summary>
    Pause,

    /// <summary>What acceptors and journals write takes long.</summary>
    SlowDisk,

    /// <summary>A write or flush of an acceptor or a journal fails.</summary>
    FailingDisk,

    /// <summary>A crash cuts off writes of an acceptor or a journal.</summary>
    TornWrite,

    /// <summary>A process that hosts workers or pushes dies.</summary>
    ProcessDeath,

    /// <summary>A server joins.</summary>
    Join,

    /// <summary>A server leaves by plan: it hands over what it holds first, and ends when nothing of it is missed.</summary>
    Leave,

    /// <summary>A majority of the acceptors is out of reach.</summary>
    RegisterAway,

    /// <summary>The manager's node dies.</summary>
    ManagerDeath,

    /// <summary>An operator has a server drained, which then gets segments again, is forgotten, or stays as it is.</summary>
    Drain,

    /// <summary>Workers join a job by plan.</summary>
    WorkerJoin,

    /// <summary>A worker leaves its job by plan.</summary>
    WorkerLeave,

    /// <summary>A process comes that hosts workers.</summary>
    ProcessJoin,

    /// <summary>All servers die within a moment or a failure timeout, and are started again: what is durable goes on.</summary>
    WholeStop,
}
