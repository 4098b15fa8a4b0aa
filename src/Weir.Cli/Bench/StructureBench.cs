using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Client;
using Weir.Structures;
using Weir.World;

namespace Weir.Cli.Bench;

/// <summary>
/// Adds batches of items to a sketch and to a ranking of a server process over TCP, and to a sorted set of Redis, one after another: what each costs is told by the time that cores worked for client and server,
/// so that it does not matter much what else the machine does meanwhile.
/// </summary>
internal sealed class StructureBench(StructureSettings settings, ToolConsole console)
{
    // More items than the processor's caches hold rows of.
    private const int Batches = 64;
    private const int TopRounds = 9;
    private const double WarmUpShare = 0.3;

    private readonly List<StructureSpeed> _runs = [];

    /// <summary>Runs it.</summary>
    /// <exception cref="ToolException">A process died or did not start.</exception>
    public async Task<StructureReport> RunAsync(CancellationToken cancellation)
    {
        await using ServerProcesses servers = await ServerProcesses.StartAsync(new ServerSet(1, StructureSettings.SegmentBits, Transport.Tcp), console, NullLoggerFactory.Instance, cancellation);
        await using WeirClient client = await servers.ConnectAsync(Filters.None, cancellation);
        WeirSketch sketch = await WeirSketch.OpenAsync(client, new SketchOptions("sketch") { Epsilon = settings.Epsilon }, cancellation);
        WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("ranking"), cancellation);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{servers.Description}, {1 << StructureSettings.SegmentBits} segments; {settings.Items:N0} items in batches of {settings.BatchItems:N0}, window {settings.Window}; sketch of {sketch.Rows:N0} rows of {sketch.CountersARow} counters of 64 bits, {sketch.Depth} an item (epsilon {sketch.Epsilon}, delta {sketch.Delta:0.0000})"));
        double[] ones = [.. Enumerable.Repeat(1.0, settings.BatchItems)];
        ulong[][] uniform = Draw(isZipf: false), zipf = Draw(isZipf: true);
        int server = servers.Servers[0].Pid;
        await using RedisProcess? redis = await RedisProcess.StartAsync(cancellation);
        if (redis is null)
        {
            console.Say("no redis-server on the path: nothing is measured beside it");
        }

        foreach ((string distribution, ulong[][] batches) in ((string, ulong[][])[])[("uniform", uniform), ("zipf", zipf)])
        {
            await MeasureAsync("sketch", distribution, server, (_, batch) => sketch.AddAsync(batches[batch], cancellation));
            await MeasureAsync("ranking", distribution, server, (_, batch) => ranking.AddAsync(batches[batch], ones, cancellation));
            if (redis is not null)
            {
                await MeasureRedisAsync(redis, distribution, batches, cancellation);
            }
        }

        // Every item is a member now, however few came in time.
        foreach (ulong[] some in Enumerable.Range(0, settings.Items).Select(item => (ulong)item).Chunk(settings.BatchItems))
        {
            await ranking.AddAsync(some, ones.AsMemory(0, some.Length), cancellation);
        }

        double rankingTop = await MedianMsAsync(() => ranking.TopAsync(StructureSettings.Top, cancellation));
        double? redisTop = null;
        if (redis is not null)
        {
            using TcpClient connection = await redis.ConnectAsync(cancellation);
            byte[] ask = RedisProcess.Highest(StructureSettings.Top), buffer = new byte[1 << 16];
            foreach (ulong[] some in Enumerable.Range(0, settings.Items).Select(item => (ulong)item).Chunk(settings.BatchItems))
            {
                await RedisProcess.AskAsync(connection, RedisProcess.Increments(some), 2 * some.Length, buffer, cancellation);
            }

            redisTop = await MedianMsAsync(() => RedisProcess.AskAsync(connection, ask, 1 + (4 * StructureSettings.Top), buffer, cancellation));
        }

