using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Client;

/// <summary>What a cluster says of itself at one moment.</summary>
/// <param name="MapVersion">The version of its map.</param>
/// <param name="Generation">How often it was restored, from 1.</param>
/// <param name="Segments">Slices of the key space.</param>
/// <param name="SegmentsDown">Slices that nobody holds any more, or whose only complete holder is out of reach.</param>
/// <param name="Down">Which slices those are.</param>
/// <param name="Repairing">Slices with fewer complete copies than the cluster's replicas ask for, as far as there are servers for them.</param>
/// <param name="Servers">Its server nodes, the first of which holds the map.</param>
/// <param name="Tables">The tables of the namespace of the client that asked.</param>
/// <param name="Workers">The workers of that namespace's jobs with their clocks.</param>
/// <param name="Losses">What was lost with servers that are gone.</param>
/// <param name="Manager">Where the server is reached that decides the map.</param>
/// <param name="Replicas">How many servers hold a slice beside the one that leads it, as far as there are servers for it.</param>
public sealed record ClusterStatus(
    long MapVersion, int Generation, int Segments, int SegmentsDown, IReadOnlyList<int> Down, IReadOnlyList<int> Repairing, IReadOnlyList<ServerStatus> Servers, IReadOnlyList<TableStatus> Tables, IReadOnlyList<WorkerStatus> Workers, IReadOnlyList<string> Losses,
    string Manager, int Replicas)
{
    /// <summary>The namespaces in which there is something or that have a quota, by name.</summary>
    public IReadOnlyList<NamespaceStatus> Namespaces { get; init; } = [];

    internal static ClusterStatus Of(ClusterMap map, IReadOnlyList<StatusReplyBody> nodes, string @namespace)
    {
        Dictionary<(uint, uint), long> clocks = [];
        foreach (ClockEntry entry in nodes.SelectMany(n => n.Clocks))
        {
            (uint, uint) key = (entry.Group, entry.Worker);
            clocks[key] = Math.Max(clocks.GetValueOrDefault(key), entry.Clock);
        }

        ServerStatus[] servers = [.. map.Members.Select(member => Server(map, member, nodes))];
        bool IsOwn(string name) => QualifiedName.Parse(name).Namespace == @namespace;
        TableStatus[] tables = [.. map.Tables.Where(t => IsOwn(t.Name)).Select(t => new TableStatus(
            QualifiedName.Parse(t.Name).Name, t.Width, t.Rule.Kind.ToString(), nodes.Sum(n => n.Tables.Where(l => l.Table == t.Id).Sum(l => l.HeadedRows))))];
        WorkerStatus[] workers = [.. map.Jobs.Where(job => IsOwn(job.Name)).SelectMany(job => job.Workers.Select((worker, index) => new WorkerStatus(
            QualifiedName.Parse(job.Name).Name,
            index,
            Array.Find(map.Processes, p => p.Process == worker.Process).Name ?? "",
            Clock(clocks, job, index),
            worker.IsFinished,
            worker.From,
            worker.Last == MapWorker.NoEnd ? null : worker.Last,
            worker.IsFinished || !worker.HasFirst ? 0 : Math.Max(0, job.Workers.Select((_, other) => Clock(clocks, job, other)).Max() - Clock(clocks, job, index)))))];
        int copies = map.Copies;
        int[] down = [.. Enumerable.Range(0, map.Segments).Where(s => map.Chains[s].Head == ClusterMap.Nobody || map.Chains[s].IsDown)];
        int[] repairing = [.. Enumerable.Range(0, map.Segments).Where(s => map.Chains[s].Head != ClusterMap.Nobody && map.Chains[s].Members.Count(m => m.IsComplete) < copies)];
        return new ClusterStatus(
            (long)map.Version, (int)map.Generation, map.Segments, down.Length, down, repairing, servers, tables, workers, [.. map.Losses.Select(l => l.ToString())],
            map.Manager.Address, map.Replicas)
        {
            Namespaces = [.. map.Tables.Select(t => t.Name).Concat(map.Jobs.Select(j => j.Name)).Select(name => QualifiedName.Parse(name).Namespace)
                .Concat(map.Namespaces.Select(n => n.Name)).Distinct().Order(StringComparer.Ordinal).Select(name => Namespace(map, name, nodes))],
        };
    }

    private static NamespaceStatus Namespace(ClusterMap map, string name, IReadOnlyList<StatusReplyBody> nodes)
    {
        HashSet<uint> tables = [.. map.Tables.Where(t => QualifiedName.Parse(t.Name).Namespace == name).Select(t => t.Id)];
        MapJob[] jobs = [.. map.Jobs.Where(j => QualifiedName.Parse(j.Name).Namespace == name)];
        TableLoad[] loads = [.. nodes.SelectMany(n => n.Tables).Where(l => tables.Contains(l.Table))];
        return new NamespaceStatus(
            name, tables.Count, jobs.Length, jobs.Sum(j => j.Workers.Count(w => !w.IsFinished)), loads.Sum(l => l.HeadedRows), loads.Sum(l => l.HeadedBytes),
            Array.Find(map.Namespaces, n => n.Name == name)?.QuotaBytes);
    }

    private static long Clock(Dictionary<(uint, uint), long> clocks, MapJob job, int worker) =>
        Math.Max(job.Workers[worker].FinishedThrough, clocks.GetValueOrDefault((job.Group, (uint)worker)));

    private static ServerStatus Server(ClusterMap map, MapMember member, IReadOnlyList<StatusReplyBody> nodes)
    {
        StatusReplyBody? found = null;
        foreach (StatusReplyBody node in nodes)
        {
            if (node.Node == member.Node)
            {
                found = node;
            }
        }

        int segments = map.Chains.Count(c => c.Head != ClusterMap.Nobody && map.Members[c.Head].Node == member.Node);
        int index = map.IndexOf(member.Node), held = map.Chains.Count(c => c.PlaceOf(index) >= 0);
        return found is { } status
            ? new ServerStatus(
                member.Node.ToString("x16"), (int)status.ProcessId, member.Address, true, segments, status.Tables.Sum(t => t.Rows), status.StoredBytes, status.Counters.PushRequests, status.Counters.PullRequests, status.Counters.PullsWaiting,
                held, member.IsDraining, status.Counters.ReplicationBytes)
            : new ServerStatus(member.Node.ToString("x16"), 0, member.Address, false, segments, 0, 0, 0, 0, 0, held, member.IsDraining, 0);
    }
}

