using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// One simulated run with a checkpoint in the middle: workers push unique tokens and a weight that depends on what they pulled, while a checkpoint is
/// written servers and processes die, come and join; then it is loaded, into the same cluster or into one of another size, and the run ends there. At
/// loading a table that aggregates stands at one iteration; at the end every token stands once (invariant 8, promises G1 and G9).
/// </summary>
internal sealed class CheckpointRun : IDisposable
{
    private const int Iterations = 14;
    private const ulong Weight = 1UL << 61;

    private readonly ulong _seed;
    private readonly Rng _rng;
    private readonly int _servers, _replicas, _hosts, _workers;
    private readonly bool _strikesServers, _strikesProcesses, _comes, _joins, _leaves, _rollsBack;
    private readonly MemoryCheckpoints _store;
    private readonly List<SimCluster> _clusters = [];
    private readonly List<(WeirClient Client, Task Hosting)> _processes = [];
    private readonly HashSet<WeirClient> _dead = [];
    private SimCluster _cluster;
    private WeirTable? _sums, _plain;
    private Job? _job;
    private bool _isChanged;

    public CheckpointRun(ulong seed)
    {
        _seed = seed;
        _rng = new Rng(seed ^ 0xC4EC);
        _replicas = _rng.Below(3) == 0 ? 0 : 1;
        _servers = 1 + _replicas + _rng.Below(3);
        _hosts = 2 + _rng.Below(2);
        _workers = _hosts + _rng.Below(3);
        _strikesServers = _replicas > 0 && _servers > 2 && _rng.Chance(1, 2);
        _strikesProcesses = !_strikesServers && _rng.Chance(1, 2);
        _comes = _rng.Chance(1, 3);
        _joins = _rng.Chance(1, 4);
        _leaves = _rng.Chance(1, 4);
        _rollsBack = _rng.Chance(1, 2);
        _cluster = Cluster(seed, _servers, _replicas);
        _store = new MemoryCheckpoints { Delay = () => _cluster.Scheduler.Delay(1 + (long)(seed % 20), CancellationToken.None) };
    }

    /// <summary>What was met on the way.</summary>
    public bool DiedWhileOpen { get; private set; }

    public bool ChangedWhileOpen { get; private set; }

    /// <summary>A row changed that a walk had yet to read.</summary>
    public bool SavedRows { get; private set; }

    public bool BegunAnew { get; private set; }

    /// <summary>The head of a segment changed while it was read.</summary>
    public bool ReadAnew { get; private set; }

    public long Superseded { get; private set; }

    public CheckpointSummary? Written { get; private set; }

    public string Describe() =>
        $"servers {_servers}, replicas {_replicas}, hosts {_hosts}, workers {_workers}, strikes servers {_strikesServers} processes {_strikesProcesses}, comes {_comes}, joins {_joins}, leaves {_leaves}, rolls back {_rollsBack}";

    public void Run()
    {
        try
        {
            _cluster.Run(FirstAsync, limitMs: 400_000);
            if (!_rollsBack)
            {
                int replicas = _rng.Below(2);
                _cluster = Cluster(_seed + 1, 1 + replicas + _rng.Below(4), replicas);
                _processes.Clear();
                _dead.Clear();
                _cluster.Run(SecondAsync, limitMs: 400_000);
            }
        }
        catch (InvariantException)
        {
            foreach (ServerNode node in _cluster.Nodes)
            {
                Console.WriteLine($"node {node.Map?.Version} generation {node.Map?.Generation} checkpoint {node.Map?.Checkpoint}: {node.Describe()}");
            }

            foreach ((WeirClient process, _) in _processes)
            {
                Console.WriteLine(process.Core.Describe());
            }

            throw;
        }

        Superseded += _cluster.Nodes.Sum(n => n.Counters.Superseded);
    }

    public void Dispose() => _clusters.ForEach(c => c.Dispose());

    private SimCluster Cluster(ulong seed, int servers, int replicas)
    {
        var cluster = new SimCluster(seed, servers, replicas: replicas, limits: new ServerLimits { NodeTimeoutMs = replicas > 0 ? 1000 : new ServerLimits().NodeTimeoutMs });
        _clusters.Add(cluster);
        ulong first = 0;
        cluster.Scheduler.Stepped = () =>
        {
            SavedRows |= cluster.Nodes.Any(n => n.SavedRows > 0);
            if (cluster.Nodes[0].Map?.Checkpoint is { IsRestore: false } open)
            {
                first = first == 0 ? open.Id : first;
                BegunAnew |= first != open.Id;
            }
        };
        return cluster;
    }

