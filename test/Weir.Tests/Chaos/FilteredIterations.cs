using Weir.Client;
using Weir.Selection;

namespace Weir.Tests.Chaos;

/// <summary>
/// A job of two workers whose pushes go through filters: of rows, which hold most of them back, and on the wire, all that change no bit. At the end, when what is held back has been flushed, each key has
/// exactly what was pushed of it.
/// </summary>
internal sealed class FilteredIterations : IChaosWorkload
{
    private const int Workers = 2;
    private const int KeysOfWorker = 64;
    private const int KeysOfPush = 16;
    private const int PauseMs = 5;

    private readonly Lock _gate = new();
    private readonly WeirClient[] _hosts;
    private readonly WeirTable _table;
    private readonly Job _job;
    private readonly Task _run;
    private readonly long[,] _pushed = new long[Workers, KeysOfWorker];
    private readonly bool[] _isHosted = new bool[Workers];
    private long _begun;
    private long _mostHeld;
    private bool _isEnding;
    private string? _hostedAgain;

    private FilteredIterations(WeirClient[] hosts, Job job, WeirTable table)
    {
        (_hosts, _job, _table) = (hosts, job, table);
        _run = Task.WhenAll(hosts.Select(host => Task.Run(() => host.HostWorkersAsync(job, WorkAsync))));
    }

    public string Name => "a job with filters";

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
    public static async Task<FilteredIterations> StartAsync(ChaosCluster cluster, string name)
    {
        List<WeirClient> hosts = [];
        try
        {
            for (int host = 0; host < Workers; host++)
            {
                hosts.Add(await cluster.ConnectAsync($"filtering host {host}"));
            }

            Job job = await hosts[0].OpenJobAsync(new JobOptions { Name = name, Workers = Workers, Hosts = Workers });
            WeirTable table = await hosts[0].OpenTableAsync(
                new TableOptions { Name = $"{name} sums", Job = job, Durable = cluster.Setup == ChaosSetup.Durable, Filters = Filters.Lossless | Filters.Lz4 });
            return new FilteredIterations([.. hosts], job, table);
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
            _isEnding = true;
        }

        if (await Task.WhenAny(_run, Task.Delay(withinMs)) != _run)
        {
            throw new TimeoutException($"the workers with filters did not end in {withinMs / 1000} s, after {Steps} iterations: {string.Join("; ", _hosts.Select(host => host.Core.Describe()))}");
        }

        await _run;
        Judge(_mostHeld > 0, "the filters held nothing back");
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
            for (int key = 0; key < KeysOfWorker; key++)
            {
                float stands = found.GetValueOrDefault(KeyOf(worker, key));
                bool holds = _hostedAgain is null ? stands == _pushed[worker, key] : stands >= 0 && stands <= _pushed[worker, key];
                Judge(holds, $"of key {key} of worker {worker} {_pushed[worker, key]} was pushed, and {stands} stands{(_hostedAgain is null ? "" : $", though {_hostedAgain}")}");
            }
        }

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

    private static ulong KeyOf(int worker, int key) => ((ulong)worker << 32) + (ulong)key;

    private void Judge(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"job {_job.Group}: {otherwise}");
        }
    }

    private async Task WorkAsync(Worker worker, CancellationToken stop)
    {
        lock (_gate)
        {
            // What a process that was counted gone held back is gone with it: then no more than what was pushed may stand.
            _hostedAgain = _isHosted[worker.Index] ? $"worker {worker.Index} was hosted again" : _hostedAgain;
            _isHosted[worker.Index] = true;
        }

        var pushes = new FilteredPushes(worker, _table, [new SignificantRows(2), new LargestRows(0.5f)], keepsKeys: true);
        ulong[] keys = new ulong[KeysOfPush];
        float[] ones = [.. Enumerable.Repeat(1f, KeysOfPush)];
        bool isLast = false;
        for (long t = worker.Clock + 1; !isLast; t++)
        {
            lock (_gate)
            {
                _begun = Math.Max(_begun, t);
                isLast = _isEnding;
                for (int i = 0; i < KeysOfPush; i++)
                {
                    int key = (int)((t * KeysOfPush) + (i * 3)) % KeysOfWorker;
                    keys[i] = KeyOf(worker.Index, key);
                    _pushed[worker.Index, key]++;
                }
            }

            Task push = pushes.PushAsync(keys, ones, stop), flush = isLast ? pushes.FlushAsync(stop) : Task.CompletedTask;
            lock (_gate)
            {
                _mostHeld = Math.Max(_mostHeld, pushes.Held);
            }

            await worker.ClockAsync(stop);
            await push;
            await flush;
            await Task.Delay(PauseMs, stop);
        }
    }
}
