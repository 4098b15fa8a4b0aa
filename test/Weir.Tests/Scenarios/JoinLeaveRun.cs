using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// One simulated run in which workers join and leave in mid-run (design R8) while frames are lost, late, twice and out of order, processes
/// die or are cut off between an announcement and its decision, and another comes late. Every worker counts its iterations in the table; every
/// pull is kept with what it showed and judged at the end by the schedule that was decided: no pull broke its bound, every host knew the
/// workers of the iterations that it began, and every iteration of every worker stands exactly once. Some jobs go on without the workers of a
/// process that dies: of those what they are known to have ended stands, and of later iterations nothing twice.
/// </summary>
internal sealed class JoinLeaveRun : IDisposable
{
    private const int Iterations = 40;
    private const int MostWorkers = 12;
    private const ulong Counter = 1UL << 60;

    private static readonly ulong[] Counters = [.. Enumerable.Range(0, MostWorkers).Select(w => Counter + (ulong)w)];

    private readonly Rng _rng;
    private readonly SimCluster _cluster;
    private readonly List<WeirClient> _processes = [];
    private readonly List<(WeirClient Process, Task Task)> _hosting = [];
    private readonly List<Pulled> _pulled = [];
    private readonly HashSet<WeirClient> _dead = [];
    private readonly int _servers, _hosts, _workers, _changes;
    private readonly int? _bound;
    private readonly bool _aggregate, _kills, _cuts, _comesLate, _goesOnWithout;
    private bool _struck;
    private ulong _announced;
    private Job? _job;
    private WeirTable? _table;

    private sealed record Pulled(int Worker, long Iteration, int CountAt, float[] Counts);

    public JoinLeaveRun(ulong seed)
    {
        _rng = new Rng(seed ^ 0x701E);
        _servers = 1 + _rng.Below(3);
        _hosts = 2 + _rng.Below(2);
        _workers = _hosts + _rng.Below(2);
        _changes = 1 + _rng.Below(4);
        _aggregate = _rng.Chance(1, 2);
        _bound = _rng.Chance(1, 8) && !_aggregate ? null : _rng.Below(4);
        _kills = _rng.Chance(1, 2);
        _cuts = !_kills && _rng.Chance(1, 2);
        _comesLate = _rng.Chance(1, 2);
        _goesOnWithout = _rng.Chance(1, 2);
        _cluster = new SimCluster(seed, _servers);
        _cluster.Scheduler.Stepped = CheckStep;
    }

    public SimTally Tally => _cluster.Tally;

    public int Joins { get; private set; }

    public int Leaves { get; private set; }

    public bool DiedDuringAnnouncement { get; private set; }

    public bool WasCutOffDuringAnnouncement { get; private set; }

    public bool HeldBack { get; private set; }

    public bool AnnouncedAnew { get; private set; }

    public bool MovedToLateProcess { get; private set; }

    public bool WentOnWithout { get; private set; }

    public long Superseded => _cluster.Nodes.Sum(n => n.Counters.Superseded);

    public string Describe() =>
        $"servers {_servers}, hosts {_hosts}, workers {_workers}, changes {_changes}, bound {_bound?.ToString() ?? "none"}, aggregate {_aggregate}, kills {_kills}, cuts {_cuts}, late {_comesLate}, goes on without {_goesOnWithout}";

    public void Run()
    {
        try
        {
            _cluster.Run(RunAsync, limitMs: 300_000);
        }
        catch (InvariantException)
        {
            foreach (ServerNode node in _cluster.Nodes)
            {
                Console.WriteLine(node.Describe());
            }

            foreach (WeirClient process in _processes)
            {
                Console.WriteLine(process.Core.Describe());
            }

            throw;
        }
    }

    public void Dispose() => _cluster.Dispose();

    private static ulong Token(int worker, long iteration) => Mix.Of(((ulong)worker << 32) | (ulong)iteration, 17) >> 8;

