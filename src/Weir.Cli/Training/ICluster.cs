using Weir.Client;

namespace Weir.Cli.Training;

/// <summary>The servers of a run: embedded, processes of its own, or somebody else's.</summary>
internal interface ICluster : IAsyncDisposable
{
    /// <summary>What it is, for people.</summary>
    string Description { get; }

    /// <summary>Addresses by which other processes reach it; empty where none can.</summary>
    IReadOnlyList<string> Addresses { get; }

    /// <summary>Done when a server of the run's own has died, with a sentence that says which.</summary>
    Task<string> Died { get; }

    /// <summary>A client that works in a namespace, the default one unless told, once all servers are members.</summary>
    Task<WeirClient> ConnectAsync(Filters filters, CancellationToken cancellation, string @namespace = "");
}
