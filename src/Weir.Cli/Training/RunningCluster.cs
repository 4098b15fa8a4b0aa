using Microsoft.Extensions.Logging;
using Weir.Client;

namespace Weir.Cli.Training;

/// <summary>Servers that somebody started with <c>weir serve</c>; they stay when the run ends.</summary>
internal sealed class RunningCluster(IReadOnlyList<string> addresses, ILoggerFactory loggers) : ICluster
{
    public string Description => $"the cluster at {string.Join(',', addresses)}";

    public IReadOnlyList<string> Addresses => addresses;

    public Task<string> Died { get; } = new TaskCompletionSource<string>().Task;

    public Task<WeirClient> ConnectAsync(Filters filters, CancellationToken cancellation, string @namespace = "") =>
        ClusterConnection.OpenAsync(addresses, filters, loggers, cancellation, @namespace);

    public ValueTask DisposeAsync() => default;
}
