using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>
/// One simulated run in which the manager's node and the register's acceptors die, stand still, are cut off and come back (design R1 to R7), a
/// minority of them and then a majority, while tables are opened, sessions are given, workers train on the segments of nodes that stay, and a
/// process dies. What must hold at every step: no node goes back to an older map, one version has one content, terms only grow and each has one
/// manager. After the faults everything that waits completes, and one manager is there.
/// </summary>
internal sealed class ManagerRun : IDisposable
{
    private const int Acceptors = 3;
    private const int Iterations = 60;

    private readonly Rng _rng;
    private readonly SimCluster _cluster;
    private readonly Dictionary<ServerNode, ClusterMap> _maps = [];
    private readonly Dictionary<ulong, (ulong Hash, ulong Term)> _versions = [];
    private readonly SortedDictionary<ulong, ServerNode> _managers = [];
    private readonly Dictionary<string, int> _hits;
    private readonly List<string> _trail = [];
    private readonly int _servers;
    private readonly int[] _last;
    private readonly List<(ulong Key, int Worker)> _keys = [];
    private bool _isCalm;
    private int _opened;
    private string _deciders = "";

    public ManagerRun(ulong seed, Dictionary<string, int> hits)
    {
        _hits = hits;
        _rng = new Rng(seed ^ 0x3A7A6E);
        _servers = Acceptors + 1 + _rng.Below(3);
        _last = [.. Enumerable.Range(0, 3).Select(_ => Iterations + _rng.Below(40))];
        _cluster = new SimCluster(seed, _servers, limits: ServerLimits.FastFailover with { ProcessTimeoutMs = 2000 }, acceptors: Acceptors);
        _cluster.Scheduler.Stepped = Check;
        _cluster.Noted = (who, note) => Trail($"{who}: {note}");
    }

    public string Describe() => string.Join("\n", _trail.TakeLast(60));

    public void Run() => _cluster.Run(RunAsync, limitMs: 180_000);

    public void Dispose() => _cluster.Dispose();

