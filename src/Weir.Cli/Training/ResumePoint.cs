using Weir.Checkpoints;
using Weir.Cli.Commands;
using Weir.Client;
using Weir.Host.Disk;

namespace Weir.Cli.Training;

/// <summary>The checkpoint that a run goes on from.</summary>
/// <param name="Store">Where it is.</param>
/// <param name="Checkpoint">What it holds.</param>
/// <param name="Job">The training's job in it.</param>
internal sealed record ResumePoint(FolderStore Store, StoredCheckpoint Checkpoint, StoredJob Job)
{
    /// <summary>The last checkpoint of a folder.</summary>
    /// <exception cref="ToolException">There is none, it is damaged, or it has no training that could go on.</exception>
    public static async Task<ResumePoint> FindAsync(string folder, CancellationToken cancellation)
    {
        var store = new FolderStore(folder);
        StoredCheckpoint last = await new CheckpointCatalog(store).ReadAsync(await CheckpointCommand.ChosenAsync(store, folder, null, cancellation), cancellation);
        if (last.Fault is not null)
        {
            throw new ToolException(last.Fault);
        }

        StoredJob[] jobs = [.. last.Jobs.Where(j => last.Tables.Contains(j.Name))];
        return jobs.Length == 1
            ? new ResumePoint(store, last, jobs[0])
            : throw new ToolException($"checkpoint {last.Name} in {folder} has {jobs.Length} trainings of `weir train`; one can go on. Load it with `weir checkpoint restore` instead");
    }

    /// <summary>Loads it into a cluster in which nobody works.</summary>
    /// <exception cref="ToolException">Somebody works there.</exception>
    public async Task LoadAsync(WeirClient client, int hosts, CancellationToken cancellation)
    {
        ClusterStatus status = await client.GetStatusAsync(cancellation);
        if (status.Workers.FirstOrDefault(w => !w.Finished && (w.Process.Length > 0 || Checkpoint.Jobs.All(j => j.Name != w.Job))) is { } working)
        {
            throw new ToolException($"the cluster runs job {working.Job}, which would go back or end with a checkpoint that is loaded: end it first, or use `weir checkpoint restore`, which does not ask");
        }

        await client.RestoreCheckpointAsync(Store, Checkpoint.Name, new RestoreOptions { Hosts = hosts }, cancellation);
    }
}
