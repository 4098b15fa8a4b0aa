using Weir.Client;
using Weir.Placement;
using Weir.Server;
using Weir.World;

namespace Weir.Sim;

/// <summary>What one run came to.</summary>
/// <param name="Options">What it was.</param>
/// <param name="Trace">A hash over every frame and effect: the same seed gives the same.</param>
/// <param name="SimulatedMs">How long it lasted, in simulated time.</param>
/// <param name="Events">Events and continuations that were run.</param>
/// <param name="Pushes">Pushes that clients began.</param>
/// <param name="Acknowledged">Those of them that were acknowledged.</param>
/// <param name="Tally">Faults and schedules that it hit.</param>
/// <param name="Violation">What was broken, and what led to it; null where everything held.</param>
internal sealed record RunOutcome(
    SwarmOptions Options, ulong Trace, long SimulatedMs, long Events, long Pushes, long Acknowledged, RunTally Tally, string? Violation);

/// <summary>
/// One run of a whole cluster from one seed: a safety phase, in which clients and workers go on through faults, then a liveness phase, in which
/// nothing fails any more and everything pending must complete within a stated time, and all must agree (design section 12; FoundationDB's and
/// TigerBeetle's simulators work so). Not thread-safe; any number of runs may go on in parallel.
/// </summary>
internal sealed class ClusterRun : IDisposable
{
    /// <summary>How long everything pending may take once the faults have stopped, in simulated milliseconds (invariant 9).</summary>
    public const long LivenessMs = 30_000;

    private const long SampleMs = 60;

    /// <summary>How long the network does to frames what it did before, once a checkpoint was loaded: an iteration may take a second of that.</summary>
    private const long GoOnUnderFaultsMs = 1500;
    private const int KeptTrail = 150;

    /// <summary>Workers that may join a job, beside those that it opens with.</summary>
    private const int MostJoins = 4;

    private readonly SwarmOptions _options;
    private readonly Rng _rng;
    private readonly SimCluster _cluster;
    private readonly ClusterProbe _probe;
    private readonly ClusterChecks _checks;
    private readonly ScheduleWatch _watch;
    private readonly FaultPlay _faults;
    private readonly RunTally _tally = new();
    private readonly Queue<string> _trail = [];
    private readonly Dictionary<SimPort, WeirClient> _clients = [];
    private readonly List<TokenWorkload> _pushers = [];
    private readonly List<Task> _pushing = [];
    private readonly List<TrainingWorkload> _jobs = [];
    private readonly HashSet<WeirClient> _dead = [];
    private readonly CheckpointWorkload? _checkpoints;
    private readonly SimCluster? _elsewhere;
    private Task _saving = Task.CompletedTask;
    private WeirTable? _tokens, _own;
    private bool _isCalm;
    private bool _stops;
    private int _hostsThatCame;

    /// <param name="options">What it is.</param>
    /// <param name="pool">Where its frames come from: runs of one thread may use the same one after another. Null for a pool of its own.</param>
    public ClusterRun(SwarmOptions options, FramePool? pool = null)
    {
        _options = options;
        _rng = new Rng(options.Seed ^ 0xC1057E);
        var limits = new ServerLimits { NodeTimeoutMs = options.NodeTimeoutMs, HeartbeatMs = Math.Min(50, options.NodeTimeoutMs / 8), ProcessTimeoutMs = 1000, ResendMs = 50, BehindWaitMs = 300 };
        limits = options.Journal?.Limits(limits) ?? limits;
        _cluster = new SimCluster(options.Seed, options.Servers, options.SegmentBits, limits, acceptors: options.Acceptors, replicas: options.Replicas, journals: options.Journal is not null, pool: pool)
        {
            Noted = (who, note) =>
            {
                // The steps of moves are many, and in the trace anyway.
                if (!note.Contains(": segment ", StringComparison.Ordinal))
                {
                    Trail($"{who}: {note}");
                }
            },
        };
        foreach (SimJournal journal in _cluster.Journals)
        {
            journal.MaxFlushUs = options.Journal!.FlushUs;
        }

        _probe = new ClusterProbe(_cluster, options);
        _checks = new ClusterChecks(_cluster, _probe, limits, options.Journal is not null);
        _watch = new ScheduleWatch(_cluster, options, _probe, _tally);
        _faults = new FaultPlay(_cluster, options, _probe, _watch, _tally, new Rng(_rng.Next())) { Trail = Trail, Mortal = Mortal, ProcessDied = Died };
        _checks.Adopted = _watch.Adopted;
        _cluster.Network.Turned = Turned;
        if (options.Checkpoints != CheckpointUse.None)
        {
            var rng = new Rng(options.Seed ^ 0x5A7ED);
            _checkpoints = new CheckpointWorkload(_cluster, options, _probe, _pushers, _jobs, ConnectAsync, new Rng(rng.Next())) { Trail = Trail };
            int replicas = rng.Below(2);
            _elsewhere = options.Checkpoints == CheckpointUse.RestoredElsewhere
                ? new SimCluster(rng.Next(), 1 + replicas + rng.Below(3), options.SegmentBits, limits, replicas: replicas, journals: options.Journal is not null, pool: pool)
                : null;
        }
    }