    private async Task RunAsync()
    {
        WeirClient opener = await _cluster.ConnectAsync("opener");
        List<WeirClient> hosts = [];
        for (int i = 0; i < 3; i++)
        {
            hosts.Add(await _cluster.OpenAsync($"host {i}"));
        }

        Job job = await opener.OpenJobAsync(new JobOptions { Name = "job", Workers = _last.Length, Hosts = hosts.Count });
        WeirTable table = await opener.OpenTableAsync(new TableOptions { Name = "t", Job = job });
        ChooseKeys(opener);
        _cluster.Network.Faults = new SimFaults
        {
            LossPerMille = _rng.Below(30),
            DuplicatePerMille = _rng.Below(30),
            ReorderPerMille = _rng.Below(60),
        };
        List<Task> hosting = [.. hosts.Select(h => h.HostWorkersAsync(job, (worker, stop) => WorkAsync(worker, table, stop)))];
        while (Array.TrueForAll(_cluster.Nodes[0].Map!.Job(job.Group)!.Workers, w => w.Process == 0))
        {
            await _cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        Task opening = OpenAsync(opener);
        if (_rng.Chance(2, 3))
        {
            Hit("a process died");
            _cluster.Scheduler.At(_cluster.Scheduler.Now.AfterMs(_rng.Below(3000L)), () => _cluster.Kill(hosts[0]));
            hosting.RemoveAt(0);
        }

        await FaultsAsync();
        _cluster.Network.Faults = SimFaults.None;
        _isCalm = true;
        Instant calm = _cluster.Scheduler.Now;
        await opening;
        foreach (Task host in hosting)
        {
            await host;
        }

        await OneManagerAsync();
        WeirClient late = await _cluster.OpenAsync("late");
        await late.OpenTableAsync(new TableOptions { Name = "late" });
        long endMs = _cluster.Scheduler.Now.MsSince(calm);
        Invariant.That(endMs < 30_000, $"what waited was done within 30 s of the last fault, not {endMs} ms");
        await CheckRowsAsync(late, table);
        Hit("more than one term", _managers.Count > 1 ? 1 : 0);
        Hit("more than three terms", _managers.Count > 3 ? 1 : 0);
    }

    /// <summary>Rows of segments whose head hosts no acceptor: such nodes stay, so that nothing is lost with a single copy.</summary>
    private void ChooseKeys(WeirClient client)
    {
        ClusterMap map = client.State.Map!;
        for (ulong key = 0; _keys.Count < 12; key++)
        {
            if (map.Head((int)(Mix.Of(key) >> (64 - map.SegmentBits)))!.Value.Node > Acceptors)
            {
                _keys.Add((key, _keys.Count % _last.Length));
            }
        }
    }

    private async Task WorkAsync(Worker worker, WeirTable table, CancellationToken stop)
    {
        ulong[] keys = [.. _keys.Where(k => k.Worker == worker.Index).Select(k => k.Key)];
        float[] ones = [.. keys.Select(_ => 1f)];
        while (worker.Clock < _last[worker.Index])
        {
            bool away = IsRegisterAway();
            await worker.PullAsync(table, _keys.Select(k => k.Key).ToArray(), new float[_keys.Count], 2, stop);
            Task push = worker.PushAsync(table, keys, ones, stop);
            await worker.ClockAsync(stop);
            await push;
            Hit("an iteration ended while the register was away", away && IsRegisterAway() ? 1 : 0);
            await _cluster.Scheduler.Delay(_rng.Below(150L), stop);
        }
    }

    private async Task OpenAsync(WeirClient client)
    {
        while (!_isCalm)
        {
            await client.OpenTableAsync(new TableOptions { Name = $"table {_opened++}" });
            await client.OpenJobAsync(new JobOptions { Name = $"job {_opened}", Workers = 1 });
            await _cluster.Scheduler.Delay(_rng.Below(400L), CancellationToken.None);
        }
    }

    private async Task FaultsAsync()
    {
        for (int round = 0; round < 5; round++)
        {
            await _cluster.Scheduler.Delay(300 + _rng.Below(1500L), CancellationToken.None);
            int manager = ManagerIndex();
            switch (_rng.Below(5))
            {
                case 0 when manager >= 0 && manager < Acceptors:
                    await KillAsync(manager);
                    break;
                case 1 when manager >= 0:
                    Hit("the manager's node stood still");
                    Trail($"server:{manager} stops");
                    _cluster.StopServer(manager);
                    await _cluster.Scheduler.Delay(_rng.Below(manager < Acceptors ? 2000L : 350L), CancellationToken.None);
                    _cluster.ContinueServer(manager);
                    await RestartEvictedAsync();
                    break;
                case 2 when manager >= 0:
                    await CutAsync(manager);
                    break;
                case 3:
                    await MajorityAwayAsync();
                    break;
                default:
                    await KillAsync(_rng.Below(Acceptors));
                    break;
            }
        }
    }

    private async Task KillAsync(int server)
    {
        if (!_cluster.Runs(server))
        {
            return;
        }

        Hit(ManagerIndex() == server ? "the manager's node was killed" : "an acceptor's node was killed");
        Trail($"server:{server} dies");
        _cluster.KillServer(server);
        await _cluster.Scheduler.Delay(_rng.Chance(1, 3) ? 0 : _rng.Below(2500L), CancellationToken.None);
        Restart(server);
    }

    /// <summary>The manager's node is cut off from the other servers, one way or both, for less time than anybody needs to count it gone, or more.</summary>
    private async Task CutAsync(int manager)
    {
        // A node that stays must not count as gone: its rows would be lost.
        long ms = manager < Acceptors ? _rng.Below(2000L) : _rng.Below(300L);
        (bool from, bool to) = _rng.Below(3) switch { 0 => (true, false), 1 => (false, true), _ => (true, true) };
        Hit("the manager's node was cut off");
        Trail($"server:{manager} is cut off {from} {to} for {ms} ms");
        Cut(manager, from, to);
        await _cluster.Scheduler.Delay(ms, CancellationToken.None);
        Cut(manager, false, false);
        await RestartEvictedAsync();
    }

    private void Cut(int server, bool from, bool to)
    {
        for (int other = 0; other < _servers; other++)
        {
            if (other != server)
            {
                _cluster.CutServers(server, other, from);
                _cluster.CutServers(other, server, to);
            }
        }
    }

    private async Task MajorityAwayAsync()
    {
        int first = _rng.Below(Acceptors);
        int second = (first + 1) % Acceptors;
        if (!_cluster.Runs(first) || !_cluster.Runs(second))
        {
            return;
        }

        Hit("a majority of the acceptors was away");
        Trail($"server:{first} and server:{second} stop");
        _cluster.StopServer(first);
        await _cluster.Scheduler.Delay(_rng.Below(200L), CancellationToken.None);
        _cluster.StopServer(second);
        await _cluster.Scheduler.Delay(_rng.Below(3000L), CancellationToken.None);
        _cluster.ContinueServer(first);
        await _cluster.Scheduler.Delay(_rng.Below(500L), CancellationToken.None);
        _cluster.ContinueServer(second);
        await RestartEvictedAsync();
    }

    /// <summary>A node that heard that it counts as gone has stopped: somebody starts it again.</summary>
    private async Task RestartEvictedAsync()
    {
        await _cluster.Scheduler.Delay(500, CancellationToken.None);
        for (int server = 0; server < _servers; server++)
        {
            if (_cluster.Nodes[server].StopReason is not null)
            {
                Hit("a node that was counted gone came back");
                Restart(server);
            }
        }
    }

    private void Restart(int server)
    {
        Trail($"server:{server} is started again");
        _cluster.RestartServer(server);
    }

    private bool IsRegisterAway() => Enumerable.Range(0, Acceptors).Count(_cluster.Runs) <= Acceptors / 2;

    private int ManagerIndex()
    {
        int found = -1;
        for (int server = 0; server < _servers; server++)
        {
            found = _cluster.Runs(server) && _cluster.Nodes[server].ManagerTerm is not null ? server : found;
        }

        return found;
    }

    private async Task OneManagerAsync()
    {
        while (Enumerable.Range(0, _servers).Count(s => _cluster.Runs(s) && _cluster.Nodes[s].ManagerTerm is not null) != 1)
        {
            await _cluster.Scheduler.Delay(10, CancellationToken.None);
        }
    }

    private async Task CheckRowsAsync(WeirClient client, WeirTable table)
    {
        float[] counts = new float[_keys.Count];
        await client.PullAsync(table, _keys.Select(k => k.Key).ToArray(), counts);
        for (int i = 0; i < counts.Length; i++)
        {
            Invariant.That(counts[i] == _last[_keys[i].Worker], $"key {_keys[i].Key} was pushed once in each of {_last[_keys[i].Worker]} iterations, not {counts[i]}");
        }
    }

    private void Check()
    {
        foreach (ServerNode node in _cluster.Nodes)
        {
            if (node.Map is { } map && (!_maps.TryGetValue(node, out ClusterMap? known) || !ReferenceEquals(known, map)))
            {
                Invariant.That(known is null || (map.Version > known.Version && map.ManagerTerm >= known.ManagerTerm), "a node never goes back to an older map or term");
                _maps[node] = map;
                CheckVersion(map);
            }

            if (node.ManagerTerm is { } term && !_managers.TryAdd(term, node))
            {
                Invariant.That(ReferenceEquals(_managers[term], node), $"term {term} has one manager");
            }
        }
    }

    private void CheckVersion(ClusterMap map)
    {
        ulong hash = System.IO.Hashing.XxHash3.HashToUInt64(MapEncoding.Encode(map));
        if (!_versions.TryAdd(map.Version, (hash, map.ManagerTerm)))
        {
            Invariant.That(_versions[map.Version].Hash == hash, $"map {map.Version} has one content");
            return;
        }

        string deciders = $"term {map.ManagerTerm}, manager {map.ManagerNode}, members {string.Join(" ", map.Members.Select(m => m.Node))}";
        if (deciders != _deciders)
        {
            _deciders = deciders;
            Trail($"map {map.Version}: {deciders}");
        }

        foreach ((ulong version, (_, ulong term)) in _versions)
        {
            Invariant.That(version < map.Version ? term <= map.ManagerTerm : term >= map.ManagerTerm, "terms only grow with the versions");
        }
    }

    private void Trail(string what) => _trail.Add($"{_cluster.Scheduler.Now.Microseconds / 1000} ms: {what}");

    private void Hit(string what, int times = 1) => _hits[what] = _hits.GetValueOrDefault(what) + times;
}
