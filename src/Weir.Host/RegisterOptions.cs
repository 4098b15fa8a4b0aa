using Weir.Register;

namespace Weir.Host;

/// <summary>
/// The register of a cluster that outlives any one server: where its acceptors are, and whether this server hosts one. A majority of the acceptors
/// must be in reach to change the cluster's map. Immutable.
/// </summary>
public sealed record RegisterOptions
{
    /// <summary>The addresses of the servers that host an acceptor: 1, 3 or 5, the same in the same order at every server.</summary>
    public required IReadOnlyList<string> Acceptors { get; init; }

    /// <summary>The cluster's number, the same at every server, not 0: acceptors answer no other cluster.</summary>
    public required ulong Cluster { get; init; }

    /// <summary>
    /// Where this server's acceptor keeps what it promised; null for a server that hosts none. Flushed at each change of the map and each renewal
    /// of the manager's lease, several times a second.
    /// </summary>
    public string? Folder { get; init; }

    /// <summary>
    /// What is known of the acceptor's past. Default <see cref="AcceptorStart.Again"/>: one that does not find its records answers nobody, for it may
    /// have forgotten what it promised. The very first start says so, and so does the start that replaces lost records.
    /// </summary>
    public AcceptorStart Start { get; init; } = AcceptorStart.Again;
}