    /// <summary>Runs it to the end. Nothing that goes wrong inside escapes: it is the outcome.</summary>
    public RunOutcome Run()
    {
        string? violation = null;
        try
        {
            _cluster.Run(RunAsync, limitMs: _options.SafetyMs + (3 * LivenessMs) + 60_000);
            _elsewhere?.Run(GoOnElsewhereAsync, limitMs: LivenessMs + 60_000);
        }
        catch (Exception broken)
        {
            violation = $"{broken.GetType().Name}: {broken.Message}{(broken is WeirException { Segment: { } segment } ? $" (segment {segment})" : "")}\n{string.Join('\n', _trail)}\n{Describe()}{(broken is InvariantException ? "" : $"\n{broken}")}";
        }

        return new RunOutcome(
            _options,
            _cluster.Trace ^ (_elsewhere?.Trace ?? 0),
            (_cluster.Scheduler.Now.Microseconds + (_elsewhere?.Scheduler.Now.Microseconds ?? 0)) / 1000,
            _cluster.Scheduler.Steps + (_elsewhere?.Scheduler.Steps ?? 0),
            _pushers.Sum(p => p.Pushes.Begun) + _jobs.Sum(j => j.Pushes.Begun),
            _pushers.Sum(p => p.Pushes.Acknowledged) + _jobs.Sum(j => j.Pushes.Acknowledged),
            _tally,
            violation);
    }

    public void Dispose()
    {
        _cluster.Dispose();
        _elsewhere?.Dispose();
    }

    private async Task RunAsync()
    {
        WeirClient opener = await ConnectAsync("opener");
        await BeginAsync(opener);
        (_faults.Operator, _faults.Jobs, _faults.HostComes) = (opener, _jobs, HostComesAsync);
        _cluster.Network.Faults = _options.Network;
        _cluster.Slow(_rng.Below(_options.Servers));
        Instant begins = _cluster.Scheduler.Now;
        Instant until = begins.AfterMs(_options.SafetyMs);
        Task sampling = SampleAsync();
        _saving = _checkpoints?.RunAsync(() => _stops) ?? Task.CompletedTask;
        Task plays = _options.Plays is { } schedule ? new DirectedSchedule(_cluster, _options, _probe, _watch, _faults, _jobs).PlayAsync(schedule, until) : Task.CompletedTask;
        await _faults.RunAsync(until);
        await plays;
        _cluster.Network.Faults = SimFaults.None;
        _cluster.Network.Delays = null;
        _faults.Heal();
        _stops = true;
        Trail("the faults have stopped");
        await LiveAsync();
        _isCalm = true;
        await sampling;

        // A process that died late is counted out meanwhile, and what that appends passes down every chain once more (seed 200864).
        await LiveAsync();
        await JudgeAsync();
        if (_options.Checkpoints == CheckpointUse.RestoredAtEnd)
        {
            await GoOnAgainAsync();
        }
    }

