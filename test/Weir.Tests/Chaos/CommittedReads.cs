using Weir.Cli.Bench;
using Weir.Client;

namespace Weir.Tests.Chaos;

/// <summary>
/// A client that pushes tokens to a committed table and reads them back all the while: it reads what was acknowledged to it, and what it has read once is never
/// gone again.
/// </summary>
internal sealed class CommittedReads : IChaosWorkload
{
    private const int TurnMs = 20;
    private const int TokensOfTurn = 2;
    private const int KeysOfPull = 8;
    private const int LatestTokens = 100;
    private const int MostPulls = 200;

    private readonly Lock _gate = new();
    private readonly WeirClient _client;
    private readonly WeirTable _table;
    private readonly List<(bool IsAcknowledged, bool IsSeen)> _tokens = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _run;
    private int _open;
    private string? _broken;

    private CommittedReads(WeirClient client, WeirTable table)
    {
        (_client, _table) = (client, table);
        _run = Task.Run(RunAsync);
    }

    /// <summary>The owner of its ledger: the pushers' are below.</summary>
    public const int Owner = 100;

    public string Name => "committed reads";

    public long Steps { get; private set; }

    /// <summary>The tokens that it pushed.</summary>
    public TokenLedger Ledger { get; } = new(Owner);

    /// <summary>Opens the table, which must be declared as committed, and begins.</summary>
    public static async Task<CommittedReads> StartAsync(ChaosCluster cluster, TableOptions table)
    {
        WeirClient client = await cluster.ConnectAsync("reader");
        return new CommittedReads(client, await client.OpenTableAsync(table));
    }

    public async Task EndAsync(WeirClient checker, int withinMs)
    {
        await _stop.CancelAsync();
        if (await Task.WhenAny(_run, Task.Delay(withinMs)) != _run)
        {
            throw new TimeoutException($"{_open} reads and pushes of a committed table were not answered in {withinMs / 1000} s: {_client.Core.Describe()}");
        }

        await _run;
        int[] seen = [.. Enumerable.Range(0, _tokens.Count).Where(token => _tokens[token].IsSeen)];
        float[] values = new float[seen.Length];
        await checker.PullAsync(_table, seen.Select(Ledger.Key).ToArray(), values);
        _broken ??= Array.FindIndex(values, value => value != 1) is >= 0 and int gone ? $"token {seen[gone]} was read from a committed table, and stands {values[gone]} times at the end" : null;
        if ((_broken ?? (seen.Length == 0 ? "no token was ever read back" : null)) is { } otherwise)
        {
            throw new InvalidOperationException(otherwise);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _client.DisposeAsync();
        await _run.ContinueWith(_ => { }, TaskScheduler.Default);
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        List<Task> open = [];
        var random = new Random(1);
        while (!_stop.IsCancellationRequested)
        {
            if (open.Count < MostPulls)
            {
                open.Add(PushAsync());
                open.Add(PullAsync(random));
            }

            foreach (Task ended in open.Where(task => task.IsCompleted).ToArray())
            {
                await ended;
                open.Remove(ended);
            }

            _open = open.Count;
            await Task.Delay(TurnMs, CancellationToken.None);
        }

        await Task.WhenAll(open);
    }

    private async Task PushAsync()
    {
        ulong[] keys = new ulong[TokensOfTurn];
        int first;
        lock (_gate)
        {
            first = Ledger.Draw(keys);
            _tokens.AddRange(keys.Select(_ => default((bool, bool))));
        }

        await _client.PushAsync(_table, keys, new float[] { 1, 1 });
        lock (_gate)
        {
            Ledger.Acknowledge(first, TokensOfTurn);
            for (int token = first; token < first + TokensOfTurn; token++)
            {
                _tokens[token] = (true, _tokens[token].IsSeen);
            }
        }
    }

    private async Task PullAsync(Random random)
    {
        int[] tokens;
        (bool IsAcknowledged, bool IsSeen)[] known;
        lock (_gate)
        {
            int least = Math.Max(0, _tokens.Count - LatestTokens);
            tokens = [.. Enumerable.Range(0, KeysOfPull).Select(_ => random.Next(least, _tokens.Count)).Distinct()];
            known = [.. tokens.Select(token => _tokens[token])];
        }

        float[] values = new float[tokens.Length];
        await _client.PullAsync(_table, tokens.Select(Ledger.Key).ToArray(), values);
        lock (_gate)
        {
            Steps++;
            for (int i = 0; i < tokens.Length; i++)
            {
                _broken ??= (known[i], values[i]) switch
                {
                    ({ IsSeen: true }, not 1f) => $"token {tokens[i]} was read from a committed table, and read later as {values[i]}",
                    ({ IsAcknowledged: true }, not 1f) => $"token {tokens[i]} was acknowledged to a client that read it then as {values[i]}",
                    (_, not (0f or 1f)) => $"token {tokens[i]} was read as {values[i]}",
                    _ => null,
                };
                _tokens[tokens[i]] = (_tokens[tokens[i]].IsAcknowledged, _tokens[tokens[i]].IsSeen || values[i] == 1);
            }
        }
    }
}