        console.Say(string.Create(CultureInfo.InvariantCulture, $"the highest {StructureSettings.Top} of {settings.Items:N0}: ranking {rankingTop:F2} ms{(redisTop is { } ms ? $", redis {ms:F2} ms" : "")}"));
        return new StructureReport(
            settings.Items, settings.BatchItems, settings.Window, settings.Epsilon, StructureSettings.PaperInsertsPerCoreSecond, _runs, StructureSettings.Top, rankingTop, redisTop);
    }

    private async Task MeasureRedisAsync(RedisProcess redis, string distribution, ulong[][] batches, CancellationToken cancellation)
    {
        // What a batch is on the wire is written before: the client's part is Redis's least.
        byte[][] commands = [.. batches.Select(batch => RedisProcess.Increments(batch))];
        TcpClient[] connections = await Task.WhenAll(Enumerable.Range(0, settings.Window).Select(_ => redis.ConnectAsync(cancellation)));
        byte[][] buffers = [.. connections.Select(_ => new byte[1 << 18])];
        await MeasureAsync("redis", distribution, redis.Id, (slot, batch) => RedisProcess.AskAsync(connections[slot], commands[batch], 2 * settings.BatchItems, buffers[slot], cancellation));
        Array.ForEach(connections, connection => connection.Dispose());
    }

    /// <summary>Makes calls, a window of them at once.</summary>
    private async Task MeasureAsync(string kind, string distribution, int server, Func<int, int, Task> call)
    {
        await RepeatAsync(settings.Seconds * WarmUpShare, call);
        using Process client = Process.GetCurrentProcess(), other = Process.GetProcessById(server);
        (TimeSpan Client, TimeSpan Server) before = (client.TotalProcessorTime, other.TotalProcessorTime);
        long began = Stopwatch.GetTimestamp();
        long items = await RepeatAsync(settings.Seconds, call) * settings.BatchItems;
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        client.Refresh();
        other.Refresh();
        double ofClient = (client.TotalProcessorTime - before.Client).TotalSeconds, ofServer = (other.TotalProcessorTime - before.Server).TotalSeconds;
        var run = new StructureSpeed(kind, distribution, items / seconds, items / Math.Max(1e-9, ofClient + ofServer), ofClient / seconds, ofServer / seconds);
        _runs.Add(run);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{kind,-8} {distribution,-8} {run.PerSecond / 1e6,7:F3} M/s, {run.PerCoreSecond / 1e6,7:F3} M/s a core; {run.ClientCores:F2} cores of the client, {run.ServerCores:F2} of the server"));
    }

    private async Task<long> RepeatAsync(double seconds, Func<int, int, Task> call)
    {
        long began = Stopwatch.GetTimestamp(), calls = 0;
        await Task.WhenAll(Enumerable.Range(0, settings.Window).Select(slot => Task.Run(async () =>
        {
            do
            {
                await call(slot, (int)(Interlocked.Increment(ref calls) % Batches));
            }
            while (Stopwatch.GetElapsedTime(began).TotalSeconds < seconds);
        })));
        return calls;
    }

    private static async Task<double> MedianMsAsync(Func<Task> call)
    {
        double[] ms = new double[TopRounds];
        for (int round = 0; round < TopRounds; round++)
        {
            long began = Stopwatch.GetTimestamp();
            await call();
            ms[round] = Stopwatch.GetElapsedTime(began).TotalMilliseconds;
        }

        return ms.Order().ElementAt(TopRounds / 2);
    }

    private ulong[][] Draw(bool isZipf)
    {
        // The same items in every run, so that runs can be compared.
        var random = new Rng(1);
        var zipf = new ZipfSampler(settings.Items, random);
        return [.. Enumerable.Range(0, Batches).Select(_ => (ulong[])[.. Enumerable.Range(0, settings.BatchItems).Select(_ => isZipf ? (ulong)zipf.Next() : (ulong)random.Below(settings.Items))])];
    }
}