    /// <summary>All goes back to the last checkpoint, and the jobs come to their end once more, while the network does what it did to frames.</summary>
    private async Task GoOnAgainAsync()
    {
        WeirClient operating = await ConnectAsync("restorer");
        _cluster.Network.Faults = _options.Network;
        await _checkpoints!.LoadAsync(operating, _tokens!, _own!, BitsAreSure);
        await _cluster.Scheduler.Delay(GoOnUnderFaultsMs, CancellationToken.None);
        _cluster.Network.Faults = SimFaults.None;
        await LiveAsync();
        _checks.Quiet();
        foreach (TrainingWorkload job in _jobs)
        {
            await job.CheckAsync(operating, BitsAreSure);
        }
    }

    /// <summary>Another cluster is given the last checkpoint, and the jobs come to their end there.</summary>
    private async Task GoOnElsewhereAsync()
    {
        WeirClient operating = await _elsewhere!.ConnectAsync("restorer", DrawClientOptions());
        _elsewhere.Network.Faults = _options.Network;
        await _checkpoints!.LoadAsync(operating, _tokens!, _own!, BitsAreSure);
        foreach (TrainingWorkload job in _jobs)
        {
            job.GoOnIn(_elsewhere, [await _elsewhere.ConnectAsync($"host {job.Group}a", DrawClientOptions()), await _elsewhere.ConnectAsync($"host {job.Group}b", DrawClientOptions())]);
        }

        await _elsewhere.Scheduler.Delay(GoOnUnderFaultsMs, CancellationToken.None);
        _elsewhere.Network.Faults = SimFaults.None;
        Instant deadline = _elsewhere.Scheduler.Now.AfterMs(LivenessMs);
        while (!_jobs.TrueForAll(j => j.HasEnded))
        {
            _jobs.ForEach(j => j.ThrowIfFailed());
            Invariant.That(_elsewhere.Scheduler.Now < deadline, $"the jobs of a checkpoint that was loaded into another cluster end within {LivenessMs} ms");
            await _elsewhere.Scheduler.Delay(20, CancellationToken.None);
        }

        foreach (TrainingWorkload job in _jobs)
        {
            await job.CheckAsync(operating, BitsAreSure);
        }
    }

    /// <summary>Whether the deaths were such that the bits of aggregating tables cannot differ from an undisturbed run's (design R21).</summary>
    private bool BitsAreSure => !(_faults.HasLostServer && (_faults.HasLostProcess || HasMixed));

    /// <summary>Who took over a worker and lost what a head held of it says so in its report.</summary>
    private bool HasMixed => _faults.HasMovedWorkers && _clients.Values.Any(c => c.Counters.MixedPulls > 0);

    private async Task<WeirClient> ConnectAsync(string name)
    {
        ClientOptions options = DrawClientOptions();
        WeirClient client = _tokens is null && !_stops ? await _cluster.ConnectAsync(name, options) : await _cluster.OpenAsync(name, options);
        _clients[_cluster.Clients[client]] = client;
        return client;
    }

    private ClientOptions DrawClientOptions() => new()
    {
        RetryMs = 150,
        HeartbeatMs = 100,
        UnreachableMs = 120_000,
        DeadlineMs = 200_000,
        ConnectMs = 60_000,
        StartMs = 120_000,
        Filters = (Filters)_rng.Below((int)Filters.Lossless + 1),
    };

