using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>What checkpoints and restores do with the flags of tables and jobs (design R23, R24).</summary>
public class CheckpointChangesTests
{
    private static readonly ClusterMap Map = FrameSamples.Map(FrameSamples.Names.Default);

    [Fact]
    public void A_restored_table_is_durable_and_committed_as_it_was_and_a_job_goes_on_without_the_lost_as_it_did()
    {
        ClusterMap journals = Map with { Members = [.. Map.Members.Select(m => m with { Journal = m.Node })] };
        ClusterMap recorded = journals with
        {
            Tables = [.. Map.Tables.Select(t => t with { Durable = true, IsLost = true, IsCommitted = !t.Aggregate })],
            Jobs = [.. Map.Jobs.Select(j => j with { ContinuesWithout = true })],
        };
        Membership.Decision decision = Restore(journals, recorded);
        Assert.True(decision.Map is not null, decision.Text);
        Assert.Equal(journals.Generation + 1, decision.Map.Generation);
        Assert.Equal(recorded.Tables.Select(t => t with { IsLost = false }), decision.Map.Tables);
        Assert.All(decision.Map.Jobs, j => Assert.True(j.ContinuesWithout));
        Assert.All(decision.Map.Members, m => Assert.True(m.HasJournal));
    }

    /// <summary>Found by the fuzz: the map after the restore had changes of workers that nobody was to decide, and every node refused it for that.</summary>
    [Fact]
    public void What_was_announced_of_workers_and_not_decided_is_in_no_restored_map()
    {
        MapWorker worker = Map.Jobs[0].Workers[0] with { Process = 0, Session = 0, FinishedThrough = MapWorker.Working };
        ClusterMap recorded = Map with
        {
            Checkpoints = [],
            Sessions = [],
            Jobs =
            [
                Map.Jobs[0] with
                {
                    Change = new MapChange { Announced = Map.Version },
                    ContinuesWithout = true,
                    Workers = [worker, worker with { Through = MapWorker.Undecided }, worker with { FinishedThrough = MapWorker.Lost }, worker with { From = MapWorker.Undecided }],
                },
            ],
        };
        Membership.Decision decision = Restore(Map, recorded);
        Assert.True(decision.Map is not null, decision.Text);
        ClusterMap restored = decision.Map;
        Assert.True(MapSoundness.IsSound(restored with { Version = Map.Version + 1 }));
        Assert.Equal(3, restored.Jobs[0].Workers.Length);
        Assert.All(restored.Jobs[0].Workers, w => Assert.False(w.IsChanging));
    }

    [Fact]
    public void A_checkpoint_with_a_durable_table_is_not_loaded_where_a_server_has_no_journal()
    {
        ClusterMap none = Map with { Members = [.. Map.Members.Select(m => m with { Journal = 0 })] };
        Membership.Decision decision = Restore(none, none with { Tables = [Map.Tables[0] with { Durable = true }, .. Map.Tables[1..]] });
        Assert.Null(decision.Map);
        Assert.Equal(Status.Conflict, decision.Status);
        Assert.Contains("needs a journal", decision.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_table_of_which_rows_are_lost_is_in_no_checkpoint_and_a_restore_that_lost_some_has_not_ended()
    {
        ClusterMap lost = Map with { Tables = [Map.Tables[0] with { IsLost = true }, .. Map.Tables[1..]] };
        Membership.Decision decision = CheckpointChanges.Open(lost, new OpenCheckpointBody(10, 20, 21));
        Assert.Equal((null, Status.StateLost), (decision.Map, decision.Status));
        ClusterMap loading = Restore(Map, Map).Map!;
        Assert.NotNull(CheckpointChanges.Close(loading, new EndCheckpointBody(10, true)).Map);
        loading = loading with { Tables = [loading.Tables[0] with { IsLost = true }, .. loading.Tables[1..]] };
        Assert.Equal(Status.StateLost, CheckpointChanges.Close(loading, new EndCheckpointBody(10, true)).Status);
    }

    /// <summary>
    /// What was loaded is as of iteration 20, and its workers' clocks are at 12, as they were when the checkpoint began. The next one was then to be as of 16, which
    /// nobody has any more: it was begun again and again, for ever where nobody hosts the workers (seen with `weir checkpoint save` on a loaded cluster).
    /// </summary>
    [Fact]
    public void A_checkpoint_of_what_was_just_loaded_is_as_of_no_earlier_iteration()
    {
        uint group = Map.Tables.First(t => t.Aggregate).Group;
        ClusterMap idle = Map with { Checkpoints = [], Jobs = [.. Map.Jobs.Select(j => j with { Change = default, Workers = [.. j.Workers.Select(w => w with { Process = 0, Session = 0, FinishedThrough = 0 })] })] };
        ClusterMap open = CheckpointChanges.Open(idle, new OpenCheckpointBody(10, 20, 21)).Map!;
        Assert.Equal(20, Cut(closed: 20));
        Assert.Equal(MapChange.MarginIterations, Cut(closed: 1));

        // Tables of the same job that do not aggregate may have been loaded as of a later one, which nobody would ever close.
        long Cut(long closed)
        {
            ClusterMap loaded = open with { Jobs = [.. open.Jobs.Select(j => j with { LoadedThrough = 25 })] };
            return WorkerChanges.Decide(loaded, group, new Dictionary<ulong, long>(), null, closed).Map!.Checkpoint!.CutOf(group)!.Value.Iteration;
        }
    }

    /// <summary>
    /// Seed 602841: what was loaded was as of iteration 9, its workers' clocks at 3, and a worker left through 5: what it had summed for 6 to 9 stood in the table.
    /// The parts of one that joined at 6 would have come too late.
    /// </summary>
    [Fact]
    public void Nobody_joins_or_leaves_within_what_was_just_loaded()
    {
        MapJob job = Map.Jobs.First(j => Map.Tables.Any(t => t.Aggregate && t.Group == j.Group));
        MapWorker[] workers = [.. job.Workers.Select(_ => MapWorker.Opened), MapWorker.Opened with { Through = MapWorker.Undecided }, MapWorker.Announced];
        ClusterMap idle = Map with { Checkpoints = [], Jobs = [job with { Change = new MapChange(Map.Version, 2), Workers = workers, LoadedThrough = 9 }] };
        MapWorker[] decided = WorkerChanges.Decide(idle, job.Group, new Dictionary<ulong, long>(), null).Map!.Jobs[0].Workers;
        Assert.Equal((9, 10), (decided[^2].Through, decided[^1].From));
    }

    private static Membership.Decision Restore(ClusterMap map, ClusterMap recorded) =>
        CheckpointChanges.Restore(map, new BeginRestoreBody(10, 20, 21, MapEncoding.Encode(recorded)), map.Generation);
}
