using Microsoft.Extensions.Logging;
using Weir.Client;
using Weir.Host;

namespace Weir.Cli.Training;

/// <summary>Connecting to servers by their addresses.</summary>
internal static class ClusterConnection
{
    /// <summary>How long to look for a cluster, in milliseconds: far more than a slow answer takes, and short enough to wait for.</summary>
    public const int ConnectMs = 5000;

    /// <summary>Connects under the tool's name and this process's number, by which status shows who hosts a worker.</summary>
    public static Task<WeirClient> OpenAsync(IReadOnlyList<string> addresses, Filters filters, ILoggerFactory? loggers, CancellationToken cancellation, string @namespace = "") =>
        WeirHost.ConnectAsync(addresses, Options(filters, @namespace), loggers, cancellation);

    public static ClientOptions Options(Filters filters, string @namespace) =>
        new() { Name = $"weir {Environment.ProcessId}", ConnectMs = ConnectMs, Filters = filters, Namespace = @namespace };
}
