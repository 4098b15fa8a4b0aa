using System.Globalization;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Store;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// A job whose workers pull, compute and push for a number of iterations, hosted by processes that die and come; workers join and leave by plan. With
/// delay 0 on aggregating tables the model must end in the bits of an undisturbed run (promise G6); under another bound no pull may break it
/// (invariant 3). Either way every iteration of every worker stands exactly once. Not thread-safe.
/// </summary>
internal sealed class TrainingWorkload(SimCluster cluster, string name, int workers, int iterations, bool aggregates, int? bound, ulong seed, int mostJoins, bool durable)
{
    private const int Width = 2;
    private const int ModelRows = 10;
    private const ulong Counter = 1UL << 60;
    private const ulong Token = 1UL << 62;

    private static readonly UpdateRule Rule = UpdateRule.Adagrad(0.1f);

    private readonly Rng _rng = new(seed);
    private readonly List<(WeirClient Process, Task Hosting)> _hosts = [];
    private readonly HashSet<WeirClient> _dead = [];
    private readonly List<Task> _changes = [];
    private readonly List<Pulled> _pulled = [];
    private readonly ulong[] _counters = [.. Enumerable.Range(0, workers + mostJoins).Select(w => Counter + (ulong)w)];
    private readonly long[] _clocked = new long[workers + mostJoins];
    private readonly long[] _begun = new long[workers + mostJoins];
    private SimCluster _cluster = cluster;
    private int _joins;
    private Job _job = null!;
    private WeirTable _model = null!;
    private WeirTable _counts = null!;
    private ulong[] _keys = [];

    /// <summary>What a pull of a worker showed of the others: judged once everybody's first and last iteration is known.</summary>
    private readonly record struct Pulled(int Worker, long Iteration, float[] Counts, uint Generation);

    /// <summary>The processes that host workers now.</summary>
    public IEnumerable<WeirClient> Hosts => _hosts.Select(h => h.Process).Where(p => !_dead.Contains(p));

    /// <summary>Calls begun, and those of them that were acknowledged.</summary>
    public (long Begun, long Acknowledged) Pushes { get; private set; }

    public WeirTable Counts => _counts;

    /// <summary>By worker, the last iteration that any process has ended with a clock.</summary>
    public long[] Clocked => [.. _clocked];

    /// <summary>By worker, the last iteration that any process has begun.</summary>
    public long[] Begun => [.. _begun];

    public bool Aggregates => aggregates;

    public uint Group => _job.Group;

    /// <summary>All workers have done all iterations, and all who asked for a change of workers know what came of it.</summary>
    public bool IsDone => _changes.TrueForAll(c => c.IsCompleted) && HasEnded;

    /// <summary>All workers have done all iterations.</summary>
    public bool HasEnded => _hosts.Count > 0 && _hosts.Exists(h => !_dead.Contains(h.Process)) && _hosts.TrueForAll(h => _dead.Contains(h.Process) || h.Hosting.IsCompletedSuccessfully);

    /// <summary>Opens the job and its tables and begins with the given processes.</summary>
    public async Task BeginAsync(WeirClient opener, IReadOnlyList<WeirClient> hosts)
    {
        _job = await opener.OpenJobAsync(new JobOptions { Name = name, Workers = workers, Hosts = hosts.Count });
        _model = await opener.OpenTableAsync(new TableOptions { Name = $"{name} model", Width = Width, Rule = aggregates ? Rule : UpdateRule.Add, Aggregate = aggregates, Job = _job, Durable = durable });
        _counts = await opener.OpenTableAsync(new TableOptions { Name = $"{name} counts", Aggregate = aggregates, Job = _job, Durable = durable });
        _keys = [.. Enumerable.Range(0, ModelRows).Select(i => Mix.Of(seed + (ulong)i))];
        foreach (WeirClient host in hosts)
        {
            Host(host);
        }
    }

    /// <summary>One more process offers to host workers.</summary>
    public void Host(WeirClient process) => _hosts.Add((process, process.HostWorkersAsync(_job, (worker, stop) => WorkAsync(process, worker, stop))));

    /// <summary>The cluster went back to a checkpoint: processes whose workers had all finished host those that have not any more.</summary>
    /// <param name="map">The newest map.</param>
    public void HostAgain(ClusterMap map)
    {
        if (!HasFinished(map))
        {
            foreach (WeirClient process in _hosts.Where(h => h.Hosting.IsCompletedSuccessfully && !_dead.Contains(h.Process)).Select(h => h.Process).ToArray())
            {
                _hosts.RemoveAll(h => h.Process == process);
                Host(process);
            }
        }
    }

    /// <summary>Whether all workers of the job have finished by a map.</summary>
    public bool HasFinished(ClusterMap map) => map.Job(Group) is not { } job || Array.TrueForAll(job.Workers, w => w.IsFinished);