    private async Task BeginAsync(WeirClient opener)
    {
        _tokens = await opener.OpenTableAsync(new TableOptions { Name = "tokens", Durable = _options.Journal is not null, Committed = _options.ReadsCommitted });
        _own = await opener.OpenTableAsync(new TableOptions { Name = "own", Durable = _options.Journal is not null });
        for (int i = 0; i < _options.Pushers; i++)
        {
            WeirClient client = await ConnectAsync($"pusher {i}");
            _pushers.Add(new TokenWorkload(_cluster, client, _tokens, _own, i + 1, _rng.Next()));
        }

        foreach ((string name, int workers, bool aggregates) in (ReadOnlySpan<(string, int, bool)>)[("aggregating", _options.AggregatingWorkers, true), ("bounded", _options.BoundedWorkers, false)])
        {
            if (workers > 0)
            {
                _jobs.Add(new TrainingWorkload(_cluster, name, workers, _options.Iterations, aggregates, _options.Bound, _rng.Next(), _options.Has(FaultKind.WorkerJoin) ? MostJoins : 0, _options.Journal is { HasJobs: true }));
            }
        }

        foreach (TrainingWorkload job in _jobs)
        {
            List<WeirClient> hosts = [];
            for (int i = 0; i < _options.Hosts; i++)
            {
                hosts.Add(await ConnectAsync($"{(job.Aggregates ? "aggregating" : "bounded")} host {i}"));
            }

            await job.BeginAsync(opener, hosts);
            while (_probe.Newest!.Job(job.Group) is not { } known || Array.TrueForAll(known.Workers, w => w.Process == 0))
            {
                await _cluster.Scheduler.Delay(5, CancellationToken.None);
            }
        }

        foreach (TokenWorkload pusher in _pushers)
        {
            _pushing.Add(pusher.RunAsync(() => _stops));
        }
    }

    private async Task HostComesAsync(TrainingWorkload job)
    {
        WeirClient host = await ConnectAsync($"host {++_hostsThatCame}");
        if (!job.HasEnded)
        {
            job.Host(host);
        }
    }

    /// <summary>Everything pending completes, and every chain is whole again, within the stated time.</summary>
    private async Task LiveAsync()
    {
        Instant deadline = _cluster.Scheduler.Now.AfterMs(LivenessMs);
        while (!IsDone(out string waitsFor))
        {
            ThrowIfFailed();
            _jobs.ForEach(j => j.HostAgain(_probe.Newest!));
            _faults.RestartStopped();
            Invariant.That(_cluster.Scheduler.Now < deadline, $"everything pending completes within {LivenessMs} ms of the last fault, and this has not: {waitsFor}");
            await _cluster.Scheduler.Delay(20, CancellationToken.None);
        }

        ThrowIfFailed();
    }

    private bool IsDone(out string waitsFor)
    {
        waitsFor = "";
        for (int i = 0; i < _pushing.Count; i++)
        {
            waitsFor += _dead.Contains(_pushers[i].Client) || _pushing[i].IsCompletedSuccessfully ? "" : $" pusher {i}";
        }

        ClusterMap map = _probe.Newest!;
        waitsFor += string.Concat(_jobs.Where(j => !j.IsDone || !j.HasFinished(map)).Select(j => j.Aggregates ? " the aggregating job" : " the bounded job"));
        waitsFor += _saving.IsCompletedSuccessfully ? "" : " a checkpoint";
        waitsFor += string.Concat(_faults.Unanswered.Select(what => $" {what}"));
        waitsFor += _probe.Manager() < 0 ? " a manager" : "";
        waitsFor += _probe.IsSettled(map) ? "" : $" the chains {_probe.Unsettled(map)}";
        for (int server = 0; server < _cluster.Nodes.Count; server++)
        {
            ServerNode node = _cluster.Nodes[server];
            bool isMember = map.Member((ulong)server + 1)?.Incarnation == node.Incarnation;
            waitsFor += !_cluster.Runs(server) ? isMember ? $" server:{server} is dead and a member" : ""
                : _faults.MustLeave(server) ? $" server:{server} to leave ({node.LeaveRefusal}chains {_probe.Naming(server)})"
                : !isMember ? $" server:{server} is no member"
                : node.Map?.Version != map.Version ? $" server:{server} has an older map"
                : node.State.Held.Any(s => s.Place >= 0 && (s.Acknowledged < s.Log.Last.Number || !s.IsConfirmed || !s.IsComplete)) ? $" the entries of server:{server}" : "";
        }

        return waitsFor.Length == 0;
    }

