using Weir.Placement;
using Weir.Server;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// What the simulator, who sees all machines at once, knows of a cluster: the newest map that any node acts on, and who is well by it. Not
/// thread-safe.
/// </summary>
internal sealed class ClusterProbe(SimCluster cluster, SwarmOptions options)
{
    private readonly Dictionary<int, Instant> _disturbed = [];
    private ClusterMap? _settledMap;
    private bool _isSettled;
    private MapMember[] _members = [];
    private ulong[][] _wanted = [];
    private bool _isAnyApart;

    /// <summary>The newest map that a node which runs acts on.</summary>
    public ClusterMap? Newest { get; private set; }

    /// <summary>Whether a chain is not as it should be, or a segment is being copied or sealed.</summary>
    public bool IsChanging => Newest is { Tables.Length: > 0 } map && !IsSettled(map);

    /// <summary>Servers that leave, or have left, for good: the register does not count on their acceptors.</summary>
    public HashSet<int> Leaving { get; } = [];

    /// <summary>The server whose disk is about to fail, which its acceptor does not survive either; -1 for none.</summary>
    public int Failing { get; set; } = -1;

    /// <summary>The generation that a loading is about to begin.</summary>
    public uint AwaitedGeneration { get; set; }

    /// <summary>A server's map is looked at: it may be the newest.</summary>
    public void Look(ServerNode node)
    {
        if (node.Map is { } map && (Newest is null || map.Version > Newest.Version))
        {
            Newest = map;
        }
    }

    /// <summary>A server is dead, stands still or is cut off, or was until now: others may yet count it gone.</summary>
    public void Disturb(int server) => _disturbed[server] = cluster.Scheduler.Now;

    /// <summary>Whether a server runs, is reached by all, and has been for long enough that nobody is about to count it gone.</summary>
    public bool IsWell(int server) =>
        cluster.Runs(server)
        && (!_disturbed.TryGetValue(server, out Instant at) || cluster.Scheduler.Now.MsSince(at) > (2 * options.NodeTimeoutMs) + 500)
        && Newest is { } map && map.Member((ulong)server + 1)?.Incarnation == cluster.Nodes[server].Incarnation
        && !Enumerable.Range(0, cluster.Nodes.Count).Any(other => IsCut(server, other) || IsCut(other, server));

    /// <summary>Whether everything acknowledged stands, as promised, if these servers lose their memory now (promise G2).</summary>
    public bool MayLose(params ReadOnlySpan<int> servers)
    {
        // Until a map of it is seen, nobody knows where it has placed the segments.
        if (Newest is not { } map || options.Replicas == 0 || map.Generation < AwaitedGeneration)
        {
            return false;
        }

        foreach (MapChain chain in map.Chains)
        {
            int well = 0, lost = 0;
            foreach (ChainMember member in chain.Members)
            {
                int server = (int)map.Members[member.Member].Node - 1;
                bool goes = servers.Contains(server);
                lost += goes ? 1 : 0;
                well += member.IsComplete && !goes && IsWell(server) ? 1 : 0;
            }

            // A member that is one too many may just be leaving.
            if (lost > 0 && well < 1 + Math.Max(0, chain.Members.Length - options.Replicas - 1))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Whether the register goes on without these servers.</summary>
    public bool RegisterStandsWithout(params ReadOnlySpan<int> servers)
    {
        int left = 0;
        for (int acceptor = 0; acceptor < options.Acceptors; acceptor++)
        {
            left += acceptor != Failing && !servers.Contains(acceptor) && !Leaving.Contains(acceptor) && cluster.Runs(acceptor) && cluster.Nodes[acceptor].HostsAcceptor ? 1 : 0;
        }

        return left > options.Acceptors / 2;
    }

    /// <summary>The server that decides the map; -1 where nobody does just now.</summary>
    public int Manager()
    {
        int found = -1;
        for (int server = 0; server < cluster.Nodes.Count; server++)
        {
            if (cluster.Runs(server) && cluster.Nodes[server].ManagerTerm is { } term && (found < 0 || term > cluster.Nodes[found].ManagerTerm))
            {
                found = server;
            }
        }

        return found;
    }

    /// <summary>
    /// Whether each chain is where the ring wants it, whole and complete, in one order or another: only the head's place is given. Two nodes that
    /// could not reach each other are kept apart for a minute or more, longer than a run waits: meanwhile a chain need only be whole.
    /// </summary>
    public bool IsSettled(ClusterMap map)
    {
        bool isAnyApart = Manager() is >= 0 and int manager && cluster.Nodes[manager].Links is { IsAnyApart: true };
        if (_isSettled && ReferenceEquals(map, _settledMap) && isAnyApart == _isAnyApart)
        {
            return _isSettled;
        }

        if (!map.Members.AsSpan().SequenceEqual(_members))
        {
            _members = map.Members;
            _wanted = WantedChains.Of(map);
        }

        (_settledMap, _isAnyApart) = (map, isAnyApart);
        _isSettled = !Enumerable.Range(0, map.Segments).Any(s => !IsSettled(map, s));
        return _isSettled;
    }

    /// <summary>The chains that are not where they should be, for people.</summary>
    public string Unsettled(ClusterMap map) => string.Join(", ", Enumerable.Range(0, map.Segments).Where(s => !IsSettled(map, s)).Select(s => $"{Text(map, s)}, wanted {string.Join('>', _wanted[s])}"));

    /// <summary>The chains that name a server, for people.</summary>
    public string Naming(int server) => Newest is { } map && map.IndexOf((ulong)server + 1) is >= 0 and int index
        ? string.Join(", ", Enumerable.Range(0, map.Segments).Where(s => map.Chains[s].PlaceOf(index) >= 0).Select(s => Text(map, s)))
        : "none";

    private static string Text(ClusterMap map, int segment) =>
        $"{segment}: {string.Join('>', map.Chains[segment].Members.Select(m => $"{map.Members[m.Member].Address}{(m.IsComplete ? "" : "?")}"))}{(map.Chains[segment].IsDown ? " down" : "")}";

    private bool IsSettled(ClusterMap map, int segment)
    {
        MapChain chain = map.Chains[segment];
        ulong[] wanted = _wanted[segment];
        return !chain.IsDown && (chain.Members.Length == wanted.Length || (_isAnyApart && chain.Members.Length > wanted.Length)) && Array.TrueForAll(chain.Members, m => m.IsComplete && Holds(map.Members[m.Member], segment))
            && (_isAnyApart || (map.Members[chain.Head].Node == wanted[0] && Array.TrueForAll(chain.Members, m => wanted.Contains(map.Members[m.Member].Node))));
    }

    private bool Holds(in MapMember member, int segment)
    {
        int server = (int)member.Node - 1;
        return cluster.Runs(server) && cluster.Nodes[server] is var node && node.Incarnation == member.Incarnation && node.State.Find((uint)segment) is { IsComplete: true };
    }

    private bool IsCut(int from, int to) => from != to && cluster.Network.IsCut(cluster.Servers[from], cluster.Servers[to]);
}