    /// <summary>The job goes on in another cluster, which holds a checkpoint of it.</summary>
    public void GoOnIn(SimCluster other, IReadOnlyList<WeirClient> hosts)
    {
        _cluster = other;
        _hosts.Clear();
        _dead.Clear();
        foreach (WeirClient host in hosts)
        {
            Host(host);
        }
    }

    /// <summary>Asks for more workers.</summary>
    /// <returns>False where there are as many as there may be.</returns>
    public bool Join(WeirClient asker)
    {
        int count = 1 + _rng.Below(2);
        if (_joins + count > mostJoins)
        {
            return false;
        }

        _joins += count;
        _changes.Add(ChangeAsync(asker.AddWorkersAsync(_job, count, 1 + _rng.Below((long)iterations))));
        return true;
    }

    /// <summary>Asks for a worker to be taken out.</summary>
    public void Leave(WeirClient asker) =>
        _changes.Add(ChangeAsync(asker.RemoveWorkerAsync(_job, _rng.Below(asker.ScheduleOf(_job).Workers), 1 + _rng.Below((long)iterations))));

    /// <summary>A process is dead: nobody waits for it.</summary>
    public void Died(WeirClient process) => _dead.Add(process);

    /// <summary>Throws what a host that lives has failed with.</summary>
    public void ThrowIfFailed()
    {
        foreach ((WeirClient process, Task hosting) in _hosts)
        {
            if (hosting.IsFaulted && !_dead.Contains(process))
            {
                hosting.GetAwaiter().GetResult();
            }
        }

        _changes.Find(c => c.IsFaulted)?.GetAwaiter().GetResult();
    }

    /// <summary>Reads everything back through a client and judges it.</summary>
    /// <param name="reader">Any client.</param>
    /// <param name="bitsAreSure">Whether the deaths were such that the bits may not differ from an undisturbed run's (design R21).</param>
    public async Task CheckAsync(WeirClient reader, bool bitsAreSure)
    {
        WorkerSchedule schedule = reader.ScheduleOf(_job);
        foreach (Pulled pulled in _pulled.Where(p => p.Generation == reader.State.Map!.Generation))
        {
            // Of an older generation a join or leave may have been forgotten.
            Judge(pulled, schedule);
        }

        for (int worker = 0; worker < schedule.Workers; worker++)
        {
            float[] counts = new float[1 + iterations];
            await reader.PullAsync(_counts, new[] { _counters[worker] }.Concat(Enumerable.Range(1, iterations).Select(t => TokenOf(worker, t))).ToArray(), counts);
            float expected = CountThrough(schedule, worker, iterations);
            Invariant.That(counts[0] == expected, $"{name}: worker {worker} counted to {expected}, not {counts[0]}");
            for (int t = 1; t <= iterations; t++)
            {
                float times = schedule.RankAt(worker, t) >= 0 ? 1 : 0;
                Invariant.That(counts[t] == times, $"{name}: iteration {t} of worker {worker} stands {(times == 1 ? "once" : "not at all")}, not {counts[t]} times");
            }
        }

        if (aggregates && bitsAreSure)
        {
            await CheckModelAsync(reader, schedule, iterations, "the model ends");
        }
    }

