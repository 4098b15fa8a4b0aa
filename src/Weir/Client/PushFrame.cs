using Weir.World;

namespace Weir.Client;

/// <summary>
/// A frame of parts on its way to one node: first in the node's queue, not yet written, then in flight under a request. Used again once it is
/// answered or given up. Guarded by the client's gate.
/// </summary>
internal sealed class PushFrame
{
    /// <summary>The call whose rows are written into it; null where it repeats parts that were written before.</summary>
    public PushCall? Call { get; set; }

    /// <summary>In the order of the bytes, all of one session; never empty while the frame is queued.</summary>
    public List<PushPart> Parts { get; } = [];

    public PushSession Session => Parts[0].Stream.Session;

    /// <summary>Bytes of the frame once written, at the most.</summary>
    public int Bytes { get; set; }

    public NodeLink Node { get; set; } = null!;

    public Instant SentAt { get; set; }

    /// <summary>Without an answer until then it counts as lost.</summary>
    public Instant RetryAt { get; set; }
}
