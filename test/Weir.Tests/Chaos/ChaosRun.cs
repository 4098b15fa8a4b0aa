using System.Diagnostics;
using System.Globalization;
using Weir.Cli;
using Weir.Cli.Bench;
using Weir.Client;
using Weir.Tests.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Chaos;

/// <summary>
/// Rounds of faults on real processes (reliability.md, B4.3). In each, unique tokens are pushed around one fault; then every acknowledged token must be
/// there once, every other at most once, and nothing else; and the cluster must be whole again in time.
/// </summary>
internal sealed class ChaosRun(ChaosSettings settings)
{
    private const int BeforePushes = 1000;
    private const int AfterPushes = 1500;
    private const int PatienceMs = 60_000;

    // Ten thousand pushes, what a round is to have, then take five seconds, and the servers and this process half of two cores.
    private const int PushesPerSecond = 2000;

    // A cluster serves so many rounds; then another is started, with the next setup of the turn: most faults are for the first two.
    private const int RoundsOfCluster = 6;
    private static readonly ChaosSetup[] Turn = [ChaosSetup.Plain, ChaosSetup.Durable, ChaosSetup.Proxied, ChaosSetup.Plain, ChaosSetup.Etcd, ChaosSetup.Proxied];

    private readonly List<ChaosRoundReport> _rounds = [];
    private readonly ProxyTally _frames = new();
    private readonly Rng _rng = new(settings.Seed);
    private readonly Dictionary<ChaosSetup, int> _next = [];
    private readonly Queue<ChaosWorkload> _workloads = new();
    private readonly List<string> _leftOut = [];
    private bool _hasRestored;

    /// <summary>Runs as many rounds as were asked for, or as fit the time.</summary>
    public async Task<ChaosReport> RunAsync()
    {
        long begin = Stopwatch.GetTimestamp();
        using ChaosNetwork network = ChaosNetwork.Create(ChaosCluster.Size, settings.OnLoopback);
        ChaosMeans means = Means(network);
        Console.WriteLine($"chaos: {network.Description}, seed {settings.Seed}");
        ChaosFault[] faults = [.. ChaosFault.All.Where(fault => fault.Name.Contains(settings.Fault, StringComparison.Ordinal))];
        foreach (ChaosFault fault in faults.Where(fault => (fault.Means & ~means) != 0))
        {
            _leftOut.Add($"{fault.Name}, which needs {fault.Means & ~means}");
            Console.WriteLine($"left out: {_leftOut[^1]}");
        }

        faults = [.. faults.Where(fault => (fault.Means & ~means) == 0)];
        if (faults.Length == 0)
        {
            throw new InvalidOperationException($"no fault that can be played here has '{settings.Fault}' in its name; there are: {string.Join(", ", ChaosFault.All.Select(fault => fault.Name))}");
        }

        for (int leg = 0; !IsOver(begin); leg++)
        {
            ChaosSetup setup = Turn[leg % Turn.Length];
            ChaosFault[] own = [.. faults.Where(fault => fault.Setup == setup)];
            if (own.Length > 0)
            {
                await LegAsync(network, setup, means, own, begin);
            }
        }

        return Report(network);
    }

    private bool IsOver(long begin) => _rounds.Count >= settings.Rounds || Stopwatch.GetElapsedTime(begin).TotalMinutes >= settings.Minutes;

    /// <summary>What can be done here; where something cannot it says why.</summary>
    private static ChaosMeans Means(ChaosNetwork network)
    {
        bool isRoot = OperatingSystem.IsLinux() && Environment.UserName == "root";
        string noDisk = "this user is not root";
        bool hasDisks = isRoot && SmallDisk.CanMake(out noDisk);
        if (!hasDisks)
        {
            Console.WriteLine($"no loop devices ({noDisk}): journals are on the machine's disk");
        }

        return (network.CanCut ? ChaosMeans.Cuts : 0)
            | (isRoot && ChaosNetwork.TryRun("strace", "-V") ? ChaosMeans.Tracing : 0)
            | (hasDisks ? ChaosMeans.SmallDisks : 0)
            | (hasDisks && SmallDisk.CanThrottle ? ChaosMeans.Throttling : 0)
            | (EtcdCluster.IsInstalled ? ChaosMeans.Etcd : 0)
            | (isRoot && ChaosNetwork.TryRun("prlimit", "--version") ? ChaosMeans.FileLimits : 0)
            | (FakeClock.Library is not null ? ChaosMeans.FakeClocks : 0);
    }

