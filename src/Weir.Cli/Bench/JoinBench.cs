using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;

namespace Weir.Cli.Bench;

/// <summary>
/// Has a fourth server join three: once under push-pull load on the whole table, and once, in another cluster, so that a single segment of many rows
/// moves while pushes to that very segment go on.
/// </summary>
internal sealed class JoinBench(JoinSettings settings, ToolConsole console)
{
    private const ulong Newcomer = 0x4E45_5743_4F4D_4552;

    // Between pushes to the large segment: each is waited for by its own task, so that one that stalls holds up no other.
    private const int PushMs = 2;

    private const int PushKeys = 16;
    private const int FillRows = 50_000;
    private const int MostMoveMs = 120_000;

    private static readonly int SegmentBits = ClusterMap.SegmentBitsFor(JoinSettings.Servers + 1);

    /// <summary>Runs both.</summary>
    /// <exception cref="ToolException">A process died or did not start, or the cluster did not come to rest.</exception>
    public async Task<JoinReport> RunAsync(CancellationToken cancellation)
    {
        JoinReport whole = await WholeAsync(cancellation);
        (double stallMs, double beforeMs, double seconds) = await OneSegmentAsync(cancellation);
        return whole with { LongestStallMs = stallMs, LongestBeforeMs = beforeMs, LargeSegmentMoveSeconds = seconds };
    }

    private async Task<ServerProcesses> StartAsync(CancellationToken cancellation)
    {
        var set = new ServerSet(
            JoinSettings.Servers, SegmentBits, Transport.Tcp, settings.Replicas, ServerSet.PeersFor(JoinSettings.Servers, settings.Replicas));
        return await ServerProcesses.StartAsync(set, console, NullLoggerFactory.Instance, cancellation);
    }

