using Weir.Client;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// One simulated run of a cluster with journals (design R5, R6, R23): clients push unique tokens to a durable table while all servers stop at once,
/// one stops and returns, a disk is lost or fails, writes are torn. At the end every acknowledged token is there exactly once, every other at
/// most once, and nothing else (reliability.md, B2).
/// </summary>
internal sealed class JournalRun : IDisposable
{
    private const int Clients = 3;
    private const ulong Shared = 1UL << 60;

    private readonly Rng _rng;
    private readonly SimCluster _cluster;
    private readonly Dictionary<string, int> _hits;
    private readonly int _servers, _replicas;
    private readonly HashSet<ulong> _acknowledged = [];
    private readonly HashSet<ulong> _tried = [];
    private readonly long[] _sets = new long[Clients];
    private readonly List<string> _episodes = [];
    private bool _isOver;
    private bool _allStopped;

    /// <param name="seed">Draws everything.</param>
    /// <param name="hits">Counts what the run came to, over a batch.</param>
    public JournalRun(ulong seed, Dictionary<string, int> hits)
    {
        _hits = hits;
        _rng = new Rng(seed ^ 0xD15C);
        _replicas = _rng.Below(3);
        _servers = 1 + _replicas + _rng.Below(3);
        _cluster = new SimCluster(seed, _servers, acceptors: _servers >= 3 ? 3 : 1, replicas: _replicas, journals: true, limits: new ServerLimits
        {
            NodeTimeoutMs = 500 + _rng.Below(1500L),
            JournalBytes = _rng.Chance(1, 2) ? 4 << 10 : 256 << 20,
            JournalGroupMs = _rng.Chance(1, 3) ? 5 : 0,
            RecoveryWaitMs = 2000,
        });
        long flushUs = _rng.Chance(1, 3) ? 50_000 : 2_000;
        foreach (SimJournal journal in _cluster.Journals)
        {
            journal.MaxFlushUs = flushUs;
        }
    }

    public string Describe() => $"{_servers} servers, {_replicas} replicas: {string.Join(", ", _episodes)}";

    /// <summary>Hears what the servers say to people.</summary>
    public Action<string, string>? Noted
    {
        set => _cluster.Noted = value;
    }

    public void Run() => _cluster.Run(RunAsync, limitMs: 300_000);

    public void Dispose() => _cluster.Dispose();

    private async Task RunAsync()
    {
        var options = new ClientOptions { UnreachableMs = 60_000, RetryMs = 200 };
        WeirClient reader = await _cluster.ConnectAsync("reader", options);
        WeirTable durable = await reader.OpenTableAsync(new TableOptions { Name = "durable", Width = 2, Durable = true });
        WeirTable memory = await reader.OpenTableAsync(new TableOptions { Name = "memory" });
        await reader.PushAsync(memory, new ulong[] { 1, 2, 3 }, new float[] { 1, 1, 1 });
        List<Task> pushing = [];
        for (int i = 0; i < Clients; i++)
        {
            pushing.Add(PushAsync(i, await _cluster.ConnectAsync($"p{i}", options), durable));
        }

        _cluster.Network.Faults = new SimFaults
        {
            LossPerMille = _rng.Chance(1, 2) ? _rng.Below(40) : 0,
            DuplicatePerMille = _rng.Chance(1, 2) ? _rng.Below(40) : 0,
            ReorderPerMille = _rng.Chance(1, 2) ? _rng.Below(60) : 0,
        };
        int episodes = 1 + _rng.Below(3);
        for (int episode = 0; episode < episodes; episode++)
        {
            await SettleAsync();
            await _cluster.Scheduler.Delay(_rng.Below(300L), CancellationToken.None);
            await EpisodeAsync();
        }

        await SettleAsync();
        _isOver = true;
        await Task.WhenAll(pushing);
        _cluster.Network.Faults = SimFaults.None;
        await CheckAsync(reader, durable);
        if (_allStopped)
        {
            // What was in memory alone is said to be lost, and never read as zeros.
            WeirException lost = await Assert.ThrowsAsync<WeirException>(() => reader.PullAsync(memory, new ulong[] { 1, 2, 3 }, new float[3]));
            Assert.Equal(Status.StateLost, lost.Status);
            Assert.Equal(Status.StateLost, (await Assert.ThrowsAsync<WeirException>(() => reader.PushAsync(memory, new ulong[] { 1 }, new float[] { 1 }))).Status);
            await reader.DropTableAsync(memory);
            memory = await reader.OpenTableAsync(new TableOptions { Name = "memory" });
            await reader.PushAsync(memory, new ulong[] { 1 }, new float[] { 1 });
        }
    }

    private async Task EpisodeAsync()
    {
        int victim = _rng.Below(_servers);
        switch (_rng.Below(_replicas > 0 ? 6 : 3))
        {
            case 0 or 1:
                await StopAllAsync(-1);
                break;
            case 2:
                await StopOneAsync(victim, losesDisk: false);
                break;
            case 3:
                await StopOneAsync(victim, losesDisk: true);
                break;
            case 4:
                await StopAllAsync(victim);
                break;
            default:
                await FailFlushAsync(victim);
                break;
        }
    }

