using Weir.Client;

namespace Weir.Cli.Reports;

/// <summary>What <c>weir status --report</c> writes.</summary>
/// <param name="MapVersion">The version of the cluster's map.</param>
/// <param name="Generation">How often the cluster was restored, from 1.</param>
/// <param name="Members">Its servers.</param>
/// <param name="Down">Segments that nobody holds any more, or whose only complete holder is out of reach.</param>
/// <param name="Repairing">Segments with fewer complete copies than they should have.</param>
/// <param name="Tables">The tables of the namespace asked about.</param>
/// <param name="Workers">The workers of its jobs.</param>
/// <param name="Losses">What was lost with servers that are gone.</param>
/// <param name="Namespaces">The namespaces in which there is something or that have a quota.</param>
internal sealed record StatusReport(
    long MapVersion,
    int Generation,
    IReadOnlyList<MemberOfStatus> Members,
    IReadOnlyList<int> Down,
    IReadOnlyList<int> Repairing,
    IReadOnlyList<TableStatus> Tables,
    IReadOnlyList<WorkerOfStatus> Workers,
    IReadOnlyList<string> Losses,
    IReadOnlyList<NamespaceStatus> Namespaces)
{
    public static StatusReport Of(ClusterStatus status) => new(
        status.MapVersion,
        status.Generation,
        [.. status.Servers.Select(s => new MemberOfStatus(s.Id, s.ProcessId, s.Address, s.Answers, s.Segments, s.Rows, s.Bytes, s.PushRequests, s.PullRequests, s.PullsWaiting, s.SegmentsHeld, s.IsDraining, s.ReplicationBytes))],
        status.Down,
        status.Repairing,
        status.Tables,
        [.. status.Workers.Select(w => new WorkerOfStatus(w.Index, w.Job, w.Process, w.Clock, w.Finished, w.FirstIteration, w.LastIteration, w.Behind))],
        status.Losses,
        status.Namespaces);
}

/// <summary>A server of a cluster.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Pid">Its process.</param>
/// <param name="Address">Where it is reached.</param>
/// <param name="Answers">Whether it answered just now; its figures are 0 where it did not.</param>
/// <param name="Segments">Segments that it leads.</param>
/// <param name="Rows">Rows that it holds, replicas included.</param>
/// <param name="Bytes">Bytes of rows, state and index.</param>
/// <param name="PushRequests">Push frames since its start.</param>
/// <param name="PullRequests">Pull frames since its start.</param>
/// <param name="PullsWaiting">Pulls that wait for clocks now.</param>
/// <param name="SegmentsHeld">Segments that it holds, those that it leads among them.</param>
/// <param name="Draining">Whether it hands over what it holds.</param>
/// <param name="ReplicationBytes">Bytes of frames that it has sent down chains since its start.</param>
internal sealed record MemberOfStatus(
    string Id, int Pid, string Address, bool Answers, int Segments, long Rows, long Bytes, long PushRequests, long PullRequests, long PullsWaiting, int SegmentsHeld, bool Draining, long ReplicationBytes);

/// <summary>A worker of a job.</summary>
/// <param name="Id">Its index in the job.</param>
/// <param name="Job">The job's name.</param>
/// <param name="Process">The name of the process that hosts it, empty where none does.</param>
/// <param name="Clock">Its last finished iteration.</param>
/// <param name="Finished">Whether it has done all it will do.</param>
/// <param name="FirstIteration">The first iteration that it takes part in; 0 while that is undecided.</param>
/// <param name="LastIteration">The last one by a planned leave; null where none is decided.</param>
/// <param name="Behind">Iterations behind the furthest worker of its job.</param>
internal sealed record WorkerOfStatus(int Id, string Job, string Process, long Clock, bool Finished, long FirstIteration, long? LastIteration, long Behind);