    private async Task<JoinReport> WholeAsync(CancellationToken cancellation)
    {
        await using ServerProcesses servers = await StartAsync(cancellation);
        await using WeirClient client = await servers.ConnectAsync(Filters.None, cancellation);
        await RepairedCluster.AwaitAsync(client, JoinSettings.Servers, cancellation);
        var load = new PushPullSettings
        {
            Keys = settings.Keys,
            Width = 16,
            RuleName = "add",
            Rule = UpdateRule.Add,
            RequestKeys = Math.Min(settings.Keys, 10_000),
            Window = 2,
            Filters = Filters.None,
            Transport = Transport.Tcp,
            SegmentBits = SegmentBits,
            Seconds = settings.Seconds,
        };
        BenchedTable table = await BenchedTable.FillAsync(client, load, cancellation);
        ClusterMap before = await RepairedCluster.AwaitAsync(client, JoinSettings.Servers, cancellation);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{servers.Description}, {settings.Replicas} {(settings.Replicas == 1 ? "replica" : "replicas")}, {1 << SegmentBits} segments, {settings.Keys:N0} keys of 16 floats; push-pull of {load.RequestKeys:N0} keys, window {load.Window}"));

        long done = 0;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        Task loading = table.RunAsync(RequestKind.PushPull, () => Interlocked.Increment(ref done), stop.Token);
        await Task.Delay(TimeSpan.FromSeconds(settings.Seconds / 5), cancellation);
        double bytesBefore = await RateAsync(Task.Delay(TimeSpan.FromSeconds(settings.Seconds), cancellation));

        Task added = servers.AddAsync(Newcomer, cancellation);
        while (client.Core.State.Map!.IndexOf(Newcomer) < 0)
        {
            await Task.WhenAny(loading, Task.Delay(5, cancellation));
            ThrowIfFailed(loading);
        }

        long begin = Stopwatch.GetTimestamp();
        var moved = MovedAsync();
        double bytesDuring = await RateAsync(moved);
        await added;
        await stop.CancelAsync();
        await loading;
        ClusterMap after = await RepairedCluster.AwaitAsync(client, JoinSettings.Servers + 1, cancellation);
        JoinReport report = Report(before, after, bytesBefore, bytesDuring, await moved);
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"the fourth leads {report.SegmentsMoved} segments, {report.Share:P1} of all, and holds {report.CopiesReceived}; others received {report.OthersReceived}; "
            + $"moved in {report.MoveSeconds:N1} s; push-pull {report.Before.BytesPerSecond / 1e6:N0} MB/s before, {report.During.BytesPerSecond / 1e6:N0} during ({report.During.BytesPerSecond / report.Before.BytesPerSecond:P0})"));
        return report;

        async Task<double> RateAsync(Task until)
        {
            long first = Interlocked.Read(ref done), from = Stopwatch.GetTimestamp();
            await await Task.WhenAny(until, loading);
            return (Interlocked.Read(ref done) - first) * 2.0 * load.RequestBytes / Stopwatch.GetElapsedTime(from).TotalSeconds;
        }

        // Until every chain is as the ring has it; the client reads of each step in the answers to its requests.
        async Task<double> MovedAsync()
        {
            ulong[][] wanted = new Ring([.. client.Core.State.Map!.Members.Select(m => new RingMember(m.Node, (int)m.WeightPercent, m.Zone))]).Place(SegmentBits, settings.Replicas);
            while (!Stands(client.Core.State.Map!, wanted))
            {
                await Task.Delay(5, cancellation);
                if (Stopwatch.GetElapsedTime(begin).TotalMilliseconds > MostMoveMs)
                {
                    throw new ToolException($"the segments had not moved after {MostMoveMs / 1000} s");
                }
            }

            return Stopwatch.GetElapsedTime(begin).TotalSeconds;
        }
    }

    private static void ThrowIfFailed(Task task)
    {
        if (task.IsFaulted)
        {
            task.GetAwaiter().GetResult();
        }
    }

    private static bool Stands(ClusterMap map, ulong[][] wanted) =>
        Enumerable.Range(0, map.Segments).All(segment => map.Chains[segment].Members.Select(member => map.Members[member.Member].Node).SequenceEqual(wanted[segment]));

    private static JoinReport Report(ClusterMap before, ClusterMap after, double bytesBefore, double bytesDuring, double seconds)
    {
        int led = 0, held = 0, others = 0;
        for (int segment = 0; segment < after.Segments; segment++)
        {
            ulong[] had = [.. before.Chains[segment].Members.Select(member => before.Members[member.Member].Node)];
            ulong[] has = [.. after.Chains[segment].Members.Select(member => after.Members[member.Member].Node)];
            led += has[0] == Newcomer ? 1 : 0;
            held += has.Contains(Newcomer) ? 1 : 0;
            others += has.Count(node => node != Newcomer && !had.Contains(node));
        }

        return new JoinReport(
            new ByteRate(bytesBefore), new ByteRate(bytesDuring), seconds, led, (double)led / after.Segments, held, others, 0, 0, 0);
    }

    private async Task<(double StallMs, double BeforeMs, double Seconds)> OneSegmentAsync(CancellationToken cancellation)
    {
        await using ServerProcesses servers = await StartAsync(cancellation);
        await using WeirClient client = await servers.ConnectAsync(Filters.None, cancellation);
        ClusterMap map = await RepairedCluster.AwaitAsync(client, JoinSettings.Servers, cancellation);
        RingMember[] members = [.. map.Members.Select(m => new RingMember(m.Node, (int)m.WeightPercent, m.Zone))];
        ulong[][] wanted = new Ring([.. members, new RingMember(Newcomer, 100, "")]).Place(SegmentBits, settings.Replicas);
        int segment = Array.FindIndex(wanted, chain => chain[0] == Newcomer);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "large" }, cancellation);
        await RepairedCluster.AwaitAsync(client, JoinSettings.Servers, cancellation);
        ulong[] keys = new ulong[settings.SegmentRows];
        for (int row = 0; row < keys.Length; row++)
        {
            keys[row] = Mix.Inverse(((ulong)segment << (64 - SegmentBits)) | ((Mix.Of((ulong)row) >> SegmentBits) & ~(ulong)0xFFFFF) | (ulong)row & 0xFFFFF);
        }

        float[] ones = new float[FillRows];
        Array.Fill(ones, 1f);
        for (int first = 0; first < keys.Length; first += FillRows)
        {
            int count = Math.Min(FillRows, keys.Length - first);
            await client.PushAsync(table, keys.AsMemory(first, count), ones.AsMemory(0, count), cancellation);
        }

        var pushes = new TimedPushes(client, table, keys, PushKeys, PushMs);
        await pushes.RunAsync(Task.Delay(TimeSpan.FromSeconds(settings.Seconds / 5), cancellation));
        double beforeMs = await pushes.RunAsync(Task.Delay(TimeSpan.FromSeconds(settings.Seconds), cancellation));
        double seconds = 0;
        double stallMs = await pushes.RunAsync(MoveAsync());
        (long pushed, double read) = await pushes.CountAsync(cancellation);
        if (read != pushed + keys.Length)
        {
            throw new ToolException($"{pushed + keys.Length} was pushed to the segment's rows and their sum is {read}: this is a defect of Weir, please report it");
        }

        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"segment {segment} with {keys.Length:N0} rows moved in {seconds:N1} s while {pushed / PushKeys:N0} pushes went to it"));
        return (stallMs, beforeMs, seconds);

        async Task MoveAsync()
        {
            Task added = servers.AddAsync(Newcomer, cancellation);
            while (client.Core.State.Map!.IndexOf(Newcomer) < 0)
            {
                await Task.Delay(5, cancellation);
            }

            long begin = Stopwatch.GetTimestamp();
            while (client.Core.State.Map!.Head(segment)?.Node != Newcomer)
            {
                await Task.Delay(5, cancellation);
                if (Stopwatch.GetElapsedTime(begin).TotalMilliseconds > MostMoveMs)
                {
                    throw new ToolException($"segment {segment} had not moved after {MostMoveMs / 1000} s");
                }
            }

            seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
            await added;
            await RepairedCluster.AwaitAsync(client, JoinSettings.Servers + 1, cancellation);
        }
    }
}