    private async Task StopAllAsync(int losesDisk)
    {
        Hit(losesDisk < 0 ? "all servers stopped" : "all servers stopped and one disk was lost");
        _allStopped = true;
        int[] order = [.. Enumerable.Range(0, _servers).OrderBy(_ => _rng.Next())];
        bool atOnce = _rng.Chance(1, 2);
        foreach (int server in order)
        {
            _cluster.KillServer(server);
            await _cluster.Scheduler.Delay(atOnce ? 0 : _rng.Below(4L), CancellationToken.None);
        }

        if (losesDisk >= 0)
        {
            _cluster.Journals[losesDisk].Lose();
        }

        await _cluster.Scheduler.Delay(_rng.Below(2000L), CancellationToken.None);
        bool slowly = _rng.Chance(1, 3);
        foreach (int server in order.OrderBy(_ => _rng.Next()))
        {
            _cluster.RestartServer(server);
            await _cluster.Scheduler.Delay(_rng.Below(slowly ? 1500L : 100L), CancellationToken.None);
        }
    }

    private async Task StopOneAsync(int victim, bool losesDisk)
    {
        Hit(losesDisk ? "one server lost its disk" : "one server came back with its journal");
        _allStopped |= _replicas == 0;
        _cluster.KillServer(victim);
        if (losesDisk)
        {
            _cluster.Journals[victim].Lose();
        }

        await _cluster.Scheduler.Delay(_rng.Below(3000L), CancellationToken.None);
        _cluster.RestartServer(victim);
    }

    private async Task FailFlushAsync(int victim)
    {
        Hit("a flush failed");
        _cluster.Journals[victim].Fails = true;
        for (int waited = 0; _cluster.Runs(victim); waited++)
        {
            Invariant.That(waited < 5000, "a server whose flush failed stops");
            await _cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        Assert.Contains("journal", _cluster.Nodes[victim].StopReason, StringComparison.Ordinal);
        await _cluster.Scheduler.Delay(_rng.Below(3000L), CancellationToken.None);
        _cluster.Journals[victim].Lose();
        _cluster.RestartServer(victim);
    }

    private void Hit(string what)
    {
        _hits[what] = _hits.GetValueOrDefault(what) + 1;
        _episodes.Add($"{what} after {_acknowledged.Count} pushes");
    }

    /// <summary>Until all servers are there and every segment has all its copies: what happens next happens to a cluster that is well.</summary>
    private async Task SettleAsync()
    {
        for (int waited = 0; !IsSettled(); waited += 10)
        {
            if (waited > 60_000)
            {
                throw new InvariantException("a cluster whose servers are all back is well again within a minute: " + string.Join("\n", _cluster.Nodes.Select(n => n.Describe())));
            }

            await _cluster.Scheduler.Delay(10, CancellationToken.None);
        }
    }

    private bool IsSettled()
    {
        if (!Enumerable.Range(0, _servers).All(_cluster.Runs) || _cluster.Nodes.FirstOrDefault(n => n.ManagerTerm is not null)?.Map is not { } map)
        {
            return false;
        }

        return map.Members.Length == _servers && _cluster.Nodes.All(n => n.Map?.Version == map.Version && map.IndexOf(n.Id, n.Incarnation) >= 0)
            && Array.TrueForAll(map.Chains, c => !c.IsDown && c.Members.Length == _replicas + 1 && Array.TrueForAll(c.Members, m => m.IsComplete));
    }

    private async Task PushAsync(int index, WeirClient client, WeirTable table)
    {
        var rng = new Rng(_cluster.Seed ^ (ulong)(index + 1));
        for (ulong n = 1; !_isOver; n++)
        {
            // Several at a time, so that a group has several entries.
            List<(ulong Token, Task Push)> pushes = [];
            for (int i = 0; i < 1 + rng.Below(3); i++, n++)
            {
                ulong token = Mix.Of(((ulong)index << 40) | n, 23) >> 8;
                _tried.Add(token);
                pushes.Add((token, client.PushAsync(table, new[] { token, Shared + (ulong)index }, new float[] { 1, n, 1, 0 })));
            }

            foreach ((ulong token, Task push) in pushes)
            {
                await push;
                _acknowledged.Add(token);
                _sets[index]++;
            }

            await _cluster.Scheduler.Delay(1 + rng.Below(20L), CancellationToken.None);
        }
    }

    private async Task CheckAsync(WeirClient reader, WeirTable table)
    {
        Dictionary<ulong, float> rows = [];
        await foreach (RowBatch batch in reader.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Span[2 * i]);
            }
        }

        _hits["acknowledged"] = _hits.GetValueOrDefault("acknowledged") + _acknowledged.Count;
        foreach (ulong token in _tried)
        {
            float count = rows.Remove(token, out float found) ? found : 0;
            Invariant.That(count == 1 || (count == 0 && !_acknowledged.Contains(token)), $"a token that was {(_acknowledged.Contains(token) ? "" : "not ")}acknowledged is there {count} times (segment {Mix.Segment(token, 6)})");
        }

        for (int index = 0; index < Clients; index++)
        {
            Invariant.That(rows.Remove(Shared + (ulong)index, out float counted) && counted == _sets[index], $"client {index} counted to {_sets[index]}, not {counted}");
        }

        Invariant.That(rows.Count == 0, "nothing else is there");
    }
}