    private async Task LegAsync(ChaosNetwork network, ChaosSetup setup, ChaosMeans means, ChaosFault[] faults, long begin)
    {
        await using ChaosCluster cluster = await ChaosCluster.StartAsync(network, setup, means, _rng.Next());
        await using WeirClient checker = await cluster.ConnectAsync("checker");
        await AwaitWholeAsync(checker);
        _hasRestored = false;
        for (int round = 0; round < RoundsOfCluster && !IsOver(begin); round++)
        {
            // Runs begin with different faults: a short one plays but a few.
            int next = _next.TryGetValue(setup, out int known) ? known : _rng.Below(faults.Length);
            _next[setup] = next + 1;
            ChaosFault fault = faults[next % faults.Length];
            ChaosRoundReport report = await RoundAsync(cluster, checker, fault, NextWorkload());
            _rounds.Add(report);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"round {_rounds.Count}: {report.Fault}, {report.Workload}{(report.WorkloadSteps > 0 ? $" ({report.WorkloadSteps})" : "")}: {report.AcknowledgedPushes:N0} pushes of {report.Acknowledged:N0} tokens acknowledged, {report.UnderWay} under way, {report.ReceivedBefore} parts received and not acknowledged, {report.Lost} lost, {report.Doubled} doubled; served again after {report.ServedAgainMs:N0} ms, longest push {report.LongestPushMs:N0} ms, whole {report.WholeAgainMs:N0} ms after; {report.Seconds:N1} s{(report.Failures > 0 ? $", {report.Failures} pushes failed" : "")}{(report.Problem is null ? "" : $": {report.Problem}")}"));
            if (report.Problem is not null)
            {
                foreach (ChaosServer server in cluster.Servers)
                {
                    Console.WriteLine($"server process {server.Id}: {server.LastWords}");
                }

                break;
            }
        }

        Count(cluster);
    }

    private async Task<ChaosRoundReport> RoundAsync(ChaosCluster cluster, WeirClient checker, ChaosFault fault, ChaosWorkload kind)
    {
        long begin = Stopwatch.GetTimestamp(), received = 0;
        int underWay = 0;
        double? wholeAgainMs = null;
        string? problem = null;
        TokenVerdict verdict = default;
        TokenPushers? pushers = null;
        IChaosWorkload? workload = null;
        var watch = new ServiceWatch(checker.Core.State.Map!.SegmentBits);
        try
        {
            var options = new TableOptions { Name = $"round-{_rounds.Count}", Durable = cluster.Setup == ChaosSetup.Durable, Committed = kind == ChaosWorkload.Committed };
            WeirTable table = await checker.OpenTableAsync(options);
            pushers = await TokenPushers.StartAsync(cluster, options, PushesPerSecond, watch);
            workload = await StartAsync(kind, cluster, pushers, options);
            await pushers.AwaitAsync(BeforePushes, PatienceMs);
            Dictionary<ulong, long> before = await DuplicatesAsync(checker);
            underWay = pushers.UnderWay;
            watch.Begin(Stopwatch.GetTimestamp());
            await fault.RunAsync(new ChaosScene(cluster, _rng, () => pushers.Acknowledged));
            Task<double> whole = WholeAgainAsync(checker);
            await pushers.AwaitAsync(Math.Max(settings.Pushes, pushers.AcknowledgedPushes + AfterPushes), PatienceMs);
            await pushers.EndAsync(PatienceMs);
            await (workload?.EndAsync(checker, PatienceMs) ?? Task.CompletedTask);
            received = (await DuplicatesAsync(checker)).Sum(node => Since(node.Value, before.GetValueOrDefault(node.Key)));
            verdict = await TokenLedger.CheckAsync(
                checker, table, [.. pushers.Ledgers, .. workload is CommittedReads reads ? [reads.Ledger] : Array.Empty<TokenLedger>()], CancellationToken.None);
            wholeAgainMs = await whole;
            await checker.DropTableAsync(table);
            await AwaitWholeAsync(checker);
        }
        catch (Exception exception) when (exception is InvalidOperationException or WeirException or TimeoutException or ToolException or Xunit.Sdk.XunitException)
        {
            problem = exception.Message;
        }
        finally
        {
            await (workload?.DisposeAsync() ?? ValueTask.CompletedTask);
            await (pushers?.DisposeAsync() ?? ValueTask.CompletedTask);
        }

        string? failure = pushers?.Failure;
        return new ChaosRoundReport(
            fault.Name, workload?.Name ?? "tokens alone", workload?.Steps ?? 0, pushers?.AcknowledgedPushes ?? 0, verdict.Acknowledged, underWay, received, fault.MakesDuplicates,
            watch.ServedAgainMs, watch.LongestPushMs, wholeAgainMs, verdict.Lost, verdict.Doubled + verdict.Foreign, pushers?.Failures ?? 0,
            Stopwatch.GetElapsedTime(begin).TotalSeconds, problem ?? (failure is null ? null : $"a push failed: {failure}"));
    }

    private async Task<IChaosWorkload?> StartAsync(ChaosWorkload kind, ChaosCluster cluster, TokenPushers pushers, TableOptions table)
    {
        switch (kind)
        {
            case ChaosWorkload.Workers:
                return await CountedIterations.StartAsync(cluster, $"job-{_rounds.Count}");
            case ChaosWorkload.Filtered:
                return await FilteredIterations.StartAsync(cluster, $"filtered-{_rounds.Count}");
            case ChaosWorkload.Committed:
                return await CommittedReads.StartAsync(cluster, table);
            case ChaosWorkload.Checkpoints:
                // Once in the life of a cluster, and not of durable tables: those need servers with journals.
                bool restores = !_hasRestored && cluster.Setup != ChaosSetup.Durable;
                _hasRestored |= restores;
                return await CheckpointsUnderWay.StartAsync(cluster, pushers, table, restores);
            default:
                return null;
        }
    }

    /// <summary>The next workload: of as many rounds as there are kinds each gets another, in an order drawn anew each time.</summary>
    private ChaosWorkload NextWorkload()
    {
        if (_workloads.Count == 0)
        {
            ChaosWorkload[] all = Enum.GetValues<ChaosWorkload>();
            for (int i = all.Length - 1; i > 0; i--)
            {
                int other = _rng.Below(i + 1);
                (all[i], all[other]) = (all[other], all[i]);
            }

            Array.ForEach(all, _workloads.Enqueue);
        }

        return _workloads.Dequeue();
    }

    /// <summary>Milliseconds from now until the cluster is whole.</summary>
    private static async Task<double> WholeAgainAsync(WeirClient client)
    {
        long begin = Stopwatch.GetTimestamp();
        await AwaitWholeAsync(client);
        return Math.Round(Math.Max(0, Stopwatch.GetElapsedTime(begin).TotalMilliseconds - RepairedCluster.QuietMs), 1);
    }

    /// <summary>A server that came back with its id, which its journal keeps, counts anew.</summary>
    private static long Since(long now, long before) => now >= before ? now - before : now;

    private static Task AwaitWholeAsync(WeirClient client) => RepairedCluster.AwaitAsync(client, ChaosCluster.Size, CancellationToken.None);

    /// <summary>By node: parts that came again although they had been taken, so far.</summary>
    private static async Task<Dictionary<ulong, long>> DuplicatesAsync(WeirClient client)
    {
        const int AnswerMs = 5000;
        Dictionary<ulong, long> duplicates = [];
        foreach (string address in client.Core.State.Map!.Members.Select(member => member.Address))
        {
            try
            {
                byte[] body = await client.Core.AskAsync(address, FrameKind.Status, FrameKind.StatusReply, default(EmptyBody), AnswerMs, CancellationToken.None);
                if (StatusReplyBody.TryRead(body, out StatusReplyBody reply))
                {
                    duplicates[reply.Node] = reply.Counters.Duplicates;
                }
            }
            catch (WeirException)
            {
                // One that is gone has answered nobody since.
            }
        }

        return duplicates;
    }

    private void Count(ChaosCluster cluster)
    {
        foreach (ProxyTally tally in cluster.Proxies.Select(proxy => proxy.Tally))
        {
            _frames.Frames += tally.Frames;
            _frames.Delayed += tally.Delayed;
            _frames.Duplicated += tally.Duplicated;
            _frames.Truncated += tally.Truncated;
            _frames.Flipped += tally.Flipped;
            _frames.Reset += tally.Reset;
            _frames.Cut += tally.Cut;
            _frames.Held += tally.Held;
            _frames.HeldPastMap += tally.HeldPastMap;
        }
    }

    private ChaosReport Report(ChaosNetwork network) => ChaosReport.Of(
        network.Description,
        settings.Seed,
        _leftOut,
        new Dictionary<string, long>
        {
            ["passed"] = _frames.Frames,
            ["delayed"] = _frames.Delayed,
            ["duplicated"] = _frames.Duplicated,
            ["truncated"] = _frames.Truncated,
            ["flipped"] = _frames.Flipped,
            ["reset"] = _frames.Reset,
            ["cut"] = _frames.Cut,
            ["heldBack"] = _frames.Held,
            ["heldBackPastAChangeOfTheMap"] = _frames.HeldPastMap,
        },
        _rounds);
}

/// <summary>What runs beside the pushes of tokens in a round.</summary>
internal enum ChaosWorkload
{
    /// <summary>Nothing.</summary>
    Tokens,

    /// <summary>A job whose iterations are counted: <see cref="CountedIterations"/>.</summary>
    Workers,

    /// <summary>A job whose pushes go through filters: <see cref="FilteredIterations"/>.</summary>
    Filtered,

    /// <summary>The tokens' table is committed, and read: <see cref="CommittedReads"/>.</summary>
    Committed,

    /// <summary>Checkpoints are written: <see cref="CheckpointsUnderWay"/>.</summary>
    Checkpoints,
}

/// <summary>How a chaos run is made.</summary>
/// <param name="Rounds">At most so many.</param>
/// <param name="Minutes">None begins after so many.</param>
/// <param name="Seed">Draws the victims.</param>
/// <param name="Pushes">Pushes acknowledged in each round, at least: each a call of its own.</param>
/// <param name="OnLoopback">No namespaces, wherever it runs.</param>
/// <param name="Fault">Only faults with this in their names; empty for all.</param>
internal sealed record ChaosSettings(int Rounds, double Minutes, ulong Seed, long Pushes, bool OnLoopback = false, string Fault = "");
