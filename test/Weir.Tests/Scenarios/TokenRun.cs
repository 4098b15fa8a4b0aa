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

    // Room for a dozen lists of a dozen keys.
    private const long ForgetfulBytes = 4000;

    private readonly ulong _seed;
    private readonly Rng _rng;
    private readonly SimCluster _cluster;
    private readonly List<WeirClient> _processes = [];
    private readonly List<Task> _hosting = [];
    private readonly Dictionary<ServerNode, ulong> _versions = [];
    private readonly int _servers, _hosts, _workers;
    private readonly int? _bound;
    private readonly bool _aggregate, _kills, _killsTwice, _tight, _outages, _cuts;
    private readonly long[] _last;
    private readonly Filters _filters;
    private readonly bool _forgetful;
    private readonly int _replicas;
    private WeirClient? _reader;

    /// <param name="seed">Draws everything.</param>
    /// <param name="replicas">How many members each chain has beside its head; with any, servers die too.</param>
    public TokenRun(ulong seed, int replicas = 0)
    {
        _replicas = replicas;
        _seed = seed;
        _rng = new Rng(seed ^ 0x5EED);
        _servers = 1 + replicas + _rng.Below(4 - replicas);
        _hosts = 2 + _rng.Below(3);
        _workers = _hosts + _rng.Below(3);
        _aggregate = _rng.Chance(1, 2);
        _bound = _rng.Chance(1, 5) && !_aggregate ? null : _aggregate && _rng.Chance(1, 2) ? 0 : _rng.Below(4);
        _kills = _rng.Chance(1, 2);
        _killsTwice = _kills && _hosts > 2 && _rng.Chance(1, 2);
        _tight = _rng.Chance(1, 10);
        _outages = _rng.Chance(1, 6);
        _cuts = !_outages && _rng.Chance(1, 4);
        _last = [.. Enumerable.Range(0, _workers).Select(_ => _rng.Chance(1, 3) ? 1 + _rng.Below((long)Iterations) : Iterations)];
        var filters = new Rng(seed ^ 0xF117E5);
        _filters = (Filters)filters.Below((int)Filters.Lossless + 1);
        _forgetful = filters.Chance(1, 2);
        _cluster = new SimCluster(seed, _servers, replicas: replicas, limits: new ServerLimits
        {
            KeyListBytes = _forgetful ? ForgetfulBytes : new ServerLimits().KeyListBytes,
            NodeTimeoutMs = replicas > 0 && !_outages ? 1000 : new ServerLimits().NodeTimeoutMs,
        });
        _cluster.Scheduler.Stepped = CheckStep;
    }

    public SimTally Tally => _cluster.Tally;

    public ulong Trace => _cluster.Trace;

    public long Superseded { get; private set; }

    public long Held { get; private set; }

    /// <summary>References to key lists that a server kept, and to lists that it had forgotten.</summary>
    public (long Hits, long Misses) KeyLists { get; private set; }

    public string Describe() => $"servers {_servers}, hosts {_hosts}, workers {_workers}, bound {_bound?.ToString() ?? "none"}, aggregate {_aggregate}, kills {_kills} {_killsTwice}, tight {_tight}, outage {_outages}, cut {_cuts}, filters {_filters}, forgetful {_forgetful}, last {string.Join(",", _last)}";

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
        KeyLists = (_cluster.Nodes.Sum(n => n.KeyListReferences.Hits), _cluster.Nodes.Sum(n => n.KeyListReferences.Misses));
    }

    /// <summary>Where everybody stands, for whoever looks into a failing seed.</summary>
    private void Dump()
    {
        foreach (ServerNode node in _cluster.Nodes)
        {
            Console.WriteLine($"node {node.Map?.Version}: {node.Describe()}");
        }

        foreach (WeirClient process in _processes.Append(_reader!))
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
            var options = new ClientOptions { Filters = _filters };
            _processes.Add(await _cluster.ConnectAsync($"p{i}", _tight ? options with { WindowFrames = 1, PendingBytes = 1 << 20 } : options));
        }

        WeirClient reader = _reader = await _cluster.ConnectAsync("reader", new ClientOptions { Filters = _filters });
        Job job = await reader.OpenJobAsync(new JobOptions { Name = "tokens", Workers = _workers, Hosts = _hosts });
        WeirTable table = await reader.OpenTableAsync(new TableOptions { Name = "t", Width = 2, Job = job, Aggregate = _aggregate });
        WeirTable plain = await reader.OpenTableAsync(new TableOptions { Name = "plain", Job = job });
        WeirTable own = await reader.OpenTableAsync(new TableOptions { Name = "own", Width = 2 });
        _cluster.Network.Faults = new SimFaults
        {
            LossPerMille = _rng.Chance(1, 2) ? _rng.Below(60) : 0,
            DuplicatePerMille = _rng.Chance(1, 2) ? _rng.Below(60) : 0,
            ReorderPerMille = _rng.Chance(1, 2) ? _rng.Below(100) : 0,
            SlowDelayUs = _rng.Chance(1, 2) ? 1000 + _rng.Below(20_000L) : 0,

            // Not drawn: every seed keeps the run that it had before this fault was thought of, but for the third part that has it.
            FullPerMille = _seed % 3 == 0 ? 200 : 0,
        };
        _cluster.Slow(_rng.Below(_servers));
        foreach (WeirClient process in _processes)
        {
            _hosting.Add(process.HostWorkersAsync(job, (worker, stop) => WorkAsync(worker, table, plain, stop)));
        }

        // Until a job has begun it waits for as many hosts as it was promised; one that dies before is missing.
        while (Array.TrueForAll(_cluster.Nodes[0].Map!.Job(job.Group)!.Workers, w => w.Process == 0))
        {
            await _cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        HashSet<int> dead = [];
        if (_kills)
        {
            Kill(dead, 0);
        }

        if (_killsTwice)
        {
            Kill(dead, _rng.Chance(1, 2) ? 0 : 5_500_000);
        }

        if (_replicas > 0)
        {
            int victim = 1 + new Rng(_seed ^ 0xDEAD).Below(_servers - 1);
            _cluster.Scheduler.At(_cluster.Scheduler.Now.AfterUs(new Rng(_seed ^ 0xC4A1).Below(80_000L)), () => _cluster.KillServer(victim));
        }

        if (_outages)
        {
            // Nobody hears anybody for longer than processes may be silent: every session ends while its process lives.
            SimFaults faults = _cluster.Network.Faults;
            Instant begins = _cluster.Scheduler.Now.AfterUs(_rng.Below(60_000L));
            _cluster.Scheduler.At(begins, () => _cluster.Network.Faults = faults with { LossPerMille = 1000 });
            _cluster.Scheduler.At(begins.AfterMs(_servers == 1 ? 6000 : 3000), () => _cluster.Network.Faults = faults);
        }

        if (_cuts)
        {
            CutOff(dead);
        }

        Task plainly = OwnAsync(reader, own);
        List<Task> alive = [plainly, .. _hosting.Where((_, i) => !dead.Contains(i))];
        while (alive.Count > 0)
        {
            Task ended = await Task.WhenAny(alive);
            alive.Remove(ended);
            await ended;
        }

        await CheckTokensAsync(reader, table);
        float[] counted = new float[_workers];
        await reader.PullAsync(plain, Enumerable.Range(0, _workers).Select(w => (ulong)w).ToArray(), counted);
        for (int worker = 0; worker < _workers; worker++)
        {
            Invariant.That(counted[worker] == _last[worker], $"worker {worker} counted to {_last[worker]} in the plain table, not {counted[worker]}");
        }
    }

    private void Kill(HashSet<int> dead, long afterUs)
    {
        int victim = Enumerable.Range(0, _hosts).First(h => !dead.Contains((h + _hosts) % _hosts) && (dead.Count > 0 || _rng.Chance(1, 2) || h == _hosts - 1));
        dead.Add(victim);
        _cluster.Scheduler.At(_cluster.Scheduler.Now.AfterUs(afterUs + _rng.Below(60_000L)), () => _cluster.Kill(_processes[victim]));
    }

    /// <summary>
    /// A process that lives is cut off from the first server, in one direction or both, perhaps from all: its workers go to others while it
    /// still pushes under its old sessions; then it hears of it, and hosts again.
    /// </summary>
    private void CutOff(HashSet<int> dead)
    {
        int host = Enumerable.Range(0, _hosts).First(h => !dead.Contains(h));
        int servers = _rng.Chance(1, 2) ? 1 : _servers;
        bool toServer = _rng.Chance(2, 3), toProcess = !toServer || _rng.Chance(1, 2);
        Instant begins = _cluster.Scheduler.Now.AfterUs(_rng.Below(30_000L));
        Instant ends = begins.AfterMs(3000 + _rng.Below(4000L));
        for (int server = 0; server < servers; server++)
        {
            int cut = server;
            _cluster.Scheduler.At(begins, () => _cluster.Cut(_processes[host], cut, toServer, toProcess));
            _cluster.Scheduler.At(ends, () => _cluster.Cut(_processes[host], cut, false, false));
        }
    }

    /// <summary>A client without a clock: adds, sets, deletes and PushPulls, each followed by a look at what must stand now. Some calls are cancelled.</summary>
    private async Task OwnAsync(WeirClient client, WeirTable table)
    {
        var rng = new Rng(_cluster.Seed ^ 0x0BAD);
        ulong[] keys = [.. Enumerable.Range(0, _filters == Filters.None ? 40 : WideRows).Select(i => (ulong)i)];
        int floats = 2 * keys.Length;
        float[] expected = new float[floats];
        for (int round = 0; round < 12; round++)
        {
            float[] values = [.. Enumerable.Range(0, floats).Select(_ => (float)rng.Below(100))];
            values.AsSpan(0, rng.Below(floats)).Clear();
            float[] read = new float[floats];
            switch (_outages ? 3 : rng.Below(5))
            {
                case 0:
                    await client.PushAsync(table, keys, values);
                    expected = [.. expected.Zip(values, (a, b) => a + b)];
                    break;
                case 1:
                    await client.SetAsync(table, keys, values);
                    expected = values;
                    break;
                case 2:
                    await client.DeleteAsync(table, keys);
                    expected = new float[floats];
                    break;
                case 3:
                    using (var cancel = new CancellationTokenSource())
                    {
                        Task<PullResult> pull = client.PullAsync(table, keys, read, cancel.Token);
                        await _cluster.Scheduler.Delay(rng.Below(2L), CancellationToken.None);
                        cancel.Cancel();
                        await Task.WhenAny(pull);
                    }

                    continue;
                default:
                    await client.PushPullAsync(table, keys, values, read);
                    expected = [.. expected.Zip(values, (a, b) => a + b)];
                    Invariant.That(expected.AsSpan().SequenceEqual(read), "a PushPull reads its own push, applied once");
                    break;
            }

            await client.PullAsync(table, keys, read);
            Invariant.That(expected.AsSpan().SequenceEqual(read), $"what was acknowledged in round {round} is read, once");
        }
    }

    private async Task WorkAsync(Worker worker, WeirTable table, WeirTable plain, CancellationToken stop)
    {
        long last = _last[worker.Index];
        while (worker.Clock < last)
        {
            long t = worker.Clock + 1;
            ulong[] counters = [.. Enumerable.Range(0, worker.Count).Select(w => Counter + (ulong)w)];
            float[] counts = new float[2 * counters.Length];
            PullResult pulled = await worker.PullAsync(table, counters, counts, _bound, stop);
            for (int w = 0; w < worker.Count && _bound is { } bound; w++)
            {
                // Every iteration s < t - tau of every worker is contained (PS-15).
                long needed = Math.Min(_last[w], t - bound - 1);
                Invariant.That(counts[2 * w] >= needed, $"the pull of iteration {t} under bound {bound} contains worker {w} up to {needed}, not {counts[2 * w]}");
                Invariant.That(counts[2 * w] <= _last[w], "no iteration is applied twice");
            }

            Invariant.That(_bound is null || pulled.MinimumClock >= t - _bound - 1, "the stamp of a pull meets its bound");
            Task first = worker.PushAsync(table, new[] { Token(worker.Index, t), Counter + (ulong)worker.Index }, new float[] { 1, t, 1, 0 }, stop);
            Task second = worker.PushAsync(table, new[] { Token(worker.Index, t) }, new float[] { 0, 1 }, stop);
            float[] read = new float[1];
            Task<PullResult> third = worker.PushPullAsync(plain, new[] { (ulong)worker.Index }, new float[] { 1 }, read, _bound, stop);
            Task large = _tight ? worker.PushAsync(table, LargeKeys, new float[2 * LargeRows], stop) : Task.CompletedTask;
            Task wide = _filters == Filters.None ? Task.CompletedTask : worker.PushAsync(table, WideKeys, WideValues, stop);
            await worker.ClockAsync(stop);
            await Task.WhenAll(first, second, third, large, wide);
            Invariant.That(read[0] >= t && read[0] <= last, $"a PushPull of iteration {t} reads its own push, applied once, not {read[0]}");
        }
    }

    // Enough rows of zeros that the pushes of an iteration do not fit the room for pending ones.
    private const int LargeRows = 70_000;

    private static readonly ulong[] LargeKeys = [.. Enumerable.Range(0, LargeRows).Select(i => (1UL << 61) + (ulong)i)];

    // A list that every iteration pushes again, long enough in each segment to be named: it is counted as exactly as the tokens.
    private const int WideRows = 800;
    private const ulong WideKey = 1UL << 62;

    private static readonly ulong[] WideKeys = [.. Enumerable.Range(0, WideRows).Select(i => WideKey + (ulong)i)];

    private static readonly float[] WideValues = [.. Enumerable.Range(0, 2 * WideRows).Select(i => i % 2 == 0 ? 1f : 0)];

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
            for (long t = 1; t <= _last[worker]; t++)
            {
                Invariant.That(rows.Remove(Token(worker, t), out (float Count, float Sum) row), $"the acknowledged token of worker {worker}, iteration {t} is there");
                Invariant.That(row == (1, t + 1), $"the token of worker {worker}, iteration {t} was applied once, not {row}");
            }

            Invariant.That(rows.Remove(Counter + (ulong)worker, out (float Count, float) counter) && counter.Count == _last[worker], $"worker {worker} counted to {_last[worker]}");
        }

        foreach (ulong key in _filters == Filters.None ? [] : WideKeys)
        {
            Invariant.That(rows.Remove(key, out (float Count, float) wide) && wide == (_last.Sum(), 0), $"each iteration pushed key {key} once, not {wide} for {_last.Sum()}");
        }

        Invariant.That(rows.All(r => r.Key >= 1UL << 61 && r.Value == (0, 0)), "nothing else is there");
    }

    /// <summary>What must hold at every step: map versions only grow, every queue stays in its bound (design section 12: 5, 7).</summary>
    private void CheckStep()
    {
        foreach (ServerNode node in _cluster.Nodes)
        {
            ulong version = node.Map?.Version ?? 0;
            Invariant.That(version >= _versions.GetValueOrDefault(node), "a node never goes back to an older map");
            _versions[node] = version;
            Invariant.That(node.KeyListBytes <= (_forgetful ? ForgetfulBytes : new ServerLimits().KeyListBytes), "key lists stay in their bound");
            Invariant.That(node.Counters.PullsWaiting <= new ServerLimits().WaitingPulls, "waiting pulls stay in their bound");
        }
    }
}
