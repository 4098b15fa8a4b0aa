using Microsoft.Extensions.Logging;
using Weir.Client;
using Weir.Host;

namespace Weir.Cli.Training;

/// <summary>Servers in this process.</summary>
internal sealed class EmbeddedServers : ICluster
{
    private readonly EmbeddedCluster _cluster;
    private readonly int _servers;

    public EmbeddedServers(int servers, int? segmentBits, int replicas, ILoggerFactory loggers)
    {
        _servers = servers;
        _cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = servers, SegmentBits = segmentBits, Replicas = replicas }, loggers);
        Died = DiedAsync();
    }

    public string Description => _servers == 1 ? "1 server in this process" : $"{_servers} servers in this process";

    public IReadOnlyList<string> Addresses => [];

    public Task<string> Died { get; }

    public Task<WeirClient> ConnectAsync(Filters filters, CancellationToken cancellation, string @namespace = "") =>
        _cluster.ConnectAsync(ClusterConnection.Options(filters, @namespace), cancellation);

    public ValueTask DisposeAsync() => _cluster.DisposeAsync();

    private async Task<string> DiedAsync()
    {
        try
        {
            await _cluster.Completion;
            return "the embedded servers were stopped";
        }
        catch (Exception exception)
        {
            return $"a server stopped: {exception.Message}";
        }
    }
}