    private async Task FirstAsync()
    {
        List<WeirClient> clients = [];
        for (int i = 0; i < _hosts; i++)
        {
            clients.Add(await _cluster.ConnectAsync($"p{i}"));
        }

        WeirClient reader = await _cluster.ConnectAsync("reader");
        _job = await reader.OpenJobAsync(new JobOptions { Name = "tokens", Workers = _workers, Hosts = _hosts });
        _sums = await reader.OpenTableAsync(new TableOptions { Name = "sums", Width = 2, Job = _job, Aggregate = true });
        _plain = await reader.OpenTableAsync(new TableOptions { Name = "plain", Job = _job, Rule = UpdateRule.Adagrad(0.5f) });
        WeirTable own = await reader.OpenTableAsync(new TableOptions { Name = "own" });
        _cluster.Network.Faults = new SimFaults
        {
            LossPerMille = _rng.Chance(1, 2) ? _rng.Below(40) : 0,
            DuplicatePerMille = _rng.Chance(1, 2) ? _rng.Below(40) : 0,
            ReorderPerMille = _rng.Chance(1, 2) ? _rng.Below(100) : 0,
            SlowDelayUs = _rng.Chance(1, 3) ? 1000 + _rng.Below(10_000L) : 0,
        };
        _cluster.Slow(_rng.Below(_servers));
        await PushOwnAsync(reader, own);
        Host(clients);
        WeirClient coordinator = await _cluster.ConnectAsync("coordinator");
        await _cluster.Scheduler.Delay(_rng.Below(60L), CancellationToken.None);
        Task<CheckpointSummary> saving = coordinator.SaveCheckpointAsync(_store, "one");
        List<Task> changes = Strike(reader, clients, saving);
        Written = await saving;
        ReadAnew = Manifest().Attempts.Any(a => a > 1);
        await Task.WhenAll(changes);
        if (_rollsBack)
        {
            await _cluster.Scheduler.Delay(_rng.Below(100L), CancellationToken.None);
            await RestoreAsync(coordinator, reader);
            Host([.. _processes.Where(p => p.Hosting.IsCompleted && !_dead.Contains(p.Client)).Select(p => p.Client)]);
        }

        await EndAsync(reader);
    }

    private async Task SecondAsync()
    {
        WeirClient reader = await _cluster.ConnectAsync("reader");
        _cluster.Network.Faults = new SimFaults { LossPerMille = _rng.Below(20), DuplicatePerMille = _rng.Below(20), ReorderPerMille = _rng.Below(40) };
        await RestoreAsync(reader, reader);
        _job = await reader.FindJobAsync("tokens");
        Invariant.That((await reader.OpenTableAsync(new TableOptions { Name = "sums", Width = 2, Job = _job, Aggregate = true })).Id == _sums!.Id, "a restored table is what it was");
        Host([await _cluster.ConnectAsync("q0"), await _cluster.ConnectAsync("q1")]);
        await EndAsync(reader);
    }

    /// <summary>At loading: the aggregating table has every iteration through one, of every worker, and none above.</summary>
    private async Task RestoreAsync(WeirClient coordinator, WeirClient reader)
    {
        await coordinator.RestoreCheckpointAsync(_store, "one");
        Dictionary<ulong, float> sums = await RowsAsync(reader, _sums!, read: true), plain = await RowsAsync(reader, _plain!, read: true);
        long cut = Manifest().Cuts.Single().Iteration;
        WorkerSchedule schedule = new(Manifest().Map.Jobs.Single());
        if (_rollsBack)
        {
            // The workers have gone on already.
            return;
        }

        for (int worker = 0; worker < schedule.Workers; worker++)
        {
            long through = Math.Min(cut, Math.Min(Iterations, schedule.LastIteration(worker)));
            for (long t = schedule.FirstIteration(worker); t <= through; t++)
            {
                Invariant.That(sums.Remove(Token(worker, t), out float times) && times == 1, $"iteration {t} of worker {worker} is in what was summed through {cut}, once, not {times} times");
            }
        }

        sums.Remove(Weight);
        Invariant.That(sums.Count == 0, $"nothing above iteration {cut} is in what was summed through it");
        foreach (Weir.Checkpoints.RecordedClock clock in Manifest().Clocks)
        {
            for (long t = schedule.FirstIteration((int)clock.Worker); t <= clock.Clock; t++)
            {
                Invariant.That(plain.ContainsKey(Token((int)clock.Worker, t)), $"iteration {t} of worker {clock.Worker}, at clock {clock.Clock}, is in the plain table");
            }
        }
    }

    private Weir.Checkpoints.Manifest Manifest()
    {
        Assert.Null(Weir.Checkpoints.Manifest.TryDecode(_store.Objects["one/manifest"], out Weir.Checkpoints.Manifest manifest));
        return manifest;
    }

    private void Host(IReadOnlyList<WeirClient> clients)
    {
        foreach (WeirClient client in clients)
        {
            _processes.RemoveAll(p => p.Client == client);
            _processes.Add((client, client.HostWorkersAsync(_job!, WorkAsync)));
        }
    }

