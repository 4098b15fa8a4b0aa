using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using static Weir.Server.Membership;

namespace Weir.Server;

/// <summary>The changes that the manager makes to a map, as pure functions: map and request in, next map or a refusal out.</summary>
internal static class MapChanges
{
    private const int KeptLosses = 16;

    /// <summary>A node comes in. While no table stands, the ring gives it its share; later it waits for moves (they come with replicas).</summary>
    public static Decision AddNode(ClusterMap map, in JoinNodeBody join)
    {
        var member = new MapMember(join.Node, join.Incarnation, join.Address, join.WeightPercent, join.Zone) { Journal = join.Journal };
        if (join.Journal == 0 && Array.Find(map.Tables, t => t.Durable) is { } durable)
        {
            return Refuse($"table {durable.Name} is durable, so every server of the cluster needs a journal, and server {join.Address} has none: start it with one");
        }

        if (map.Member(join.Node) is { } known)
        {
            if (known.Incarnation == join.Incarnation)
            {
                return Done(map, map.Cluster);
            }

            if (join.Journal != 0 && join.Journal == known.Journal)
            {
                return Done(Returns.ComeBack(map, member), map.Cluster);
            }

            Decision removal = RemoveNode(map, join.Node, 0, isGone: true);
            if (removal.Map is null)
            {
                return removal;
            }

            map = removal.Map;
        }

        if (map.Members.Length >= ushort.MaxValue)
        {
            return Refuse($"the cluster has {map.Members.Length} nodes; the map names no more");
        }

        map = map with { Members = [.. map.Members, member] };
        return Done(map.IsUntouched ? Place(map) : map, map.Cluster);
    }

    /// <summary>
    /// A node is silent, or gone for good: out of its chains it goes, in one change, as far as a complete member is left to lead them (R6).
    /// Where it held the only copy of a cluster without replicas, or is gone for good, what it held is lost.
    /// </summary>
    /// <param name="map">The map to change.</param>
    /// <param name="node">The node.</param>
    /// <param name="rows">What it held, for people.</param>
    /// <param name="isGone">It will never come back as what it was.</param>
    /// <param name="unheard">
    /// Of whom nothing was heard of late, silent for long enough or not: any of them may be dead, so they are not left alone with what this one holds too.
    /// </param>
    public static Decision RemoveNode(ClusterMap map, ulong node, ulong rows, bool isGone = false, IReadOnlySet<ulong>? unheard = null)
    {
        bool IsHeard(ChainMember member) => isGone || unheard?.Contains(map.Members[member.Member].Node) != true;
        int index = Array.FindIndex(map.Members, m => m.Node == node);
        if (index < 0)
        {
            return Done(map);
        }

        MapMember gone = map.Members[index];
        if (map.Acceptors is [string only] && only == gone.Address && !isGone)
        {
            return Refuse($"server {gone.Address} has the register's only acceptor: the cluster ends with it and not before");
        }

        if (map.IsUntouched)
        {
            // The only one that comes back as another start of itself is about to be put in again.
            ClusterMap others = map with { Members = [.. map.Members.Where((_, i) => i != index)] };
            return Done(others.Members.Length == 0 ? others : Place(others));
        }

        var chains = (MapChain[])map.Chains.Clone();
        int lost = 0;
        bool isNeeded = false, hasChanged = false, isOnlyInJournals = false;
        for (int segment = 0; segment < chains.Length; segment++)
        {
            MapChain chain = chains[segment];
            if (chain.PlaceOf(index) < 0)
            {
                continue;
            }

            MapChain left = chain with { Members = [.. chain.Members.Where(m => m.Member != index)], Epoch = map.Version + 1, IsDown = false };
            bool mayGo = left.Members.Length > 0 ? left.Members[0].IsComplete && Array.Exists(left.Members, m => m.IsComplete && IsHeard(m)) : (map.Replicas == 0 && !gone.HasJournal) || isGone;
            if (mayGo)
            {
                lost += left.Members.Length == 0 ? 1 : 0;
                chains[segment] = left;
                hasChanged = true;
            }
            else if (isGone && Array.Exists(left.Members, m => m.IsRestarted))
            {
                chains[segment] = Returns.Waiting(left);
                (hasChanged, isOnlyInJournals) = (true, true);
            }
            else if (isGone)
            {
                // Those left are not complete, and who was will never return.
                lost++;
                chains[segment] = left with { Members = [] };
                hasChanged = true;
            }
            else
            {
                // Only a complete member may lead: the segment waits for this one to return (R6).
                chains[segment] = chain with { IsDown = true };
                isNeeded = true;
                hasChanged |= !chain.IsDown;
            }
        }

        if (!hasChanged && isNeeded)
        {
            return Done(map);
        }

        ClusterMap without = map with { Chains = chains, Tables = isOnlyInJournals ? Returns.OnlyInJournals(map.Tables) : map.Tables };
        if (!isNeeded)
        {
            without = without with
            {
                Members = [.. map.Members.Where((_, i) => i != index)],
                Chains = [.. chains.Select(c => !Array.Exists(c.Members, m => m.Member > index) ? c : c with { Members = [.. c.Members.Select(m => m.Member > index ? m with { Member = m.Member - 1 } : m)] })],
            };
        }

        MapLoss[] losses = lost == 0 ? map.Losses : [.. map.Losses.TakeLast(KeptLosses - 1), new MapLoss(node, gone.Address, lost, rows)];
        without = without with { Losses = losses };

        // Without a table there is nothing that segments would have to wait for.
        return Done(without.Tables.Length == 0 && Array.Exists(without.Chains, c => c.IsDown || c.Members.Length == 0) ? Place(without) : without);
    }

