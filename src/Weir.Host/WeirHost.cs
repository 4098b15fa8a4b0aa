using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Client;
using Weir.Host.Disk;
using Weir.Host.Loops;
using Weir.Host.S3;
using Weir.Host.Sockets;
using Weir.World;

namespace Weir.Host;

/// <summary>The entry points that reach the real world: a client over sockets, a cluster in this process, a server node.</summary>
public static class WeirHost
{
    private const string InlineCompletionsVariable = "DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS";

    /// <summary>
    /// Has what follows a socket's read or write run on the thread that waits for all sockets, instead of on the thread pool: one switch of
    /// threads less a message. It is a setting of the runtime, for all sockets of the process and of processes that it starts, and is read once:
    /// call this before the process first uses an asynchronous socket, or set the environment variable
    /// <c>DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS=1</c>; later it does nothing, as on Windows. Nothing of Weir blocks there, and your own code
    /// never runs there after a call to Weir; an <see cref="ILogger"/> of yours does, and so must not block.
    /// </summary>
    public static void UseInlineCompletions() => Environment.SetEnvironmentVariable(InlineCompletionsVariable, "1");

    /// <summary>Connects to a cluster at any of its members' addresses.</summary>
    /// <param name="addresses">One or more <c>host:port</c> or <c>unix:/path/to.sock</c>.</param>
    /// <param name="options">How the client behaves; null for the defaults.</param>
    /// <param name="loggers">Where log lines go; null for nowhere.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <exception cref="WeirException">Unreachable: nobody answered in time; the message names every address and why.</exception>
    public static async Task<WeirClient> ConnectAsync(
        IReadOnlyList<string> addresses, ClientOptions? options = null, ILoggerFactory? loggers = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        if (addresses.Count == 0)
        {
            throw new ArgumentException("at least one address is needed", nameof(addresses));
        }

        ILogger log = (loggers ?? NullLoggerFactory.Instance).CreateLogger("Weir.Client");
        var timers = new HostTimers();
        var network = new SocketNetwork(SocketOptions.Default, log);
        var core = new ClientCore(
            options ?? new ClientOptions(), network, timers, FramePool.Shared, new Rng(BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8))));
        return await HostedClient.OpenAsync(core, network, network.Attach, timers, log, addresses, cancellation);
    }

    /// <summary>Starts a cluster in this process. It answers at once; <see cref="EmbeddedCluster.ConnectAsync"/> waits until it is whole.</summary>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public static EmbeddedCluster StartEmbedded(EmbeddedOptions? options = null, ILoggerFactory? loggers = null) =>
        new(options ?? new EmbeddedOptions(), loggers);

    /// <summary>Starts one server node over sockets in this process; see <see cref="WeirServer.StartAsync"/>.</summary>
    public static Task<WeirServer> ServeAsync(ServeOptions options, ILoggerFactory? loggers = null, CancellationToken cancellation = default) =>
        WeirServer.StartAsync(options, loggers, cancellation);

    /// <summary>Checkpoints at a place that people write: <c>s3://bucket/prefix</c> for a store of objects (<see cref="S3Store"/>), else a folder.</summary>
    /// <param name="place">The place. Nothing is asked of it yet.</param>
    /// <exception cref="ArgumentException">It begins like the address of a store and is none.</exception>
    public static ICheckpointStore OpenCheckpoints(string place)
    {
        ArgumentException.ThrowIfNullOrEmpty(place);
        return S3Address.IsMeant(place) ? new S3Store(place) : new FolderStore(place);
    }
}