    /// <summary>What happens while the checkpoint is open.</summary>
    private List<Task> Strike(WeirClient reader, List<WeirClient> clients, Task saving)
    {
        List<Task> changes = [];
        Instant now = _cluster.Scheduler.Now;
        if (_strikesServers)
        {
            int victim = 1 + _rng.Below(_servers - 1);
            _cluster.Scheduler.At(now.AfterUs(_rng.Below(60_000L)), () =>
            {
                DiedWhileOpen |= !saving.IsCompleted;
                _cluster.KillServer(victim);
            });
        }

        if (_strikesProcesses)
        {
            WeirClient victim = clients[_rng.Below(_hosts)];
            _cluster.Scheduler.At(now.AfterUs(_rng.Below(60_000L)), () =>
            {
                DiedWhileOpen |= !saving.IsCompleted;
                _dead.Add(victim);
                _cluster.Kill(victim);
            });
        }

        if (_comes)
        {
            _cluster.Scheduler.At(now.AfterUs(_rng.Below(30_000L)), _cluster.AddServer);
        }

        if (_joins)
        {
            changes.Add(ChangeAsync(reader.AddWorkersAsync(_job!, 1), saving));
        }

        if (_leaves)
        {
            changes.Add(ChangeAsync(reader.RemoveWorkerAsync(_job!, 0), saving));
        }

        return changes;
    }

    private async Task ChangeAsync(Task change, Task saving)
    {
        try
        {
            await change;
            _isChanged = true;
            ChangedWhileOpen |= !saving.IsCompleted;
        }
        catch (WeirException late) when (late.Status is Status.Conflict or Status.Ended)
        {
            // All had finished.
        }
    }

    private async Task WorkAsync(Worker worker, CancellationToken stop)
    {
        while (worker.Clock < Iterations)
        {
            long t = worker.Iteration;
            float[] weight = new float[2];
            await worker.PullAsync(_sums!, new[] { Weight }, weight, 0, stop);
            Task sum = worker.PushAsync(_sums!, new[] { Token(worker.Index, t), Weight }, new[] { 1, 0, Gradient(weight[0], worker.Index, t), 1 }, stop);
            Task plain = worker.PushAsync(_plain!, new[] { Token(worker.Index, t), Token(worker.Index, t) + 1 }, new float[] { 1, 1 }, stop);
            Task<bool> clock = worker.ClockAsync(stop);
            await await Task.WhenAny(Task.WhenAll(sum, plain), clock);
            await Task.WhenAll(sum, plain, clock);
            if (!await clock)
            {
                return;
            }
        }
    }

    private async Task EndAsync(WeirClient reader)
    {
        List<(WeirClient Client, Task Hosting)> alive = [.. _processes];
        while (alive.Count > 0)
        {
            await Task.WhenAny([.. alive.Select(p => p.Hosting), _cluster.Scheduler.Delay(10, CancellationToken.None)]);

            // A quick checkpoint is written before the strike: the one to die dies as late as here.
            alive.RemoveAll(p => _dead.Contains(p.Client));
            foreach ((WeirClient Client, Task Hosting) ended in alive.Where(p => p.Hosting.IsCompleted).ToArray())
            {
                await ended.Hosting;
                alive.Remove(ended);
            }
        }

        MapJob job = _cluster.Nodes[0].Map!.Job(_job!.Group)!;
        WorkerSchedule schedule = new(job);
        Dictionary<ulong, float> sums = await RowsAsync(reader, _sums!, read: true), plain = await RowsAsync(reader, _plain!, read: true);
        float once = plain.Values.Max();
        for (int worker = 0; worker < schedule.Workers; worker++)
        {
            for (long t = Math.Max(1, schedule.FirstIteration(worker)); t <= Math.Min(Iterations, schedule.LastIteration(worker)); t++)
            {
                Invariant.That(sums.Remove(Token(worker, t), out float times) && times == 1, $"iteration {t} of worker {worker} is summed once, not {times} times");
                Invariant.That(
                    plain.Remove(Token(worker, t), out float one) & plain.Remove(Token(worker, t) + 1, out float two) && one == once && two == once,
                    $"iteration {t} of worker {worker} stands once in the plain table: {one} and {two} are {once}");
            }
        }

        Invariant.That(sums.Remove(Weight, out float weight) && sums.Count == 0 && plain.Count == 0, "nothing else is there");
        if (!_isChanged)
        {
            Invariant.That(weight == Reference(), $"the weight ends in the bits of an undisturbed run: {weight:R}, not {Reference():R}");
        }
    }

    private float Reference()
    {
        float weight = 0;
        for (long t = 1; t <= Iterations; t++)
        {
            float sum = Gradient(weight, 0, t);
            for (int worker = 1; worker < _workers; worker++)
            {
                sum += Gradient(weight, worker, t);
            }

            weight += sum;
        }

        return weight;
    }

    private static float Gradient(float weight, int worker, long t) => (0.37f / (worker + t)) - (weight * 0.013f * (worker + 1));

    private static ulong Token(int worker, long iteration) => (Mix.Of(((ulong)worker << 32) | (ulong)iteration, 17) >> 8) & ~1UL;

    private static async Task PushOwnAsync(WeirClient client, WeirTable table)
    {
        ulong[] keys = [.. Enumerable.Range(0, 300).Select(i => (ulong)i)];
        await client.PushAsync(table, keys, keys.Select(k => (float)k).ToArray());
    }

    private static async Task<Dictionary<ulong, float>> RowsAsync(WeirClient reader, WeirTable table, bool read)
    {
        Dictionary<ulong, float> rows = [];
        await foreach (RowBatch batch in reader.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length && read; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Span[i * table.Width]);
            }
        }

        return rows;
    }
}