    /// <summary>A silent node is heard again, as the same incarnation: the segments that waited for it have a complete member again (R6).</summary>
    public static Decision ReturnNode(ClusterMap map, ulong node)
    {
        int index = map.IndexOf(node);
        return Done(index < 0 || !Array.Exists(map.Chains, c => Awaits(c, index)) ? map : map with { Chains = [.. map.Chains.Select(c => Awaits(c, index) ? c with { IsDown = false } : c)] });
    }

    /// <summary>The nodes that a segment waits for: by the map, so that a manager knows them that did not see them go.</summary>
    public static HashSet<ulong> Awaited(ClusterMap map) =>
        [.. map.Chains.Where(c => c.IsDown).SelectMany(c => c.Members).Where(m => m.IsComplete).Select(m => map.Members[m.Member].Node)];

    private static bool Awaits(in MapChain chain, int member) => chain.IsDown && chain.PlaceOf(member) is >= 0 and int place && chain.Members[place].IsComplete;

    public static Decision AddProcess(ClusterMap map, in JoinProcessBody join)
    {
        JoinProcessBody body = join;
        if (body.Group != 0 && map.Job(body.Group) is null)
        {
            return new Decision(null, Status.Ended, Text: $"job {body.Group} has ended");
        }

        int index = Array.FindIndex(map.Processes, p => p.Process == body.Process);
        if (index >= 0 && map.Processes[index].Incarnation == body.Incarnation && (body.Group == 0 || map.Processes[index].Group == body.Group))
        {
            return Done(map);
        }

        if (index >= 0 && map.Processes[index].Incarnation != body.Incarnation)
        {
            map = RemoveProcess(map, body.Process).Map!;
        }

        MapProcess process = new(body.Process, body.Incarnation, body.Group, body.Name);
        map = map with { Processes = [.. map.Processes.Where(p => p.Process != body.Process), process] };
        return Done(HostWorkers(map with { Jobs = [.. map.Jobs.Select(job => job.Group == body.Group ? MakeRoom(job, body.Process, map) : job)] }));
    }

    /// <summary>
    /// A process comes to host: those with the most workers give it their newest, one each time, until it has as many as they have or one less.
    /// Who hosts such a worker next redoes its unfinished iteration, as after a death.
    /// </summary>
    private static MapJob MakeRoom(MapJob job, ulong process, ClusterMap map)
    {
        var workers = (MapWorker[])job.Workers.Clone();
        int own = workers.Count(w => w.NeedsHost || (w.IsHosted && w.Process == process));
        bool hasMoved = false;
        while (workers.Where(w => w.IsHosted && w.Process != process).GroupBy(w => w.Process).MaxBy(host => host.Count()) is { } most && most.Count() > own + 1)
        {
            int newest = Array.FindLastIndex(workers, w => w.IsHosted && w.Process == most.Key);
            workers[newest] = workers[newest] with { Process = 0, Session = 0 };
            own++;
            hasMoved = true;
        }

        return hasMoved ? WorkerChanges.AnnounceAnew(job with { Workers = workers }, map) : job;
    }