    private async Task RunAsync()
    {
        for (int i = 0; i < _hosts; i++)
        {
            _processes.Add(await _cluster.ConnectAsync($"p{i}"));
        }

        WeirClient asker = await _cluster.ConnectAsync("asker");
        _job = await asker.OpenJobAsync(new JobOptions { Name = "tokens", Workers = _workers, Hosts = _hosts, ContinueWithout = _goesOnWithout });
        _table = await asker.OpenTableAsync(new TableOptions { Name = "t", Job = _job, Aggregate = _aggregate });
        _cluster.Network.Faults = new SimFaults
        {
            LossPerMille = _rng.Chance(1, 2) ? _rng.Below(40) : 0,
            DuplicatePerMille = _rng.Chance(1, 2) ? _rng.Below(60) : 0,
            ReorderPerMille = _rng.Chance(1, 2) ? _rng.Below(100) : 0,
            SlowDelayUs = _rng.Chance(1, 2) ? 1000 + _rng.Below(10_000L) : 0,
        };
        _cluster.Slow(_rng.Below(_servers));
        foreach (WeirClient process in _processes)
        {
            Host(process);
        }

        while (Array.TrueForAll(MapJob.Workers, w => w.Process == 0))
        {
            await _cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        Task changing = ChangeAsync(asker);
        Task late = _comesLate ? ComeLateAsync() : Task.CompletedTask;
        await late;
        while (_hosting.Find(h => !h.Task.IsCompletedSuccessfully && !_dead.Contains(h.Process)).Task is not null)
        {
            Task ended = await Task.WhenAny(_hosting.Where(h => !h.Task.IsCompletedSuccessfully && !_dead.Contains(h.Process)).Select(h => h.Task).Append(_cluster.Scheduler.Delay(500, CancellationToken.None)));
            await ended;
        }

        await changing;
        await JudgeAsync(asker);
    }

    private MapJob MapJob => _cluster.Nodes[0].Map!.Job(_job!.Group)!;

    private void Host(WeirClient process) => _hosting.Add((process, process.HostWorkersAsync(_job!, WorkAsync)));

    /// <summary>Joins and leaves, each at a time of its own; some are refused because all have finished, or too few are left.</summary>
    private async Task ChangeAsync(WeirClient asker)
    {
        for (int change = 0; change < _changes; change++)
        {
            await _cluster.Scheduler.Delay(_rng.Below(25L), CancellationToken.None);
            try
            {
                if (_rng.Chance(1, 2))
                {
                    JoinedWorkers joined = await asker.AddWorkersAsync(_job!, 1 + _rng.Below(2), 1 + _rng.Below(20L));
                    Joins += joined.FirstIteration <= Iterations ? 1 : 0;
                }
                else
                {
                    long last = await asker.RemoveWorkerAsync(_job!, _rng.Below(MapJob.Workers.Length), 1 + _rng.Below(20L));
                    Leaves += last < Iterations ? 1 : 0;
                }
            }
            catch (WeirException refused) when (refused.Status == Status.Conflict)
            {
                // The run went on without it.
            }
        }
    }

    private async Task ComeLateAsync()
    {
        await _cluster.Scheduler.Delay(5 + _rng.Below(60L), CancellationToken.None);
        WeirClient late = await _cluster.ConnectAsync("late");
        _processes.Add(late);
        Host(late);
    }

    private async Task WorkAsync(Worker worker, CancellationToken stop)
    {
        MovedToLateProcess |= _processes.Count > _hosts && _hosting[^1].Process.State.Process == MapJob.Workers[worker.Index].Process;
        bool goesOn = true;
        while (goesOn && worker.Clock < Iterations)
        {
            long t = worker.Clock + 1;
            int count = worker.Schedule.CountAt(t);
            float[] counts = new float[MostWorkers];
            PullResult pulled = await worker.PullAsync(_table!, Counters, counts, _bound, stop);
            _pulled.Add(new Pulled(worker.Index, t, count, counts));
            Invariant.That(_bound is null || pulled.MinimumClock >= t - _bound - 1, "the stamp of a pull meets its bound");
            Task push = worker.PushAsync(_table!, new[] { Token(worker.Index, t), Counters[worker.Index] }, new float[] { 1, 1 }, stop);
            Task<bool> clock = worker.ClockAsync(stop);
            await Task.WhenAll(push, clock);

            // Some loops do not look, and are ended by the next call.
            goesOn = await clock || worker.Index % 2 == 0;
        }
    }

    private async Task JudgeAsync(WeirClient reader)
    {
        MapJob job = MapJob;
        long Planned(int worker) => Math.Max(Math.Min(Iterations, job.Workers[worker].Last), job.Workers[worker].From - 1);
        bool IsLost(int worker) => _goesOnWithout && _struck && job.Workers[worker].FinishedThrough < Planned(worker);
        long End(int worker) => IsLost(worker) ? job.Workers[worker].FinishedThrough : Math.Min(Iterations, job.Workers[worker].Last);
        Invariant.That(job.Change.Announced == 0 && Array.TrueForAll(job.Workers, w => w.IsFinished), "every change was decided and every worker has finished");
        WorkerSchedule schedule = new(job);
        for (int worker = 0; worker < job.Workers.Length; worker++)
        {
            long finished = job.Workers[worker].FinishedThrough;
            Invariant.That(finished == Math.Max(End(worker), job.Workers[worker].From - 1), $"worker {worker} took part in its iterations through {End(worker)}, not {finished}");
        }

        foreach (Pulled pulled in _pulled)
        {
            Invariant.That(schedule.RankAt(pulled.Worker, pulled.Iteration) >= 0, $"worker {pulled.Worker} took part in iteration {pulled.Iteration} of its own only");
            Invariant.That(
                pulled.CountAt == schedule.CountAt(pulled.Iteration),
                $"worker {pulled.Worker} began iteration {pulled.Iteration} with {pulled.CountAt} workers in view, but {schedule.CountAt(pulled.Iteration)} took part");
            for (int worker = 0; worker < job.Workers.Length && _bound is { } bound; worker++)
            {
                // Every iteration s < t - tau of every worker is contained (PS-15).
                long needed = Math.Max(0, Math.Min(pulled.Iteration - bound - 1, End(worker)) - job.Workers[worker].From + 1);
                Invariant.That(
                    pulled.Counts[worker] >= needed,
                    $"the pull of worker {pulled.Worker} for iteration {pulled.Iteration} under bound {bound} contains {needed} iterations of worker {worker}, which takes part from {job.Workers[worker].From}, not {pulled.Counts[worker]}");
            }
        }

        Dictionary<ulong, float> rows = [];
        await foreach (RowBatch batch in reader.ScanAsync(_table!))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Span[i]);
            }
        }

        for (int worker = 0; worker < job.Workers.Length; worker++)
        {
            for (long t = job.Workers[worker].From; t <= End(worker); t++)
            {
                Invariant.That(rows.Remove(Token(worker, t), out float times) && times == 1, $"iteration {t} of worker {worker} stands once, not {times} times");
            }

            // A push that its host never saw acknowledged, or ended no iteration with, stands once or not at all.
            for (long t = End(worker) + 1; t <= Iterations && IsLost(worker); t++)
            {
                Invariant.That(!rows.Remove(Token(worker, t), out float times) || times == 1, $"iteration {t} of the lost worker {worker} stands at most once, not {times} times");
            }

            WentOnWithout |= IsLost(worker);
            float counted = rows.GetValueOrDefault(Counters[worker]) - Math.Max(0, End(worker) - job.Workers[worker].From + 1);
            Invariant.That(IsLost(worker) ? counted is 0 or 1 or 2 : counted == 0, $"worker {worker} counted its iterations once each; {counted} too many");
            rows.Remove(Counters[worker]);
        }

        Invariant.That(rows.Count == 0, "nothing else is there");
    }

    /// <summary>Watches for announcements: that is when a process dies or is cut off.</summary>
    private void CheckStep()
    {
        if (_job is null || _cluster.Nodes[0].Map?.Job(_job.Group) is not { } job)
        {
            return;
        }

        HeldBack |= _processes.Exists(p => p.Core.Pushes.Sessions.Any(s => s.Span.Held is not null));
        ulong announced = job.Change.Announced;
        AnnouncedAnew |= announced != 0 && _announced != 0 && announced != _announced;
        bool begins = announced != 0 && announced != _announced;
        _announced = announced;
        if (begins && !_struck && (_kills || _cuts))
        {
            _struck = true;
            _cluster.Scheduler.At(_cluster.Scheduler.Now.AfterUs(_rng.Below(1500L)), Strike);
        }
    }

    private void Strike()
    {
        WeirClient victim = _processes[_rng.Below(_hosts)];
        bool during = MapJob.Change.Announced != 0;
        if (_kills)
        {
            DiedDuringAnnouncement |= during;
            _dead.Add(victim);
            _cluster.Kill(victim);
            return;
        }

        WasCutOffDuringAnnouncement |= during;
        int servers = _rng.Chance(1, 2) ? 1 : _servers;
        bool toServer = _rng.Chance(2, 3), toProcess = !toServer || _rng.Chance(1, 2);
        Instant ends = _cluster.Scheduler.Now.AfterMs(_rng.Chance(1, 2) ? 100 + _rng.Below(900L) : 3000 + _rng.Below(4000L));
        for (int server = 0; server < servers; server++)
        {
            int cut = server;
            _cluster.Cut(victim, cut, toServer, toProcess);
            _cluster.Scheduler.At(ends, () => _cluster.Cut(victim, cut, false, false));
        }
    }
}
