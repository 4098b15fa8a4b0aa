using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Cli.Commands;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Client;

namespace Weir.Cli.Bench;

/// <summary>
/// Measures push, pull and push-pull between this process and a server of its own, and in turn with them what the bare socket does: whatever
/// else the machine has to do then slows both.
/// </summary>
internal sealed class PushPullBench(PushPullSettings settings, ToolConsole console)
{
    private const int Rounds = 5;

    // Before the first round: the compiler has then seen the hot paths, and the server's buffers exist.
    private const double WarmUpShare = 0.5;

    private static readonly RequestKind[] Kinds = [RequestKind.Push, RequestKind.Pull, RequestKind.PushPull];

    private readonly Dictionary<RequestKind, RequestTimes> _times = Kinds.ToDictionary(kind => kind, _ => new RequestTimes());
    private readonly RequestTimes _flood = new();
    private readonly RequestTimes _ping = new();

    /// <summary>Runs it.</summary>
    /// <exception cref="ToolException">A process died or did not start.</exception>
    public async Task<PushPullReport> RunAsync(CancellationToken cancellation)
    {
        await using ServerProcesses servers = await ServerProcesses.StartAsync(
            new ServerSet(1 + settings.Replicas, settings.SegmentBits, settings.Transport, settings.Replicas), console, NullLoggerFactory.Instance, cancellation);
        await using RawLink raw = await RawLink.StartAsync(settings.Transport, console.Error.WriteLine, cancellation);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{servers.Description}, {1 << settings.SegmentBits} segments{(settings.Replicas == 0 ? "" : $" on {1 + settings.Replicas} of them each")}; {settings.Keys:N0} keys of {settings.Width:N0} {(settings.Width == 1 ? "float" : "floats")}, rule {settings.RuleName}; {settings.RequestKeys:N0} keys a request, window {settings.Window}{(settings.Filters == Filters.None ? "" : $", filters {FilterOption.Text(settings.Filters)}")}"));
        await using WeirClient client = await servers.ConnectAsync(settings.Filters, cancellation);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task work = MeasureAsync(client, raw, ended.Token);
        if (await Task.WhenAny(work, servers.Died) == servers.Died)
        {
            await ended.CancelAsync();
            await work.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            throw new ToolException(await servers.Died);
        }

        await work;
        return Report();
    }

    private async Task MeasureAsync(WeirClient client, RawLink raw, CancellationToken cancellation)
    {
        if (settings.Replicas > 0)
        {
            await RepairedCluster.AwaitAsync(client, 1 + settings.Replicas, cancellation);
        }

        BenchedTable table = await BenchedTable.FillAsync(client, settings, cancellation);
        double seconds = settings.Seconds / Rounds;
        foreach (RequestKind kind in Kinds)
        {
            await table.MeasureAsync(kind, seconds * WarmUpShare, new RequestTimes(), cancellation);
        }

        long wireBytes = settings.RequestBytes + ((long)settings.RequestKeys * sizeof(ulong));
        for (int round = 0; round < Rounds; round++)
        {
            foreach (RequestKind kind in Kinds)
            {
                await table.MeasureAsync(kind, seconds, _times[kind], cancellation);
            }

            // Blocking calls, which a thread of the pool is spared for as nothing else runs meanwhile.
            await Task.Run(
                () =>
                {
                    raw.Flood(wireBytes, settings.Window, seconds, _flood, cancellation);
                    raw.Ping(seconds, _ping, cancellation);
                },
                cancellation);
        }
    }

    private PushPullReport Report() => new(
        Of(RequestKind.Push, 1),
        Of(RequestKind.Pull, 1),
        Of(RequestKind.PushPull, 2),
        new RawSpeed(_flood.RequestsPerSecond * settings.RequestBytes, _ping.Microseconds(0.5)[0]));

    private RequestSpeed Of(RequestKind kind, int directions)
    {
        RequestTimes times = _times[kind];
        double[] us = times.Microseconds(0.5, 0.99, 0.999);
        return new RequestSpeed(
            times.RequestsPerSecond * settings.RequestKeys, times.RequestsPerSecond * settings.RequestBytes * directions, us[0], us[1], us[2]);
    }
}