    /// <summary>
    /// A process is gone, said goodbye or silent: its sessions end and its unfinished workers are hosted by others (design R7), or are done
    /// where the job goes on without them.
    /// </summary>
    public static Decision RemoveProcess(ClusterMap map, ulong process)
    {
        if (!Array.Exists(map.Processes, p => p.Process == process))
        {
            return Done(map);
        }

        map = CheckpointChanges.Abandon(map, process);
        map = map with
        {
            Processes = [.. map.Processes.Where(p => p.Process != process)],
            Sessions = [.. map.Sessions.Where(s => s.Process != process)],
            Jobs = [.. map.Jobs.Select(job => WorkerChanges.LoseHost(job, process, map))],
        };
        return Done(HostWorkers(map));
    }

    public static Decision OpenTable(ClusterMap map, in OpenTableBody open, ServerLimits limits)
    {
        OpenTableBody body = open;
        if (QualifiedName.Fault("table", body.Name, limits.MaxNameBytes) is { } fault)
        {
            return Refuse(fault);
        }

        if (body.Width < 1 || body.Width > limits.MaxWidth)
        {
            return Refuse($"table {body.Name} has width {body.Width}; it must be 1 to {limits.MaxWidth}");
        }

        if (!body.Rule.Fits(body.Width))
        {
            return Refuse($"table {body.Name} has width {body.Width}; rule {body.Rule.Kind} works on pairs of floats, so it must be even");
        }

        if (!body.Rule.MayBeginWith(body.InitialValue))
        {
            return Refuse(body.Rule.HoldsBits
                ? $"table {body.Name} has initial value {body.InitialValue}; rule {body.Rule.Kind} keeps bits in place of floats, of which none is set at first, so it must be 0"
                : $"table {body.Name} has initial value {body.InitialValue}; it must be a finite number");
        }

        if (body.Aggregate && body.Rule.HoldsBits)
        {
            return Refuse($"table {body.Name} aggregates, which sums floats; rule {body.Rule.Kind} keeps bits in place of floats");
        }

        if (body.Group != 0 && map.Job(body.Group) is null)
        {
            return new Decision(null, Status.Ended, Text: $"job {body.Group} has ended");
        }

        if (body.Aggregate && body.Group == 0)
        {
            return Refuse($"table {body.Name} aggregates, so it needs the job whose workers it waits for");
        }

        if (body.Lifetime.ExpireAfterClocks is not null && (body.Group == 0 || body.Aggregate))
        {
            return Refuse(body.Aggregate
                ? $"table {body.Name} aggregates, so that every run of its job ends in the same bits; rows that expire would make them depend on when they do"
                : $"table {body.Name} has rows that expire, so it needs the job whose clocks they grow old by");
        }

        if (body.Durable && Array.FindIndex(map.Members, m => !m.HasJournal) is >= 0 and int without)
        {
            return Refuse($"table {body.Name} is to be durable, so every server of the cluster needs a journal, and server {map.Members[without].Address} has none: start the servers with one");
        }

        if (body.DelayBound != MapTable.NoBound && body.Group == 0)
        {
            return Refuse($"table {body.Name} has a delay bound, so it needs the job whose clocks its pulls wait for");
        }

        var wanted = new MapTable(map.NextTable, body.Name, body.Width, body.Rule, body.InitialValue, body.Aggregate, body.Group, body.Lifetime, body.IsCommitted)
        {
            Durable = body.Durable,
            DelayBound = body.DelayBound,
            Dimensions = body.Dimensions,
        };
        if (Array.Find(map.Tables, t => t.Name == body.Name) is { } known)
        {
            // The bound may have been changed since.
            return known == wanted with { Id = known.Id, IsLost = known.IsLost, DelayBound = known.DelayBound }
                ? Done(map, known.Id)
                : Refuse($"table {body.Name} exists as {known.Shape}, group {known.Group}; it was asked for as {wanted.Shape}, group {wanted.Group}");
        }

        return map.Tables.Length >= limits.MaxTables
            ? Refuse($"the cluster has {map.Tables.Length} tables; drop some first")
            : Done(map with { Tables = [.. map.Tables, wanted], NextTable = map.NextTable + 1 }, wanted.Id);
    }

