namespace Weir.Keys;

/// <summary>
/// The outcome of a part, a request or a call: the same number on the wire, in the server and in WeirException.
/// </summary>
public enum Status : byte
{
    /// <summary>Done. For a push: applied, on every member of the chain.</summary>
    Acked = 0,

    /// <summary>An aggregating table holds the part until its iteration closes; the acknowledgement follows.</summary>
    Held = 1,

    /// <summary>An older session's push of the same identity stands for this one; nothing was applied twice.</summary>
    Superseded = 2,

    /// <summary>The update rule or server function threw; the text says why. The part counts as done and changed nothing.</summary>
    Failed = 3,

    /// <summary>A part arrived before its predecessors; the value is the last number received. The client resends in order.</summary>
    Gap = 4,

    /// <summary>A queue of the server is at its bound; the client tries again.</summary>
    Busy = 5,

    /// <summary>The server's memory limit is reached; pushes of new keys wait until there is room.</summary>
    Full = 6,

    /// <summary>The segment is about to move; the client tries again.</summary>
    Moving = 7,

    /// <summary>The node does not hold the segment in its map; the client reads the map and asks the right one.</summary>
    NotOwner = 8,

    /// <summary>The node could not get a map as new as the frame's in time; the client sends the map's source again.</summary>
    Behind = 9,

    /// <summary>The session has ended: its worker is hosted by another, or it was closed or silent. Give up and begin a new one.</summary>
    Ended = 10,

    /// <summary>The cluster was restored from a checkpoint; begin again from the recorded clocks.</summary>
    Restored = 11,

    /// <summary>No complete copy of the segment is in reach; it may come back.</summary>
    Down = 12,

    /// <summary>Something acknowledged cannot be found any more. Never retried; the text says what was lost.</summary>
    StateLost = 13,

    /// <summary>The map has no such table, or no longer.</summary>
    UnknownTable = 14,

    /// <summary>The server's key cache missed; the client sends the keys.</summary>
    SendKeys = 15,

    /// <summary>The call's deadline passed. A push may still be applied (once); its part is not withdrawn.</summary>
    DeadlineExceeded = 16,

    /// <summary>Nobody answered at the address in the stated time.</summary>
    Unreachable = 17,

    /// <summary>The request contradicts what stands in the map: another width, rule, cluster or protocol. The text says what.</summary>
    Conflict = 18,

    /// <summary>The request's bytes make no sense; the text says which.</summary>
    Malformed = 19,
}
