using System.Globalization;
using Weir.Checkpoints;
using Weir.Client;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Placement;
using Weir.World;

namespace Weir.Cli.Training;

/// <summary>The checkpoint that a run goes on from.</summary>
/// <param name="Store">Where it is.</param>
/// <param name="Checkpoint">What it holds.</param>
/// <param name="Namespace">The namespace of the training; empty for the default one.</param>
/// <param name="Job">The training's job in it, by its name in the namespace.</param>
internal sealed record ResumePoint(ICheckpointStore Store, StoredCheckpoint Checkpoint, string Namespace, StoredJob Job)
{
    /// <summary>The last checkpoint of a place, and the training of a namespace in it.</summary>
    /// <exception cref="ToolException">There is none, it is damaged, or it has no training that could go on.</exception>
    public static async Task<ResumePoint> FindAsync(string place, string @namespace, CancellationToken cancellation)
    {
        var from = CheckpointPlace.ToRead(place);
        StoredCheckpoint last = await new CheckpointCatalog(from.Store).ReadAsync(await from.ChosenAsync(null, cancellation), cancellation);
        if (last.Fault is not null)
        {
            throw new ToolException(last.Fault);
        }

        StoredJob[] jobs = [.. last.Jobs.Where(j => last.Tables.Contains(j.Name) && QualifiedName.Parse(j.Name) is var name && name.Namespace == @namespace && TrainingName.Read(name.Name) is not null)];
        return jobs.Length == 1
            ? new ResumePoint(from.Store, last, @namespace, jobs[0] with { Name = QualifiedName.Parse(jobs[0].Name).Name })
            : throw new ToolException($"checkpoint {last.Name} in {from} has {jobs.Length} trainings of `weir train` in {QualifiedName.Describe(@namespace)}; one can go on. Load it with `weir checkpoint restore` instead");
    }

    /// <summary>
    /// Checks that a training is the one of the checkpoint, before a cluster is started or changed for it. The number of passes may be another, and
    /// so may be the delay where gradients are summed in both or in neither.
    /// </summary>
    /// <exception cref="ToolException">It is not, or it has nothing left to do.</exception>
    public void Check(ILinearTraining training, DataSummary data, int workers)
    {
        if (Job.Clocks.Count != workers)
        {
            throw new ToolException($"the run to resume has {Job.Clocks.Count} workers, not {workers}: each has its share of the rows. Add --workers {Job.Clocks.Count}");
        }

        TrainingName began = TrainingName.Read(Job.Name)!, now = began with { Rows = data.Rows, Nonzeros = data.Nonzeros, Positives = data.Positives, Cut = training.Cut, HasIntercept = training.HasIntercept };
        if (now != began)
        {
            throw new ToolException($"the run to resume reads {began.Describe()}, and this command line {now.Describe()}: it goes on with the same data, --method, --batch or --blocks, and --no-intercept");
        }

        MapTable declared = Checkpoint.Declarations.Single(t => t.Name == Qualified(Job.Name));
        TableOptions asked = training.Table(Job.Name, null);
        MapTable wanted = declared with { Rule = asked.Rule, Aggregate = asked.Aggregate, Lifetime = new KeyLifetime(asked.ExpireAfterClocks, asked.AdmitAfterSightings) };
        if (wanted != declared)
        {
            throw new ToolException($"the run to resume had other options: its table has {declared.Shape}, and this command line asks for {wanted.Shape}");
        }

        long clock = Job.Clocks.Min(), iterations = training.Iterations(WorkerSchedule.Of(workers));
        if (clock >= iterations)
        {
            throw new ToolException(string.Create(
                CultureInfo.InvariantCulture, $"the run to resume is through with iteration {clock:N0}, and --passes asks for {iterations:N0} in all: it has nothing left to do. Add passes"));
        }
    }

    /// <summary>Loads it into a cluster in which nobody works.</summary>
    /// <exception cref="ToolException">Somebody works there.</exception>
    public async Task LoadAsync(WeirClient client, int hosts, CancellationToken cancellation)
    {
        ClusterStatus status = await client.GetStatusAsync(cancellation);
        if (status.Workers.FirstOrDefault(w => !w.Finished && (w.Process.Length > 0 || Checkpoint.Jobs.All(j => j.Name != Qualified(w.Job)))) is { } working)
        {
            throw new ToolException($"the cluster runs job {working.Job}, which would go back or end with a checkpoint that is loaded: end it first, or use `weir checkpoint restore`, which does not ask");
        }

        // A checkpoint is of the whole cluster, and would take others' work back as well.
        if (status.Namespaces.FirstOrDefault(n => n.Name != Namespace && n.WorkersAtWork > 0) is { } other)
        {
            throw new ToolException($"jobs run in {QualifiedName.Describe(other.Name)} too, which would go back or end with a checkpoint that is loaded: end them first, or use `weir checkpoint restore`, which does not ask");
        }

        await client.RestoreCheckpointAsync(Store, Checkpoint.Name, new RestoreOptions { Hosts = hosts }, cancellation);
    }

    private string Qualified(string name) => new QualifiedName(Namespace, name).ToString();
}