    /// <summary>Pulls of a table that name no bound of their own have this one from now on (PS-16).</summary>
    public static Decision SetDelayBound(ClusterMap map, in SetDelayBoundBody set)
    {
        (uint id, int bound) = set;
        return map.Table(id) is not { } table
            ? new Decision(null, Status.UnknownTable, Text: $"there is no table {id}: it was dropped")
            : table.Group == 0
            ? Refuse($"table {table.Name} has no job whose clocks its pulls could wait for")
            : Done(table.DelayBound == bound ? map : map with { Tables = [.. map.Tables.Select(t => t.Id == id ? t with { DelayBound = bound } : t)] });
    }

    public static Decision DropTable(ClusterMap map, uint table) =>
        Done(map.Table(table) is null ? map : map with { Tables = [.. map.Tables.Where(t => t.Id != table)] });

    /// <summary>A namespace may have so many bytes of rows from now on, or as many as the servers have room for (PS-6).</summary>
    public static Decision SetNamespaceQuota(ClusterMap map, in SetNamespaceQuotaBody set, ServerLimits limits)
    {
        SetNamespaceQuotaBody body = set;
        if (QualifiedName.NamespaceFault(body.Name) is { } fault)
        {
            return Refuse(fault);
        }

        var wanted = new MapNamespace(body.Name, body.QuotaBytes);
        if (Array.IndexOf(map.Namespaces, wanted) >= 0)
        {
            return Done(map);
        }

        MapNamespace[] others = [.. map.Namespaces.Where(n => n.Name != body.Name)];
        if (body.QuotaBytes > 0 && others.Length >= limits.MaxNamespaces)
        {
            return Refuse($"{others.Length} namespaces have a quota, and no more may: take away one that nothing uses with `weir namespace NAME --no-quota`");
        }

        return others.Length == map.Namespaces.Length && body.QuotaBytes == 0 ? Done(map) : Done(map with { Namespaces = body.QuotaBytes == 0 ? others : [.. others, wanted] });
    }

    public static Decision OpenJob(ClusterMap map, in OpenJobBody open, ServerLimits limits)
    {
        OpenJobBody body = open;
        if (body.Workers < 1 || body.Workers > limits.MaxWorkers || body.Hosts < 1 || body.Hosts > body.Workers)
        {
            return Refuse($"job {body.Name} asks for {body.Workers} workers on {body.Hosts} processes; it must be 1 to {limits.MaxWorkers} workers on at most as many processes");
        }

        if (QualifiedName.Fault("job", body.Name, limits.MaxNameBytes) is { } fault)
        {
            return Refuse(fault);
        }

        if (Array.Find(map.Jobs, j => j.Name == body.Name) is { } known)
        {
            return known.Nonce == body.Nonce ? Done(map, known.Group) : Refuse($"job {body.Name} is running already");
        }

        MapWorker[] workers = [.. Enumerable.Repeat(MapWorker.Opened, body.Workers)];
        var job = new MapJob(map.NextGroup, body.Name, body.Hosts, body.ContinuesWithout, body.Nonce, default, workers);
        return Done(map with { Jobs = [.. map.Jobs, job], NextGroup = map.NextGroup + 1 }, job.Group);
    }

    /// <summary>A job ends: its workers' sessions end with it. Its tables stay until they are dropped.</summary>
    public static Decision EndJob(ClusterMap map, uint group) =>
        Done(map.Job(group) is null ? map : map with { Jobs = [.. map.Jobs.Where(j => j.Group != group)] });

    /// <summary>A session of its own for a process that is no worker's host (design R7).</summary>
    public static Decision OpenSession(ClusterMap map, in OpenSessionBody open)
    {
        OpenSessionBody body = open;
        if (!Array.Exists(map.Processes, p => p.Process == body.Process && p.Incarnation == body.Incarnation))
        {
            map = AddProcess(map, new JoinProcessBody(body.Process, body.Incarnation, 0, "")).Map!;
        }

        ulong session = map.NextSession;
        map = map with { Sessions = [.. map.Sessions, new MapSession(session, body.Process)], NextSession = session + 1 };
        return Done(map, session);
    }

