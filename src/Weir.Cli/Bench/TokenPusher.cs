using System.Diagnostics;
using Weir.Client;

namespace Weir.Cli.Bench;

/// <summary>
/// Pushes unique tokens at a steady rate until it is told to stop: what is due at each turn of the clock, many pushes under way at a time, so that a server
/// that does not answer holds up nothing but what is meant for it.
/// </summary>
/// <param name="client">Pushes.</param>
/// <param name="table">Of one float a row, and added to.</param>
/// <param name="keysPerSecond">The rate, as long as no more than <see cref="MostPushes"/> are under way.</param>
/// <param name="owner">The ledger's owner.</param>
internal sealed class TokenPusher(WeirClient client, WeirTable table, int keysPerSecond, int owner = 0)
{
    private const int TurnMs = 5;

    // What a pusher has fallen behind by is made up for a batch at a time, so that the batches stay small.
    private const int MostTokens = 1000;

    private static readonly float[] Ones = CreateOnes();

    private readonly Lock _gate = new();
    private int _underWay;

    /// <summary>Pushes under way at a time. Default 1000: several seconds' worth of one push a turn.</summary>
    public int MostPushes { get; init; } = 1000;

    /// <summary>Keys of a push, at most. Default: all that are due.</summary>
    public int MostKeysOfPush { get; init; } = MostTokens;

    /// <summary>Pushes of a turn, at most: what a pusher of small pushes has fallen behind by is made up for in a few turns, not in one. Default: one.</summary>
    public int MostPushesOfTurn { get; init; } = 1;

    /// <summary>Called with the keys of each push that was acknowledged and the ticks of <see cref="Stopwatch"/> when it was called, one call at a time.</summary>
    public Action<ulong[], long>? Seen { get; init; }

    /// <summary>The tokens.</summary>
    public TokenLedger Ledger { get; } = new(owner);

    /// <summary>Tokens acknowledged so far.</summary>
    public long Acknowledged
    {
        get
        {
            lock (_gate)
            {
                return field;
            }
        }

        private set;
    }

    /// <summary>Pushes acknowledged so far: calls, each of one key or more.</summary>
    public long AcknowledgedPushes
    {
        get
        {
            lock (_gate)
            {
                return field;
            }
        }

        private set;
    }

    /// <summary>Pushes that failed; their tokens may be there, once.</summary>
    public int Failures { get; private set; }

    /// <summary>What the first of them said; null for none.</summary>
    public string? Failure { get; private set; }

    /// <summary>Pushes that are not answered yet.</summary>
    public int UnderWay
    {
        get
        {
            lock (_gate)
            {
                return _underWay;
            }
        }
    }

    /// <summary>Pushes until <paramref name="stop"/> is cancelled, then waits for what is under way.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        List<Task> pushes = [];
        long begin = Stopwatch.GetTimestamp();
        double drawn = 0;
        while (!stop.IsCancellationRequested)
        {
            double due = Stopwatch.GetElapsedTime(begin).TotalSeconds * keysPerSecond;
            for (int push = 0; push < MostPushesOfTurn && (int)Math.Min(due - drawn, MostKeysOfPush) is > 0 and int count && UnderWay < MostPushes; push++)
            {
                pushes.Add(PushAsync(count));
                drawn += count;
            }

            pushes.RemoveAll(push => push.IsCompleted);
            await Task.Delay(TurnMs, CancellationToken.None);
        }

        await Task.WhenAll(pushes);
    }

    private static float[] CreateOnes()
    {
        float[] ones = new float[MostTokens];
        Array.Fill(ones, 1f);
        return ones;
    }

    private async Task PushAsync(int count)
    {
        ulong[] keys = new ulong[count];
        int first;
        lock (_gate)
        {
            first = Ledger.Draw(keys);
            _underWay++;
        }

        WeirException? failure = null;
        long called = Stopwatch.GetTimestamp();
        try
        {
            await client.PushAsync(table, keys, Ones.AsMemory(0, count), CancellationToken.None);
        }
        catch (WeirException exception)
        {
            failure = exception;
        }

        lock (_gate)
        {
            _underWay--;
            if (failure is null)
            {
                Ledger.Acknowledge(first, count);
                Acknowledged += count;
                AcknowledgedPushes++;
                Seen?.Invoke(keys, called);
            }
            else
            {
                Failures++;
                Failure ??= failure.Message;
            }
        }
    }
}
