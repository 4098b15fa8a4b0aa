using Weir.Keys;

namespace Weir.Client;

/// <summary>
/// The one exception of a call to the cluster. <see cref="Status"/> says what the caller can do: see docs/protocol.md for the table of
/// statuses (retry, give up, begin a new session). Misuse of the API is an <see cref="ArgumentException"/> instead.
/// </summary>
public sealed class WeirException : Exception
{
    /// <summary>An outcome that the call cannot mend by itself.</summary>
    /// <param name="status">What happened.</param>
    /// <param name="message">A sentence that a person can act on.</param>
    /// <param name="node">The address of the node concerned, or null.</param>
    /// <param name="segment">The segment concerned, or null.</param>
    /// <param name="cause">What led to it, or null.</param>
    public WeirException(Status status, string message, string? node = null, int? segment = null, Exception? cause = null)
        : base(message, cause)
    {
        Status = status;
        Node = node;
        Segment = segment;
    }

    /// <summary>What happened.</summary>
    public Status Status { get; }

    /// <summary>The address of the node concerned, where there is one.</summary>
    public string? Node { get; }

    /// <summary>The segment concerned, where there is one.</summary>
    public int? Segment { get; }
}