    /// <summary>A session ends; a worker that says through which iteration it went is finished, and nobody waits for it any more.</summary>
    public static Decision EndSession(ClusterMap map, in EndSessionBody end)
    {
        EndSessionBody body = end;
        if (body.Group == 0)
        {
            return Done(map with { Sessions = [.. map.Sessions.Where(s => s.Session != body.Session)] });
        }

        if (map.Job(body.Group) is not { } job || body.Worker >= job.Workers.Length)
        {
            return Done(map);
        }

        MapWorker worker = job.Workers[body.Worker];
        if (worker.Session != body.Session || worker.IsFinished)
        {
            return worker.IsFinished ? Done(map) : new Decision(null, Status.Ended, Text: $"session {body.Session} has ended");
        }

        if (body.ThroughIteration < worker.From - 1 || body.ThroughIteration > worker.Last)
        {
            return Refuse($"worker {body.Worker} of job {job.Name} takes part from iteration {worker.From}{(worker.Last == MapWorker.NoEnd ? "" : $" through {worker.Last}")}; it did not finish through {body.ThroughIteration}");
        }

        var workers = (MapWorker[])job.Workers.Clone();
        workers[body.Worker] = worker with { Session = 0, FinishedThrough = body.ThroughIteration };
        return Done(map with { Jobs = [.. map.Jobs.Select(j => j.Group == body.Group ? j with { Workers = workers } : j)] });
    }

    /// <summary>
    /// Gives every worker that nobody hosts to the process of its job with the fewest, under a new session. A job waits for its first hosts,
    /// so that they share its workers evenly.
    /// </summary>
    public static ClusterMap HostWorkers(ClusterMap map)
    {
        if (map.IsRestoring)
        {
            return map;
        }

        ulong session = map.NextSession;
        var jobs = new List<MapJob>();
        foreach (MapJob job in map.Jobs)
        {
            ulong[] hosts = [.. map.Processes.Where(p => p.Group == job.Group).Select(p => p.Process)];
            if (hosts.Length == 0 || hosts.Length < job.Hosts)
            {
                jobs.Add(job);
                continue;
            }

            var workers = (MapWorker[])job.Workers.Clone();
            Dictionary<ulong, int> hosted = hosts.ToDictionary(h => h, h => workers.Count(w => w.IsHosted && w.Process == h));
            for (int i = 0; i < workers.Length; i++)
            {
                if (workers[i].NeedsHost)
                {
                    ulong host = hosts.MinBy(h => hosted[h]);
                    hosted[host]++;
                    workers[i] = workers[i] with { Process = host, Session = session++ };
                }
            }

            // It has begun: whatever dies from now on, any one host is enough to go on.
            jobs.Add(job with { Workers = workers, Hosts = 1 });
        }

        return session == map.NextSession ? map : map with { Jobs = [.. jobs], NextSession = session };
    }

    /// <summary>The ring over the members that stay; only while no table stands, so that nothing has to move.</summary>
    public static ClusterMap Place(ClusterMap map)
    {
        Dictionary<ulong, int> index = [];
        for (int i = 0; i < map.Members.Length; i++)
        {
            index.Add(map.Members[i].Node, i);
        }

        ulong[][] placed = WantedChains.Of(map);
        MapChain[] chains = [.. placed.Select((nodes, segment) =>
        {
            // All members of a segment's first chain are complete (R9).
            ChainMember[] chain = [.. nodes.Select(node => ChainMember.Complete(index[node]))];
            MapChain known = map.Chains[segment];
            bool same = known.Members.Length == chain.Length && known.Members.Zip(chain).All(
                pair => pair.First.Member < map.Members.Length && map.Members[pair.First.Member].Node == map.Members[pair.Second.Member].Node);
            return same ? known with { Members = [.. known.Members.Zip(chain, (old, next) => old with { Member = next.Member })] } : new MapChain(map.Version + 1, chain);
        })];
        return map with { Chains = chains };
    }

    private static Decision Done(ClusterMap map, ulong first = 0) => new(map, Status.Acked, first, (long)map.Version);

    private static Decision Refuse(string text) => new(null, Status.Conflict, Text: text);
}