/// <summary>One server node.</summary>
/// <param name="Id">Its id.</param>
/// <param name="ProcessId">The operating system's number of its process.</param>
/// <param name="Address">Where it is reached.</param>
/// <param name="Answers">Whether it answered just now; its figures are zero where it did not.</param>
/// <param name="Segments">Slices that it leads.</param>
/// <param name="Rows">Rows that it holds.</param>
/// <param name="Bytes">Bytes of rows, state and index.</param>
/// <param name="PushRequests">Push frames since its start.</param>
/// <param name="PullRequests">Pull frames since its start.</param>
/// <param name="PullsWaiting">Pulls that wait for clocks now.</param>
/// <param name="SegmentsHeld">Slices that it holds, those that it leads among them.</param>
/// <param name="IsDraining">It hands over what it holds; with none left it may be stopped.</param>
/// <param name="ReplicationBytes">Bytes of frames that it has sent down chains since its start: pushes, or what their aggregation came to, on their way to replicas.</param>
public sealed record ServerStatus(
    string Id, int ProcessId, string Address, bool Answers, int Segments, long Rows, long Bytes, long PushRequests, long PullRequests, long PullsWaiting, int SegmentsHeld, bool IsDraining, long ReplicationBytes);

/// <summary>One namespace.</summary>
/// <param name="Name">Its name, empty for the default one.</param>
/// <param name="Tables">How many tables it has.</param>
/// <param name="Jobs">How many jobs run in it.</param>
/// <param name="WorkersAtWork">How many workers of its jobs have not finished.</param>
/// <param name="Rows">Rows of its tables, each counted once however many copies there are, of the servers that answered.</param>
/// <param name="Bytes">What these take of its quota; see <see cref="WeirClient.SetNamespaceQuotaAsync"/>.</param>
/// <param name="QuotaBytes">Its quota; null for none.</param>
public sealed record NamespaceStatus(string Name, int Tables, int Jobs, int WorkersAtWork, long Rows, long Bytes, long? QuotaBytes);

/// <summary>One table.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Width">Floats a row.</param>
/// <param name="Rule">Its update rule.</param>
/// <param name="Rows">Its rows, each counted once however many copies there are, of the servers that answered.</param>
public sealed record TableStatus(string Name, int Width, string Rule, long Rows);

/// <summary>One worker of a job.</summary>
/// <param name="Job">The job's name.</param>
/// <param name="Index">The worker's index in it.</param>
/// <param name="Process">The name of the process that hosts it, empty where none does.</param>
/// <param name="Clock">Its last finished iteration.</param>
/// <param name="Finished">Whether it has done all it will do.</param>
/// <param name="FirstIteration">The first iteration that it takes part in; 0 while its join is announced and not yet decided.</param>
/// <param name="LastIteration">The last one by a planned leave; null where none is decided.</param>
/// <param name="Behind">Iterations behind the furthest worker of its job; 0 for one that has finished or is about to join.</param>
public sealed record WorkerStatus(string Job, int Index, string Process, long Clock, bool Finished, long FirstIteration, long? LastIteration, long Behind);
