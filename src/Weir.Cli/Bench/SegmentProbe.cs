using System.Diagnostics;
using Weir.Client;
using Weir.Keys;

namespace Weir.Cli.Bench;

/// <summary>
/// Pushes to every segment every 20 ms, whatever became of the pushes before. A probe is one push with one key of each segment, so it is
/// acknowledged once the last of the segments has acknowledged it.
/// </summary>
internal sealed class SegmentProbe
{
    private const int IntervalMs = 20;

    private readonly WeirClient _client;
    private readonly WeirTable _table;
    private readonly ulong[] _keys;
    private readonly float[] _ones;
    private readonly Lock _gate = new();
    private readonly List<TaskCompletionSource<long>> _waiting = [];
    private readonly Task _run;
    private volatile bool _isOver;
    private int _sent;
    private long _longestTicks;

    private SegmentProbe(WeirClient client, WeirTable table)
    {
        (_client, _table) = (client, table);
        int bits = client.Core.State.Map!.SegmentBits;
        _keys = [.. Enumerable.Range(0, 1 << bits).Select(segment => Mix.Inverse((ulong)segment << (64 - bits)))];
        _ones = new float[_keys.Length];
        Array.Fill(_ones, 1f);
        _run = Task.Run(RunAsync);
    }

    /// <summary>The longest that any probe took so far, in milliseconds.</summary>
    public double LongestMs
    {
        get
        {
            lock (_gate)
            {
                return _longestTicks * 1e3 / Stopwatch.Frequency;
            }
        }
    }

    /// <summary>Begins to probe a table of its own.</summary>
    public static async Task<SegmentProbe> StartAsync(WeirClient client, CancellationToken cancellation) =>
        new(client, await client.OpenTableAsync(new TableOptions { Name = "probes" }, cancellation));

    /// <summary>
    /// The time, in ticks of <see cref="Stopwatch"/>, at which the first probe that is yet to be sent was acknowledged: every segment has then taken a
    /// push that was sent after this call.
    /// </summary>
    public Task<long> NextAcknowledgedAsync()
    {
        var next = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            _waiting.Add(next);
        }

        return next.Task;
    }

    /// <summary>Stops, waits for what is under way, and counts.</summary>
    /// <returns>Probes of a segment that were sent and are not there, and such as are there more than once.</returns>
    public async Task<(long Lost, long Doubled)> EndAsync(CancellationToken cancellation)
    {
        _isOver = true;
        await _run;
        float[] counted = new float[_keys.Length];
        await _client.PullAsync(_table, _keys, counted, cancellation);
        return ((long)counted.Sum(count => Math.Max(0.0, _sent - count)), (long)counted.Sum(count => Math.Max(0.0, count - _sent)));
    }

    private async Task RunAsync()
    {
        List<Task> probes = [];
        while (!_isOver)
        {
            probes.Add(ProbeAsync());
            foreach (Task ended in probes.Where(probe => probe.IsCompleted).ToArray())
            {
                await ended;
                probes.Remove(ended);
            }

            await Task.Delay(IntervalMs, CancellationToken.None);
        }

        await Task.WhenAll(probes);
    }

    private async Task ProbeAsync()
    {
        TaskCompletionSource<long>[] waiting;
        lock (_gate)
        {
            waiting = [.. _waiting];
            _waiting.Clear();
        }

        _sent++;
        long begin = Stopwatch.GetTimestamp();
        try
        {
            await _client.PushAsync(_table, _keys, _ones, CancellationToken.None);
        }
        catch (Exception exception)
        {
            Array.ForEach(waiting, waiter => waiter.TrySetException(exception));
            throw;
        }

        long end = Stopwatch.GetTimestamp();
        lock (_gate)
        {
            _longestTicks = Math.Max(_longestTicks, end - begin);
        }

        Array.ForEach(waiting, waiter => waiter.TrySetResult(end));
    }
}
