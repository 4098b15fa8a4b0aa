using System.Globalization;
using Weir.Client;
using Weir.Keys;
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
    private int _joins;
    private Job _job = null!;
    private WeirTable _model = null!;
    private WeirTable _counts = null!;
    private ulong[] _keys = [];

    /// <summary>What a pull of a worker showed of the others: judged once everybody's first and last iteration is known.</summary>
    private readonly record struct Pulled(int Worker, long Iteration, float[] Counts);

    /// <summary>The processes that host workers now.</summary>
    public IEnumerable<WeirClient> Hosts => _hosts.Select(h => h.Process).Where(p => !_dead.Contains(p));

    /// <summary>Calls begun, and those of them that were acknowledged.</summary>
    public (long Begun, long Acknowledged) Pushes { get; private set; }

    public WeirTable Counts => _counts;

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
    public void Host(WeirClient process) => _hosts.Add((process, process.HostWorkersAsync(_job, WorkAsync)));

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
        foreach (Pulled pulled in _pulled)
        {
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
            float[] model = new float[_keys.Length * Width], undisturbed = Undisturbed(schedule);
            await reader.PullAsync(_model, _keys, model);
            Invariant.That(model.AsSpan().SequenceEqual(undisturbed), $"{name}: the model ends in the bits of an undisturbed run: {Text(undisturbed)}, not {Text(model)}");
        }
    }

    /// <summary>Whether a row of the counts may be there.</summary>
    public bool IsKnown(ulong key) => (key >= Token && key < Token + ((ulong)_counters.Length << 20)) || (key >= Counter && key < Counter + (ulong)_counters.Length);

    private static ulong TokenOf(int worker, long iteration) => Token + ((ulong)worker << 20) + (ulong)iteration;

    private static string Text(float[] values) => string.Join(" ", values.Select(v => v.ToString("R", CultureInfo.InvariantCulture)));

    private async Task WorkAsync(Worker worker, CancellationToken stop)
    {
        int index = worker.Index;
        bool goesOn = true;
        while (goesOn && worker.Clock < iterations)
        {
            long t = worker.Clock + 1;
            float[] model = new float[_keys.Length * Width], counts = new float[_counters.Length];
            PullResult pulled = await worker.PullAsync(_model, _keys, model, Asked, stop);
            await worker.PullAsync(_counts, _counters, counts, Asked, stop);
            Invariant.That(Asked is not { } asked || pulled.MinimumClock >= t - asked - 1, $"{name}: the stamp of a pull of iteration {t} meets its bound {Asked}, not {pulled.MinimumClock}");
            _pulled.Add(new Pulled(index, t, counts));

            (ulong[] keys, float[] change) = Change(index, t, model);
            Pushes = (Pushes.Begun + 2, Pushes.Acknowledged);
            Task first = worker.PushAsync(_model, keys, change, stop);
            Task second = worker.PushAsync(_counts, new[] { TokenOf(index, t), Counter + (ulong)index }, new float[] { 1, 1 }, stop);
            goesOn = await worker.ClockAsync(stop);
            await Task.WhenAll(first, second);
            Pushes = (Pushes.Begun, Pushes.Acknowledged + 2);
            await cluster.Scheduler.Delay(_rng.Below(60L), stop);
        }
    }

    private int? Asked => aggregates ? 0 : bound;

    private static async Task ChangeAsync(Task change)
    {
        try
        {
            await change;
        }
        catch (WeirException late) when (late.Status is Status.Conflict or Status.Ended)
        {
            // All had finished, or too few would have been left.
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
    private float[] Undisturbed(WorkerSchedule schedule)
    {
        using var table = new TableRows(Width, Rule, 0, new MemoryBudget(1 << 30));
        SegmentRows[] segments = [.. Enumerable.Range(0, 1 << cluster.SegmentBits).Select(s => table.OpenSegment(s, cluster.SegmentBits))];
        float[] model = new float[_keys.Length * Width];
        for (long t = 1; t <= iterations; t++)
        {
            foreach (IGrouping<int, (int Worker, ulong Key, float[] Values)> part in Enumerable.Range(0, schedule.Workers).Where(w => schedule.RankAt(w, t) >= 0).SelectMany(w => Rows(w, t, model)).GroupBy(r => Mix.Segment(r.Key, cluster.SegmentBits)).ToArray())
            {
                Contribution[] contributions = [.. part.GroupBy(r => r.Worker).OrderBy(g => g.Key).Select(g => Of(g.Key, [.. g.OrderBy(r => Mix.Of(r.Key))]))];
                (ulong[] keys, float[] values) = Aggregation.Fold(contributions, Width);
                segments[part.Key].Apply(keys, values, RowOperation.Update);
            }

            for (int row = 0; row < _keys.Length; row++)
            {
                float[] image = new float[segments[0].ImageFloats];
                if (segments[Mix.Segment(_keys[row], cluster.SegmentBits)].TryReadImage(_keys[row], image, default))
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
