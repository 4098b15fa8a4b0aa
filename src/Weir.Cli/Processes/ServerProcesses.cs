using System.Globalization;
using Microsoft.Extensions.Logging;
using Weir.Cli.Commands;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Processes;

/// <summary>Servers that are processes of their own, started for one run.</summary>
internal sealed class ServerProcesses : ICluster
{
    private readonly List<(ToolProcess Process, string Address)> _servers = [];
    private readonly ToolConsole _console;
    private readonly ILoggerFactory _loggers;
    private readonly ListenAddresses _listen;
    private readonly TaskCompletionSource<string> _died = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _stopping;

    private ServerProcesses(Transport transport, ToolConsole console, ILoggerFactory loggers)
    {
        (_console, _loggers) = (console, loggers);
        _listen = new ListenAddresses(transport);
        Over = transport == Transport.Unix ? " over Unix sockets" : "";
    }

    public string Description => $"{(_servers.Count == 1 ? "1 server process" : $"{_servers.Count} server processes")} ({string.Join(", ", _servers.Select(s => s.Process.Id))}){Over}";

    public IReadOnlyList<string> Addresses => [.. _servers.Select(server => server.Address)];

    public Task<string> Died => _died.Task;

    private string Over { get; }

    /// <summary>Starts the servers: the first, then the others, which join it.</summary>
    /// <exception cref="ToolException">One did not come to serve; the message is its own.</exception>
    public static async Task<ServerProcesses> StartAsync(
        int servers, int segmentBits, Transport transport, ToolConsole console, ILoggerFactory loggers, CancellationToken cancellation)
    {
        var cluster = new ServerProcesses(transport, console, loggers);
        try
        {
            string segments = (1 << segmentBits).ToString(CultureInfo.InvariantCulture);
            await cluster.AddAsync(1, ["--segments", segments], cancellation);
            await cluster.AddAsync(servers - 1, ["--join", cluster._servers[0].Address], cancellation);
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    public Task<WeirClient> ConnectAsync(Filters filters, CancellationToken cancellation) => ClusterConnection.OpenAsync(Addresses, filters, _loggers, cancellation);

    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        await Task.WhenAll(_servers.Select(server => server.Process.DisposeAsync().AsTask()));
        _listen.Dispose();
    }

    private async Task AddAsync(int count, string[] arguments, CancellationToken cancellation)
    {
        int first = _servers.Count;
        for (int server = 0; server < count; server++)
        {
            _servers.Add((ToolProcess.Start(Log, ["serve", "--with-parent", "--listen", _listen.Next(), .. arguments]), ""));
        }

        for (int server = first; server < first + count; server++)
        {
            ToolProcess process = _servers[server].Process;
            string? line = await process.Output.ReadLineAsync(cancellation);
            if (line is null || !line.StartsWith(ServeCommand.ServingAt, StringComparison.Ordinal))
            {
                int code = await process.Exited;
                throw new ToolException(process.Complaint ?? $"a server process ended with exit code {code} before it served");
            }

            _servers[server] = (process, line[ServeCommand.ServingAt.Length..]);
            _ = WatchAsync(process, _servers[server].Address);
        }
    }

    private async Task WatchAsync(ToolProcess process, string address)
    {
        await process.Exited;
        if (!_stopping)
        {
            string reason = process.Complaint is { } complaint ? $": {complaint}" : "";
            _died.TrySetResult($"server process {process.Id} at {address} died, and the rows that it held are lost{reason}");
        }
    }

    private void Log(string line) => _console.Error.WriteLine(line);
}
