using System.Diagnostics;
using Weir.Cli.Bench;
using Weir.Client;

namespace Weir.Tests.Chaos;

/// <summary>Two processes' worth of clients that push to one table, each under a session of its own, in many small pushes.</summary>
internal sealed class TokenPushers : IAsyncDisposable
{
    private const int Count = 2;
    private const int PollMs = 10;

    // What is meant for a server that is away waits, and the rest goes on: a few seconds' worth.
    private const int MostPushes = 5000;

    private readonly List<(WeirClient Client, TokenPusher Pusher)> _pushers = [];
    private readonly CancellationTokenSource _stop = new();
    private Task _run = Task.CompletedTask;

    public TokenLedger[] Ledgers => [.. _pushers.Select(p => p.Pusher.Ledger)];

    /// <summary>Tokens acknowledged so far.</summary>
    public long Acknowledged => _pushers.Sum(p => p.Pusher.Acknowledged);

    /// <summary>Pushes acknowledged so far: calls, each of one token.</summary>
    public long AcknowledgedPushes => _pushers.Sum(p => p.Pusher.AcknowledgedPushes);

    /// <summary>The same of each ledger: those of its tokens were acknowledged before others.</summary>
    public long[] AcknowledgedOfEach => [.. _pushers.Select(p => p.Pusher.Acknowledged)];

    public int UnderWay => _pushers.Sum(p => p.Pusher.UnderWay);

    public int Failures => _pushers.Sum(p => p.Pusher.Failures);

    public string? Failure => _pushers.Select(p => p.Pusher.Failure).FirstOrDefault(failure => failure is not null);

    /// <param name="cluster">Where they push.</param>
    /// <param name="table">The table, which is opened.</param>
    /// <param name="pushesPerSecond">The rate of all together.</param>
    /// <param name="watch">Is told of each acknowledged push.</param>
    public static async Task<TokenPushers> StartAsync(ChaosCluster cluster, TableOptions table, int pushesPerSecond, ServiceWatch watch)
    {
        var pushers = new TokenPushers();
        try
        {
            for (int owner = 0; owner < Count; owner++)
            {
                WeirClient client = await cluster.ConnectAsync($"pusher {owner}");
                pushers._pushers.Add((client, new TokenPusher(client, await client.OpenTableAsync(table), pushesPerSecond / Count, owner)
                {
                    MostKeysOfPush = 1,
                    MostPushesOfTurn = 20,
                    MostPushes = MostPushes,
                    Seen = (keys, called) => watch.Acknowledged(keys, called, Stopwatch.GetTimestamp()),
                }));
            }
        }
        catch
        {
            await pushers.DisposeAsync();
            throw;
        }

        pushers._run = Task.WhenAll(pushers._pushers.Select(p => Task.Run(() => p.Pusher.RunAsync(pushers._stop.Token))));
        return pushers;
    }

    /// <summary>Waits until so many pushes were acknowledged in all.</summary>
    /// <exception cref="TimeoutException">They were not in time.</exception>
    public async Task AwaitAsync(long pushes, int withinMs)
    {
        long begin = Stopwatch.GetTimestamp();
        while (AcknowledgedPushes < pushes && Failure is null)
        {
            if (Stopwatch.GetElapsedTime(begin).TotalMilliseconds > withinMs)
            {
                throw new TimeoutException($"{AcknowledgedPushes:N0} of {pushes:N0} pushes were acknowledged after {withinMs / 1000} s, {UnderWay} wait: {Where()}");
            }

            await Task.Delay(PollMs);
        }
    }

    /// <summary>Pushes no more, and waits for what is under way.</summary>
    /// <exception cref="TimeoutException">It was not answered in time.</exception>
    public async Task EndAsync(int withinMs)
    {
        await _stop.CancelAsync();
        if (await Task.WhenAny(_run, Task.Delay(withinMs)) != _run)
        {
            throw new TimeoutException($"{UnderWay} pushes were not answered {withinMs / 1000} s after the last: {Where()}");
        }

        await _run;
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        foreach ((WeirClient client, _) in _pushers)
        {
            await client.DisposeAsync();
        }

        await _run;
        _stop.Dispose();
    }

    private string Where()
    {
        const int MostLength = 4000;
        string where = string.Join("; ", _pushers.Select(p => p.Client.Core.Describe()));
        return where[..Math.Min(where.Length, MostLength)];
    }
}
