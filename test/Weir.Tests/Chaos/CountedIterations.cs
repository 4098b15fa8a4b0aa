using Weir.Client;

namespace Weir.Tests.Chaos;

/// <summary>
/// A job of two workers in two processes' worth of clients that count their iterations, with delay 0 in a table that aggregates: an iteration closes when both
/// are through with it. At the end each iteration of each worker must stand once, and no pull may have shown another number than its own iteration allows.
/// </summary>
internal sealed class CountedIterations : IChaosWorkload
{
    private const int Workers = 2;
    private const int PauseMs = 5;
    private const ulong Token = 1UL << 62;
    private static readonly ulong[] Counters = [1UL << 60, (1UL << 60) + 1];

    private readonly Lock _gate = new();
    private readonly WeirClient[] _hosts;
    private readonly WeirTable _table;
    private readonly Job _job;
    private readonly Task _run;
    private long _begun;
    private long _last = long.MaxValue;
    private string? _broken;

    private CountedIterations(WeirClient[] hosts, Job job, WeirTable table)
    {
        (_hosts, _job, _table) = (hosts, job, table);
        _run = Task.WhenAll(hosts.Select(host => Task.Run(() => host.HostWorkersAsync(job, WorkAsync))));
    }

    public string Name => "a job of two workers";

    public long Steps
    {
        get
        {
            lock (_gate)
            {
                return _begun;
            }
        }
    }

    /// <summary>Opens the job and its table, and begins.</summary>
    public static async Task<CountedIterations> StartAsync(ChaosCluster cluster, string name)
    {
        List<WeirClient> hosts = [];
        try
        {
            for (int host = 0; host < Workers; host++)
            {
                hosts.Add(await cluster.ConnectAsync($"host {host}"));
            }

            Job job = await hosts[0].OpenJobAsync(new JobOptions { Name = name, Workers = Workers, Hosts = Workers });
            WeirTable table = await hosts[0].OpenTableAsync(
                new TableOptions { Name = $"{name} counts", Aggregate = true, Job = job, Durable = cluster.Setup == ChaosSetup.Durable });
            return new CountedIterations([.. hosts], job, table);
        }
        catch
        {
            hosts.ForEach(host => host.DisposeAsync().AsTask());
            throw;
        }
    }

    public async Task EndAsync(WeirClient checker, int withinMs)
    {
        lock (_gate)
        {
            _last = _begun;
        }

        if (await Task.WhenAny(_run, Task.Delay(withinMs)) != _run)
        {
            string clocks = string.Join(", ", (await checker.GetStatusAsync()).Workers.Select(worker => $"worker {worker.Index} of {worker.Job} at {worker.Clock}"));
            throw new TimeoutException($"the workers did not come to the end of iteration {_last} in {withinMs / 1000} s: {clocks}; {string.Join("; ", _hosts.Select(host => host.Core.Describe()))}");
        }

        await _run;
        Judge(_broken is null, _broken ?? "");
        Judge(_last > 0, "no iteration was begun");
        Dictionary<ulong, float> found = [];
        await foreach (RowBatch batch in checker.ScanAsync(_table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                found[batch.Keys.Span[i]] = batch.Values.Span[i];
            }
        }

        for (int worker = 0; worker < Workers; worker++)
        {
            float counted = found.GetValueOrDefault(Counters[worker]);
            Judge(counted == _last, $"worker {worker} did {_last} iterations, and {counted} stand");
            for (long t = 1; t <= _last; t++)
            {
                Judge(found.GetValueOrDefault(TokenOf(worker, t)) == 1, $"iteration {t} of worker {worker} stands {found.GetValueOrDefault(TokenOf(worker, t))} times");
            }
        }

        Judge(found.Count == Workers * (1 + _last), $"{found.Count} rows stand, {Workers * (1 + _last)} were pushed");
        await checker.DropTableAsync(_table);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (WeirClient host in _hosts)
        {
            await host.DisposeAsync();
        }

        await _run.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    private static ulong TokenOf(int worker, long iteration) => Token + ((ulong)worker << 32) + (ulong)iteration;

    private void Judge(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"job {_job.Group}: {otherwise}");
        }
    }

    private async Task WorkAsync(Worker worker, CancellationToken stop)
    {
        float[] counts = new float[Workers];
        while (true)
        {
            long t = worker.Clock + 1;
            lock (_gate)
            {
                if (t > _last)
                {
                    return;
                }

                _begun = Math.Max(_begun, t);
            }

            await worker.PullAsync(_table, Counters, counts, delayBound: 0, stop);

            // One more than all before only where its own of an older session has closed with the other's (design R21).
            if (Array.FindIndex(counts, count => count != t - 1 && count != t) is >= 0 and int other)
            {
                lock (_gate)
                {
                    _broken ??= $"the pull of iteration {t} of worker {worker.Index} with delay 0 shows {counts[other]} iterations of worker {other}";
                }
            }

            Task push = worker.PushAsync(_table, new[] { TokenOf(worker.Index, t), Counters[worker.Index] }, new float[] { 1, 1 }, stop);
            await worker.ClockAsync(stop);
            await push;
            await Task.Delay(PauseMs, stop);
        }
    }
}
