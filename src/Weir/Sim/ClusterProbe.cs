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

    /// <summary>The newest map that a node which runs acts on.</summary>
    public ClusterMap? Newest { get; private set; }

    /// <summary>Whether a chain is not as it should be, or a segment is being copied or sealed.</summary>
    public bool IsChanging => Newest is { Tables.Length: > 0 } map && !IsSettled(map);

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
        if (Newest is not { } map || options.Replicas == 0)
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
            left += !servers.Contains(acceptor) && cluster.Runs(acceptor) && cluster.Nodes[acceptor].HostsAcceptor ? 1 : 0;
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

    /// <summary>Whether each chain is where the ring wants it, whole and complete, in one order or another: only the head's place is given.</summary>
    public bool IsSettled(ClusterMap map)
    {
        if (ReferenceEquals(map, _settledMap))
        {
            return _isSettled;
        }

        if (!map.Members.AsSpan().SequenceEqual(_members))
        {
            _members = map.Members;
            _wanted = new Ring([.. _members.Select(m => new RingMember(m.Node, (int)m.WeightPercent, m.Zone))]).Place(map.SegmentBits, map.Replicas);
        }

        _settledMap = map;
        _isSettled = !Enumerable.Range(0, map.Segments).Any(s => !IsSettled(map, s));
        return _isSettled;
    }

    /// <summary>The chains that are not where they should be, for people.</summary>
    public string Unsettled(ClusterMap map) => string.Join(", ", Enumerable.Range(0, map.Segments).Where(s => !IsSettled(map, s)).Select(s =>
        $"{s}: {string.Join('>', map.Chains[s].Members.Select(m => $"{map.Members[m.Member].Address}{(m.IsComplete ? "" : "?")}"))}{(map.Chains[s].IsDown ? " down" : "")}, wanted {string.Join('>', _wanted[s])}"));

    private bool IsSettled(ClusterMap map, int segment)
    {
        MapChain chain = map.Chains[segment];
        ulong[] wanted = _wanted[segment];
        return !chain.IsDown && chain.Members.Length == wanted.Length && map.Members[chain.Head].Node == wanted[0]
            && Array.TrueForAll(chain.Members, m => m.IsComplete && wanted.Contains(map.Members[m.Member].Node));
    }

    private bool IsCut(int from, int to) => from != to && cluster.Network.IsCut(cluster.Servers[from], cluster.Servers[to]);
}
