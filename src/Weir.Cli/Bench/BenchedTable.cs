using System.Diagnostics;
using System.Runtime.InteropServices;
using Weir.Client;

namespace Weir.Cli.Bench;

/// <summary>Which request is measured.</summary>
internal enum RequestKind
{
    Push,
    Pull,
    PushPull,
}

/// <summary>
/// A filled table and the arrays of the requests on it. The arrays are the caller's and are used again and again, one set for each request
/// under way; the keys of a request are the next ones of a random order of all, so that no request finds its rows in a cache
/// only because the one before it was there. One caller at a time.
/// </summary>
internal sealed class BenchedTable
{
    // The same keys in every run, so that runs can be compared.
    private const int Seed = 1;

    // Floats of a push that fills the table: 4 MiB, a few frames.
    private const int FillFloats = 1 << 20;

    private readonly WeirClient _client;
    private readonly PushPullSettings _settings;
    private readonly WeirTable _table;
    private readonly ulong[] _keys;
    private readonly float[][] _pushed;
    private readonly float[][] _pulled;
    private int _next;

    private BenchedTable(WeirClient client, WeirTable table, PushPullSettings settings)
    {
        (_client, _table, _settings) = (client, table, settings);
        var random = new Random(Seed);
        _keys = new ulong[settings.Keys];
        random.NextBytes(MemoryMarshal.AsBytes(_keys.AsSpan()));
        _pushed = new float[settings.Window][];
        _pulled = new float[settings.Window][];
        for (int slot = 0; slot < settings.Window; slot++)
        {
            _pushed[slot] = new float[settings.RequestFloats];
            _pulled[slot] = new float[settings.RequestFloats];
            Draw(random, _pushed[slot]);
        }
    }

    /// <summary>Opens the table and fills it, then puts the keys in another order than that in which the rows came.</summary>
    public static async Task<BenchedTable> FillAsync(WeirClient client, PushPullSettings settings, CancellationToken cancellation)
    {
        WeirTable table = await client.OpenTableAsync(
            new TableOptions { Name = "bench", Width = settings.Width, Rule = settings.Rule }, cancellation);
        var filled = new BenchedTable(client, table, settings);
        int rows = Math.Max(1, FillFloats / settings.Width);
        float[] values = new float[Math.Min(rows, settings.Keys) * settings.Width];
        var random = new Random(Seed + 1);
        Draw(random, values);
        for (int row = 0; row < settings.Keys; row += rows)
        {
            int count = Math.Min(rows, settings.Keys - row);
            await client.SetAsync(table, filled._keys.AsMemory(row, count), values.AsMemory(0, count * settings.Width), cancellation);
        }

        random.Shuffle(filled._keys);
        return filled;
    }

    /// <summary>Makes requests of one kind for a time, a window of them at once, and waits until all are done.</summary>
    /// <exception cref="ToolException">A pull did not find all of its rows: what was measured is not what was meant.</exception>
    public async Task MeasureAsync(RequestKind kind, double seconds, RequestTimes times, CancellationToken cancellation)
    {
        long begin = Stopwatch.GetTimestamp();
        List<long>[] ticks = await Task.WhenAll(
            Enumerable.Range(0, _settings.Window).Select(slot => Task.Run(() => RepeatAsync(kind, slot, begin, seconds, cancellation), cancellation)));
        TimeSpan elapsed = Stopwatch.GetElapsedTime(begin);
        times.AddRound([.. ticks.SelectMany(slot => slot)], elapsed);
    }

    /// <summary>Makes requests of one kind, a window of them at once, until it is told to stop.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="done">Called after each, from any thread.</param>
    /// <param name="stop">Tells it; requests under way are waited for.</param>
    /// <exception cref="ToolException">As of <see cref="MeasureAsync"/>.</exception>
    public Task RunAsync(RequestKind kind, Action done, CancellationToken stop) =>
        Task.WhenAll(Enumerable.Range(0, _settings.Window).Select(slot => Task.Run(
            async () =>
            {
                while (!stop.IsCancellationRequested)
                {
                    await OneAsync(kind, slot, CancellationToken.None);
                    done();
                }
            },
            CancellationToken.None)));

    private static void Draw(Random random, float[] values)
    {
        foreach (ref float value in values.AsSpan())
        {
            value = random.NextSingle() - 0.5f;
        }
    }

    private async Task<List<long>> RepeatAsync(RequestKind kind, int slot, long begin, double seconds, CancellationToken cancellation)
    {
        List<long> ticks = [];
        do
        {
            long sent = Stopwatch.GetTimestamp();
            await OneAsync(kind, slot, cancellation);
            ticks.Add(Stopwatch.GetTimestamp() - sent);
        }
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds);
        return ticks;
    }

    private async Task OneAsync(RequestKind kind, int slot, CancellationToken cancellation)
    {
        ReadOnlyMemory<ulong> keys = NextKeys();
        int found = await RequestAsync(kind, slot, keys, cancellation);
        if (found != keys.Length)
        {
            throw new ToolException($"a request found {found} of its {keys.Length} rows, though the table holds all of them");
        }
    }

    private async Task<int> RequestAsync(RequestKind kind, int slot, ReadOnlyMemory<ulong> keys, CancellationToken cancellation)
    {
        switch (kind)
        {
            case RequestKind.Push:
                await _client.PushAsync(_table, keys, _pushed[slot], cancellation);
                return keys.Length;
            case RequestKind.Pull:
                return (await _client.PullAsync(_table, keys, _pulled[slot], cancellation)).Found;
            default:
                return (await _client.PushPullAsync(_table, keys, _pushed[slot], _pulled[slot], cancellation)).Found;
        }
    }

    private ReadOnlyMemory<ulong> NextKeys()
    {
        lock (_keys)
        {
            if (_next + _settings.RequestKeys > _keys.Length)
            {
                _next = 0;
            }

            ReadOnlyMemory<ulong> keys = _keys.AsMemory(_next, _settings.RequestKeys);
            _next += _settings.RequestKeys;
            return keys;
        }
    }
}
