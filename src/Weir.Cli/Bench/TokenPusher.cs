using System.Diagnostics;
using Weir.Client;

namespace Weir.Cli.Bench;

/// <summary>
/// Pushes unique tokens at a steady rate until it is told to stop: a push for each turn of the clock, many under way at a time, so that a server that
/// does not answer holds up nothing but what is meant for it.
/// </summary>
/// <param name="client">Pushes.</param>
/// <param name="table">Of one float a row, and added to.</param>
/// <param name="keysPerSecond">The rate, as long as no more than <see cref="MostPushes"/> are under way.</param>
/// <param name="owner">The ledger's owner.</param>
internal sealed class TokenPusher(WeirClient client, WeirTable table, int keysPerSecond, int owner = 0)
{
    /// <summary>Pushes under way at a time: several seconds' worth.</summary>
    public const int MostPushes = 1000;

    private const int TurnMs = 5;

    // What a pusher has fallen behind by is made up for a batch at a time, so that the batches stay small.
    private const int MostTokens = 1000;

    private static readonly float[] Ones = CreateOnes();

    private readonly Lock _gate = new();
    private int _underWay;

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
            int count = (int)Math.Min(due - drawn, MostTokens);
            if (count > 0 && UnderWay < MostPushes)
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
            }
            else
            {
                Failures++;
                Failure ??= failure.Message;
            }
        }
    }
}