    /// <summary>Judges what a checkpoint has of the job (invariant 8), in a cluster that holds it and whose workers nobody hosts yet.</summary>
    /// <param name="reader">Any client.</param>
    /// <param name="saved">The checkpoint.</param>
    /// <param name="clocked">By worker, the last iteration that had ended when it began.</param>
    /// <param name="begun">By worker, the last iteration that had begun when it was done.</param>
    /// <param name="rows">The rows of the counts.</param>
    /// <param name="bitsAreSure">As for <see cref="CheckAsync"/>.</param>
    public async Task CheckRestoredAsync(WeirClient reader, SavedCheckpoint saved, long[] clocked, long[] begun, IReadOnlyDictionary<ulong, float> rows, bool bitsAreSure)
    {
        MapJob job = saved.Manifest.Map.Job(Group)!;
        var schedule = new WorkerSchedule(job);
        long cut = aggregates ? Array.Find(saved.Manifest.Cuts, c => c.Group == Group).Iteration : 0;
        string what = $"checkpoint {saved.Name} of {name}";
        Invariant.That(!aggregates || cut > 0, $"{what}: what is summed is as of one iteration, not {cut}");
        Invariant.That(rows.Keys.All(IsKnown), $"{what}: no row of the counts is anybody else's");
        for (int worker = 0; worker < schedule.Workers; worker++)
        {
            long recorded = Array.Find(saved.Manifest.Clocks, c => c.Group == Group && c.Worker == worker).Clock;
            foreach (ulong key in rows.Keys.Where(k => k >= TokenOf(worker, 0) && k < TokenOf(worker + 1, 0)))
            {
                long t = (long)(key - TokenOf(worker, 0));
                Invariant.That(rows[key] == 1 && schedule.RankAt(worker, t) >= 0 && t <= begun[worker], $"{what}: iteration {t} of worker {worker}, who had begun {begun[worker]}, stands {rows[key]} times");
            }

            foreach (IGrouping<int, ulong> segment in Enumerable.Range(1, iterations).Where(t => schedule.RankAt(worker, t) >= 0).Select(t => TokenOf(worker, t)).Append(_counters[worker]).GroupBy(k => Mix.Segment(k, _cluster.SegmentBits)))
            {
                Prefix(segment, worker);
            }

            void Prefix(IGrouping<int, ulong> segment, int worker)
            {
                // The last iteration that is in, and the first that is not, as the tokens and the count of the segment say it.
                long ended = Math.Max(recorded, clocked[worker]);

                // Who is about to join counts as through with all that comes before its first iteration, and has nothing there.
                long last = ended < schedule.FirstIteration(worker) ? 0 : ended, missing = aggregates ? cut + 1 : long.MaxValue;
                last = aggregates ? Math.Max(last, Math.Min(cut, Math.Min(iterations, schedule.LastIteration(worker)))) : last;
                foreach (ulong key in segment)
                {
                    if (key == _counters[worker])
                    {
                        long through = schedule.FirstIteration(worker) - 1 + (long)rows.GetValueOrDefault(key);
                        last = Math.Max(last, rows.GetValueOrDefault(key) > 0 ? through : 0);
                        missing = through < Math.Min(iterations, schedule.LastIteration(worker)) ? Math.Min(missing, through + 1) : missing;
                    }
                    else if (rows.ContainsKey(key))
                    {
                        last = Math.Max(last, (long)(key - TokenOf(worker, 0)));
                    }
                    else
                    {
                        missing = Math.Min(missing, (long)(key - TokenOf(worker, 0)));
                    }
                }

                Invariant.That(
                    last < missing,
                    $"{what}: segment {segment.Key} has of worker {worker}, at clock {recorded} when it began{(aggregates ? $" and cut at {cut}" : "")}, a prefix: iteration {last} is or must be in it, and {missing} is not");
            }
        }

        if (aggregates && bitsAreSure)
        {
            await CheckModelAsync(reader, schedule, Math.Min(cut, iterations), $"{what}: the model stands at iteration {cut}");
        }
    }

    /// <summary>Whether a row of the counts may be there.</summary>
    public bool IsKnown(ulong key) => (key >= Token && key < Token + ((ulong)_counters.Length << 20)) || (key >= Counter && key < Counter + (ulong)_counters.Length);

    private static ulong TokenOf(int worker, long iteration) => Token + ((ulong)worker << 20) + (ulong)iteration;

    private static string Text(float[] values) => string.Join(" ", values.Select(v => v.ToString("R", CultureInfo.InvariantCulture)));

    private async Task CheckModelAsync(WeirClient reader, WorkerSchedule schedule, long through, string what)
    {
        float[] model = new float[_keys.Length * Width], undisturbed = Undisturbed(schedule, through);
        await reader.PullAsync(_model, _keys, model);
        Invariant.That(model.AsSpan().SequenceEqual(undisturbed), $"{name}: {what} in the bits of an undisturbed run: {Text(undisturbed)}, not {Text(model)}");
    }

    private async Task WorkAsync(WeirClient process, Worker worker, CancellationToken stop)
    {
        int index = worker.Index;
        bool goesOn = true;
        while (goesOn && worker.Clock < iterations)
        {
            long t = worker.Clock + 1;
            uint generation = process.State.Map!.Generation;
            _begun[index] = Math.Max(_begun[index], t);
            float[] model = new float[_keys.Length * Width], counts = new float[_counters.Length];
            PullResult pulled = await worker.PullAsync(_model, _keys, model, Asked, stop);
            await worker.PullAsync(_counts, _counters, counts, Asked, stop);
            Invariant.That(Asked is not { } asked || pulled.MinimumClock >= t - asked - 1, $"{name}: the stamp of a pull of iteration {t} meets its bound {Asked}, not {pulled.MinimumClock}");
            _pulled.Add(new Pulled(index, t, counts, generation));

            (ulong[] keys, float[] change) = Change(index, t, model);
            Pushes = (Pushes.Begun + 2, Pushes.Acknowledged);
            Task first = worker.PushAsync(_model, keys, change, stop);
            Task second = worker.PushAsync(_counts, new[] { TokenOf(index, t), Counter + (ulong)index }, new float[] { 1, 1 }, stop);
            goesOn = await worker.ClockAsync(stop);
            await Task.WhenAll(first, second);
            _clocked[index] = Math.Max(_clocked[index], t);
            Pushes = (Pushes.Begun, Pushes.Acknowledged + 2);
            await _cluster.Scheduler.Delay(_rng.Below(60L), stop);
        }
    }

