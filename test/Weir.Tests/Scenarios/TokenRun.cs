using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// One simulated run: workers push tokens that are unique by (worker, iteration), pull each other's counts under a bound, and die with their
/// processes. Everything is drawn from the seed. At the end every token must be there exactly once and nothing else (reliability.md, B2).
/// </summary>
internal sealed class TokenRun : IDisposable
{
    private const int Iterations = 8;
    private const ulong Counter = 1UL << 60;

    private readonly Rng _rng;
    private readonly SimCluster _cluster;
    private readonly List<WeirClient> _processes = [];
    private readonly List<Task> _hosting = [];
    private readonly Dictionary<ServerNode, ulong> _versions = [];
    private readonly int _servers, _hosts, _workers;
    private readonly int? _bound;
    private readonly bool _aggregate, _kills;

    public TokenRun(ulong seed)
    {
        _rng = new Rng(seed ^ 0x5EED);
        _servers = 1 + _rng.Below(4);
        _hosts = 2 + _rng.Below(3);
        _workers = _hosts + _rng.Below(3);
        _aggregate = _rng.Chance(1, 2);
        _bound = _rng.Chance(1, 5) && !_aggregate ? null : _aggregate && _rng.Chance(1, 2) ? 0 : _rng.Below(4);
        _kills = _rng.Chance(1, 2);
        _cluster = new SimCluster(seed, _servers);
        _cluster.Scheduler.Stepped = CheckStep;
    }

    public SimTally Tally => _cluster.Tally;

    public ulong Trace => _cluster.Trace;

    public long Superseded { get; private set; }

    public long Held { get; private set; }

    public string Describe() => $"servers {_servers}, hosts {_hosts}, workers {_workers}, bound {_bound?.ToString() ?? "none"}, aggregate {_aggregate}, kills {_kills}";

    public void Run()
    {
        try
        {
            _cluster.Run(RunAsync, limitMs: 300_000);
        }
        catch (InvariantException)
        {
            Dump();
            throw;
        }

        Held = _cluster.Nodes.Sum(n => n.Counters.PartsHeld);
        Superseded = _cluster.Nodes.Sum(n => n.Counters.Superseded);
    }

    /// <summary>Where everybody stands, for whoever looks into a failing seed.</summary>
    private void Dump()
    {
        foreach (ServerNode node in _cluster.Nodes)
        {
            Console.WriteLine($"node {node.Map?.Version}: {node.Describe()}");
        }

        foreach (WeirClient process in _processes)
        {
            Console.WriteLine(process.Core.Describe());
        }
    }

    public void Dispose() => _cluster.Dispose();

    public static ulong Token(int worker, long iteration) => Mix.Of(((ulong)worker << 32) | (ulong)iteration, 17) >> 8;

    private async Task RunAsync()
    {
        for (int i = 0; i < _hosts; i++)
        {
            _processes.Add(await _cluster.ConnectAsync($"p{i}"));
        }

        WeirClient reader = await _cluster.ConnectAsync("reader");
        Job job = await reader.OpenJobAsync(new JobOptions { Name = "tokens", Workers = _workers, Hosts = _hosts });
        WeirTable table = await reader.OpenTableAsync(new TableOptions { Name = "t", Width = 2, Job = job, Aggregate = _aggregate });
        _cluster.Network.Faults = new SimFaults
        {
            LossPerMille = _rng.Chance(1, 2) ? _rng.Below(60) : 0,
            DuplicatePerMille = _rng.Chance(1, 2) ? _rng.Below(60) : 0,
            ReorderPerMille = _rng.Chance(1, 2) ? _rng.Below(100) : 0,
            SlowDelayUs = _rng.Chance(1, 2) ? 1000 + _rng.Below(20_000L) : 0,
        };
        _cluster.Slow(_rng.Below(_servers));
        foreach (WeirClient process in _processes)
        {
            _hosting.Add(process.HostWorkersAsync(job, (worker, stop) => WorkAsync(worker, table, stop)));
        }

        int dead = -1;
        if (_kills)
        {
            dead = _rng.Below(_hosts);
            _cluster.Scheduler.At(_cluster.Scheduler.Now.AfterUs(_rng.Below(60_000L)), () => _cluster.Kill(_processes[dead]));
        }

        List<Task> alive = [.. _hosting.Where((_, i) => i != dead)];
        while (alive.Count > 0)
        {
            Task ended = await Task.WhenAny(alive);
            alive.Remove(ended);
            await ended;
        }

        await CheckTokensAsync(reader, table);
    }

    private async Task WorkAsync(Worker worker, WeirTable table, CancellationToken stop)
    {
        while (worker.Clock < Iterations)
        {
            long t = worker.Clock + 1;
            ulong[] counters = [.. Enumerable.Range(0, worker.Count).Select(w => Counter + (ulong)w)];
            float[] counts = new float[2 * counters.Length];
            PullResult pulled = await worker.PullAsync(table, counters, counts, _bound, stop);
            for (int w = 0; w < worker.Count && _bound is { } bound; w++)
            {
                // Every iteration s < t - tau of every worker is contained (PS-15).
                Invariant.That(counts[2 * w] >= t - bound - 1, $"the pull of iteration {t} under bound {bound} contains worker {w} up to {t - bound - 1}, not {counts[2 * w]}");
                Invariant.That(counts[2 * w] <= Iterations, "no iteration is applied twice");
            }

            Invariant.That(_bound is null || pulled.MinimumClock >= t - _bound - 1, "the stamp of a pull meets its bound");
            Task first = worker.PushAsync(table, new[] { Token(worker.Index, t), Counter + (ulong)worker.Index }, new float[] { 1, t, 1, 0 }, stop);
            Task second = worker.PushAsync(table, new[] { Token(worker.Index, t) }, new float[] { 0, 1 }, stop);
            await worker.ClockAsync(stop);
            await Task.WhenAll(first, second);
        }
    }

    private async Task CheckTokensAsync(WeirClient reader, WeirTable table)
    {
        Dictionary<ulong, (float Count, float Sum)> rows = [];
        await foreach (RowBatch batch in reader.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                Invariant.That(rows.TryAdd(batch.Keys.Span[i], (batch.Values.Span[2 * i], batch.Values.Span[(2 * i) + 1])), "a scan shows a row once");
            }
        }

        for (int worker = 0; worker < _workers; worker++)
        {
            for (long t = 1; t <= Iterations; t++)
            {
                Invariant.That(rows.Remove(Token(worker, t), out (float Count, float Sum) row), $"the acknowledged token of worker {worker}, iteration {t} is there");
                Invariant.That(row == (1, t + 1), $"the token of worker {worker}, iteration {t} was applied once, not {row}");
            }

            Invariant.That(rows.Remove(Counter + (ulong)worker, out (float Count, float) counter) && counter.Count == Iterations, $"worker {worker} counted to {Iterations}");
        }

        Invariant.That(rows.Count == 0, "nothing else is there");
    }

    /// <summary>What must hold at every step: map versions only grow, every queue stays in its bound (design section 12: 5, 7).</summary>
    private void CheckStep()
    {
        foreach (ServerNode node in _cluster.Nodes)
        {
            ulong version = node.Map?.Version ?? 0;
            Invariant.That(version >= _versions.GetValueOrDefault(node), "a node never goes back to an older map");
            _versions[node] = version;
            Invariant.That(node.Counters.PullsWaiting <= new ServerLimits().WaitingPulls, "waiting pulls stay in their bound");
        }
    }
}
