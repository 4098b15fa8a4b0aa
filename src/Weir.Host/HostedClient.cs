using Microsoft.Extensions.Logging;
using Weir.Client;
using Weir.Host.Loops;
using Weir.World;

namespace Weir.Host;

/// <summary>A client as a loop drives it. Where the client fails by a defect the loop ends, and all calls fail and say so.</summary>
internal static class HostedClient
{
    /// <summary>Drives a client and finds its cluster. Closing the client ends the loop and the network.</summary>
    /// <param name="core">The client.</param>
    /// <param name="network">The network that the client was made with.</param>
    /// <param name="attach">Says where the network's frames go.</param>
    /// <param name="timers">Tells the time.</param>
    /// <param name="log">Hears of a failure.</param>
    /// <param name="addresses">Any members of the cluster.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <exception cref="WeirException">Unreachable, as <see cref="WeirHost.ConnectAsync"/> says.</exception>
    public static Task<WeirClient> OpenAsync(
        ClientCore core, IAsyncDisposable network, Action<IFrameSink> attach, ITimers timers, ILogger log, IReadOnlyList<string> addresses, CancellationToken cancellation)
    {
        var loop = new ClientLoop(core, timers, log, "client");
        _ = WatchAsync(loop, core);
        attach(loop);
        return WeirClient.OpenAsync(
            core,
            addresses,
            async () =>
            {
                await network.DisposeAsync();
                await loop.DisposeAsync();
            },
            cancellation);
    }

    private static async Task WatchAsync(ClientLoop loop, ClientCore core)
    {
        try
        {
            await loop.Completion.ConfigureAwait(false);
        }
        catch (Exception defect)
        {
            core.Stop(defect);
        }
    }
}