    private int? Asked => aggregates ? 0 : bound;

    private static async Task ChangeAsync(Task change)
    {
        try
        {
            await change;
        }
        catch (WeirException late) when (late.Status is Status.Conflict or Status.Ended or Status.Restored)
        {
            // All had finished, or too few would have been left; or the cluster went back to before it was asked.
        }
    }

    /// <summary>Every iteration s below t - tau of every worker is contained (PS-15), and none twice.</summary>
    private void Judge(in Pulled pulled, WorkerSchedule schedule)
    {
        for (int worker = 0; worker < schedule.Workers; worker++)
        {
            float least = Asked is { } asked ? CountThrough(schedule, worker, pulled.Iteration - asked - 1) : 0;
            Invariant.That(
                pulled.Counts[worker] >= least && pulled.Counts[worker] <= CountThrough(schedule, worker, iterations),
                $"{name}: the pull of iteration {pulled.Iteration} of worker {pulled.Worker} under bound {Asked} contains {pulled.Counts[worker]} iterations of worker {worker}, and at least {least}");
        }
    }

    /// <summary>How many iterations a worker takes part in, through one.</summary>
    private float CountThrough(WorkerSchedule schedule, int worker, long iteration) =>
        schedule.FirstIteration(worker) is > 0 and long first ? Math.Max(0, Math.Min(Math.Min(iteration, iterations), schedule.LastIteration(worker)) - first + 1) : 0;

    /// <summary>What a worker pushes: numbers whose sum depends on the order. Worker 0 has a row of its own alone, so that it may be done before others.</summary>
    private (ulong[] Keys, float[] Values) Change(int worker, long iteration, ReadOnlySpan<float> model)
    {
        int[] rows = worker == 0 ? [0] : [.. Enumerable.Range(1, ModelRows - 1).Where(r => ((r * 7) + worker + iteration) % 4 != 0)];
        float[] values = new float[rows.Length * Width];
        for (int i = 0; i < values.Length; i++)
        {
            float noise = (Mix.Of(((ulong)worker << 40) + ((ulong)iteration << 8) + (ulong)i) >> 40) / 1e7f;
            values[i] = (model[(rows[i / Width] * Width) + (i % Width)] * 0.3f) + noise - 0.5f;
        }

        return ([.. rows.Select(r => _keys[r])], values);
    }

    /// <summary>The model after the same iterations on one copy, with nobody to disturb them.</summary>
    private float[] Undisturbed(WorkerSchedule schedule, long through)
    {
        using var table = new TableRows(Width, Rule, 0, new MemoryBudget(1 << 30));
        SegmentRows[] segments = [.. Enumerable.Range(0, 1 << _cluster.SegmentBits).Select(s => table.OpenSegment(s, _cluster.SegmentBits))];
        float[] model = new float[_keys.Length * Width];
        for (long t = 1; t <= through; t++)
        {
            foreach (IGrouping<int, (int Worker, ulong Key, float[] Values)> part in Enumerable.Range(0, schedule.Workers).Where(w => schedule.RankAt(w, t) >= 0).SelectMany(w => Rows(w, t, model)).GroupBy(r => Mix.Segment(r.Key, _cluster.SegmentBits)).ToArray())
            {
                Contribution[] contributions = [.. part.GroupBy(r => r.Worker).OrderBy(g => g.Key).Select(g => Of(g.Key, [.. g.OrderBy(r => Mix.Of(r.Key))]))];
                (ulong[] keys, float[] values) = Aggregation.Fold(contributions, Width);
                segments[part.Key].Apply(keys, values, RowOperation.Update);
            }

            for (int row = 0; row < _keys.Length; row++)
            {
                float[] image = new float[segments[0].ImageFloats];
                if (segments[Mix.Segment(_keys[row], _cluster.SegmentBits)].TryReadImage(_keys[row], image, default))
                {
                    image.AsSpan(0, Width).CopyTo(model.AsSpan(row * Width));
                }
            }
        }

        return model;
    }

    private (int Worker, ulong Key, float[] Values)[] Rows(int worker, long iteration, float[] model)
    {
        (ulong[] keys, float[] values) = Change(worker, iteration, model);
        return [.. keys.Select((key, i) => (worker, key, values[(i * Width)..((i + 1) * Width)]))];
    }

    private static Contribution Of(int worker, (int Worker, ulong Key, float[] Values)[] rows) =>
        new(WorkerId.OfJob(1, (uint)worker), new Seq(1, 1, 1), [.. rows.Select(r => r.Key)], [.. rows.SelectMany(r => r.Values)]);
}
