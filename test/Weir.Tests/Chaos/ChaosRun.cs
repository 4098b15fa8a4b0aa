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
    private const int BeforeTokens = 3000;
    private const int AfterTokens = 3000;
    private const int PatienceMs = 60_000;

    // A cluster serves so many rounds; then another is started, with the next setup of the turn: most faults are for the first two.
    private const int RoundsOfCluster = 6;
    private static readonly ChaosSetup[] Turn = [ChaosSetup.Plain, ChaosSetup.Durable, ChaosSetup.Proxied, ChaosSetup.Plain, ChaosSetup.Etcd, ChaosSetup.Proxied];

    private readonly List<ChaosRoundReport> _rounds = [];
    private readonly ProxyTally _frames = new();
    private readonly Rng _rng = new(settings.Seed);
    private readonly Dictionary<ChaosSetup, int> _next = [];

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
            Console.WriteLine($"left out: {fault.Name}, which needs {fault.Means & ~means}");
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
        for (int round = 0; round < RoundsOfCluster && !IsOver(begin); round++)
        {
            // Runs begin with different faults: a short one plays but a few.
            int next = _next.TryGetValue(setup, out int known) ? known : _rng.Below(faults.Length);
            _next[setup] = next + 1;
            ChaosFault fault = faults[next % faults.Length];
            ChaosRoundReport report = await RoundAsync(cluster, checker, fault);
            _rounds.Add(report);
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"round {_rounds.Count}: {report.Fault}: {report.Acknowledged:N0} acknowledged, {report.UnderWay} pushes under way, {report.ReceivedBefore} parts received and not acknowledged, {report.Lost} lost, {report.Doubled} doubled, {report.Seconds:N1} s{(report.Failures > 0 ? $", {report.Failures} pushes failed" : "")}{(report.Problem is null ? "" : $": {report.Problem}")}"));
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

    private async Task<ChaosRoundReport> RoundAsync(ChaosCluster cluster, WeirClient checker, ChaosFault fault)
    {
        long begin = Stopwatch.GetTimestamp(), received = 0;
        int underWay = 0;
        string? problem = null;
        TokenVerdict verdict = default;
        Pushers? pushers = null;
        try
        {
            var options = new TableOptions { Name = $"round-{_rounds.Count}", Durable = cluster.Setup == ChaosSetup.Durable };
            WeirTable table = await checker.OpenTableAsync(options);
            pushers = await Pushers.StartAsync(cluster, options, settings.KeysPerSecond);
            await pushers.AwaitAsync(BeforeTokens, PatienceMs);
            Dictionary<ulong, long> before = await DuplicatesAsync(checker);
            underWay = pushers.UnderWay;
            await fault.RunAsync(new ChaosScene(cluster, _rng, () => pushers.Acknowledged));
            await pushers.AwaitAsync(Math.Max(settings.Tokens, pushers.Acknowledged + AfterTokens), PatienceMs);
            await pushers.EndAsync(PatienceMs);
            received = (await DuplicatesAsync(checker)).Sum(node => Since(node.Value, before.GetValueOrDefault(node.Key)));
            verdict = await TokenLedger.CheckAsync(checker, table, pushers.Ledgers, CancellationToken.None);
            await checker.DropTableAsync(table);
            await AwaitWholeAsync(checker);
        }
        catch (Exception exception) when (exception is InvalidOperationException or WeirException or TimeoutException or ToolException)
        {
            problem = exception.Message;
        }
        finally
        {
            if (pushers is not null)
            {
                await pushers.DisposeAsync();
            }
        }

        string? failure = pushers?.Failure;
        return new ChaosRoundReport(
            fault.Name, verdict.Acknowledged, underWay, received, verdict.Lost, verdict.Doubled + verdict.Foreign, pushers?.Failures ?? 0,
            Stopwatch.GetElapsedTime(begin).TotalSeconds, problem ?? (failure is null ? null : $"a push failed: {failure}"));
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

    private ChaosReport Report(ChaosNetwork network) => new(
        network.Description,
        settings.Seed,
        _rounds.Count,
        _rounds.Sum(round => round.Acknowledged),
        _rounds.Sum(round => round.Lost),
        _rounds.Sum(round => round.Doubled),
        _rounds.Count(round => round.Problem is not null),
        _rounds.Count(round => round.ReceivedBefore > 0) / Math.Max(1.0, _rounds.Count),
        _rounds.GroupBy(round => round.Fault).ToDictionary(group => group.Key, group => group.Count()),
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

    /// <summary>Two processes' worth of clients that push to one table, each under a session of its own.</summary>
    private sealed class Pushers : IAsyncDisposable
    {
        private const int Count = 2;
        private const int PollMs = 10;

        private readonly List<(WeirClient Client, TokenPusher Pusher)> _pushers = [];
        private readonly CancellationTokenSource _stop = new();
        private Task _run = Task.CompletedTask;

        public TokenLedger[] Ledgers => [.. _pushers.Select(p => p.Pusher.Ledger)];

        public long Acknowledged => _pushers.Sum(p => p.Pusher.Acknowledged);

        public int UnderWay => _pushers.Sum(p => p.Pusher.UnderWay);

        public int Failures => _pushers.Sum(p => p.Pusher.Failures);

        public string? Failure => _pushers.Select(p => p.Pusher.Failure).FirstOrDefault(failure => failure is not null);

        public static async Task<Pushers> StartAsync(ChaosCluster cluster, TableOptions table, int keysPerSecond)
        {
            var pushers = new Pushers();
            try
            {
                for (int owner = 0; owner < Count; owner++)
                {
                    WeirClient client = await cluster.ConnectAsync($"pusher {owner}");
                    pushers._pushers.Add((client, new TokenPusher(client, await client.OpenTableAsync(table), keysPerSecond / Count, owner)));
                }
            }
            catch
            {
                await pushers.DisposeAsync();
                throw;
            }

            pushers._run = Task.WhenAll(pushers._pushers.Select(p => Task.Run(() => p.Pusher.RunAsync(pushers._stop.Token))));
            return pushers;
        }

        /// <summary>Waits until so many tokens were acknowledged in all.</summary>
        /// <exception cref="TimeoutException">They were not in time.</exception>
        public async Task AwaitAsync(long tokens, int withinMs)
        {
            long begin = Stopwatch.GetTimestamp();
            while (Acknowledged < tokens && Failure is null)
            {
                if (Stopwatch.GetElapsedTime(begin).TotalMilliseconds > withinMs)
                {
                    throw new TimeoutException($"{Acknowledged:N0} of {tokens:N0} tokens were acknowledged after {withinMs / 1000} s, {UnderWay} pushes wait");
                }

                await Task.Delay(PollMs);
            }
        }

        public async Task EndAsync(int withinMs)
        {
            await _stop.CancelAsync();
            if (await Task.WhenAny(_run, Task.Delay(withinMs)) != _run)
            {
                string where = string.Join("; ", _pushers.Select(p => p.Client.Core.Describe()));
                throw new TimeoutException($"{UnderWay} pushes were not answered {withinMs / 1000} s after the last: {where[..Math.Min(where.Length, 4000)]}");
            }

            await _run;
        }

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            foreach ((WeirClient client, _) in _pushers)
            {
                await client.DisposeAsync();
            }

            await _run;
            _stop.Dispose();
        }
    }
}

/// <summary>How a chaos run is made.</summary>
/// <param name="Rounds">At most so many.</param>
/// <param name="Minutes">None begins after so many.</param>
/// <param name="Seed">Draws the victims.</param>
/// <param name="Tokens">Tokens acknowledged in each round, at least.</param>
/// <param name="KeysPerSecond">Tokens pushed a second.</param>
/// <param name="OnLoopback">No namespaces, wherever it runs.</param>
/// <param name="Fault">Only faults with this in their names; empty for all.</param>
internal sealed record ChaosSettings(int Rounds, double Minutes, ulong Seed, int Tokens = 10_000, int KeysPerSecond = 5000, bool OnLoopback = false, string Fault = "");