    private void ThrowIfFailed()
    {
        _jobs.ForEach(j => j.ThrowIfFailed());
        _faults.ThrowIfFailed();
        if (_saving.IsFaulted)
        {
            _saving.GetAwaiter().GetResult();
        }

        for (int i = 0; i < _pushing.Count; i++)
        {
            if (_pushing[i].IsFaulted && !_dead.Contains(_pushers[i].Client))
            {
                _pushing[i].GetAwaiter().GetResult();
            }
        }
    }

    private async Task JudgeAsync()
    {
        _checks.Quiet();
        foreach (IReadOnlyList<RegisterCall> calls in _cluster.RegisterCalls)
        {
            RegisterHistory.Check(calls);
        }

        WeirClient reader = await ConnectAsync("reader");
        ulong[] tokens = [.. _pushers.SelectMany(p => p.Tokens)];
        float[] values = new float[tokens.Length];
        await reader.PullAsync(_tokens!, tokens, values);
        int at = 0;
        foreach (TokenWorkload pusher in _pushers)
        {
            foreach (ulong token in pusher.Tokens)
            {
                pusher.CheckToken(token, values[at++], _checkpoints?.Loaded);
            }
        }

        Invariant.That(_options.MayEndSessions || !_pushers.Exists(p => p.HasEnded), "a session goes on over whatever befalls the servers, a stop of all of them too");
        HashSet<ulong> known = [.. tokens];
        Invariant.That(_checks.Rows(_tokens!).All(r => known.Contains(r.Key)), "no row of the tokens' table is anybody else's");
        foreach (TrainingWorkload job in _jobs)
        {
            await job.CheckAsync(reader, BitsAreSure);
            Invariant.That(_checks.Rows(job.Counts).All(r => job.IsKnown(r.Key)), "no row of the counts is anybody else's");
        }
    }

    private async Task SampleAsync()
    {
        SimTally before = _cluster.Tally with { };
        while (!_isCalm)
        {
            await _cluster.Scheduler.Delay(SampleMs, CancellationToken.None);
            _checks.Sample([_rng.Below(1 << _options.SegmentBits), _rng.Below(1 << _options.SegmentBits)]);
            SimTally now = _cluster.Tally with { };
            _faults.CountFrames(before, now, _probe.IsChanging);
            before = now;
        }
    }

    private void Turned(SimPort port)
    {
        if (port.Machine is ServerNode node)
        {
            _checks.Turned(node);
            _watch.Turned(node);
        }
        else if (_clients.TryGetValue(port, out WeirClient? client))
        {
            _checks.Turned(client);
        }
    }

    /// <summary>Processes that may die: of a job's hosts one must live.</summary>
    private WeirClient[] Mortal() =>
    [
        .. _pushers.Select(p => p.Client).Where(c => !_dead.Contains(c)),
        .. _jobs.SelectMany(j => j.Hosts.Skip(1)),
        .. _checkpoints?.Coordinator is { } coordinator ? new[] { coordinator } : [],
    ];

    private void Died(WeirClient process)
    {
        _dead.Add(process);
        _jobs.ForEach(j => j.Died(process));
        _checkpoints?.Died(process);
    }

    private void Trail(string what)
    {
        _trail.Enqueue($"{_cluster.Scheduler.Now.Microseconds / 1000} ms: {what}");
        if (_trail.Count > KeptTrail)
        {
            _trail.Dequeue();
        }

        _cluster.Network.Note(what);
    }

    private string Describe() => string.Join('\n', _cluster.Nodes.Select((n, i) => $"server:{i} {(_cluster.Runs(i) ? "" : "does not run ")}{n.Describe()} chains {_probe.Naming(i)}"))
        + string.Concat(_cluster.Clients.Where(c => !c.Value.IsDead).Select(c => $"\n{c.Value.Address} {c.Key.Core.Describe()}"))
        + string.Concat(_elsewhere?.Nodes.Select((n, i) => $"\nelsewhere server:{i} {n.Describe()}") ?? [])
        + string.Concat(_elsewhere?.Clients.Select(c => $"\nelsewhere {c.Value.Address} {c.Key.Core.Describe()}") ?? []);
}
