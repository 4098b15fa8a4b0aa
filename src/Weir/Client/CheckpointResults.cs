using Weir.Checkpoints;

namespace Weir.Client;

/// <summary>A checkpoint that was written.</summary>
/// <param name="Name">Its name in its store.</param>
/// <param name="Rows">Rows in it, over all tables.</param>
/// <param name="Bytes">Bytes of its files.</param>
/// <param name="Segments">Segments of the cluster that it is of; it is loaded into a cluster with as many.</param>
/// <param name="LeastClock">The smallest clock that a worker goes on from; -1 where it has no workers.</param>
public sealed record CheckpointSummary(string Name, long Rows, long Bytes, int Segments, long LeastClock)
{
    internal static CheckpointSummary Of(string name, Manifest manifest)
    {
        Dictionary<(uint, uint), long> clocks = manifest.Clocks.ToDictionary(c => (c.Group, c.Worker), c => c.Clock);
        IEnumerable<long> workers = manifest.Map.Jobs.SelectMany(j => j.Workers.Select((w, index) => Math.Max(w.From - 1, clocks.GetValueOrDefault((j.Group, (uint)index)))));
        return new CheckpointSummary(name, manifest.Rows, manifest.Bytes, manifest.Map.Segments, workers.DefaultIfEmpty(-1).Min());
    }
}

/// <summary>How a checkpoint is loaded.</summary>
public sealed record RestoreOptions
{
    /// <summary>Processes that must offer to host a job's workers before it goes on. Default 1.</summary>
    public int Hosts { get; init; } = 1;
}

/// <summary>Iterations of a worker that were acknowledged after the checkpoint was cut and are gone; the worker does them again.</summary>
/// <param name="Job">The job's name.</param>
/// <param name="Worker">The worker's index.</param>
/// <param name="First">The first that is gone.</param>
/// <param name="Last">The last.</param>
public sealed record LostIterations(string Job, int Worker, long First, long Last);

/// <summary>A checkpoint that was loaded.</summary>
/// <param name="Name">Its name in its store.</param>
/// <param name="Rows">Rows in it, over all tables.</param>
/// <param name="Bytes">Bytes of its files.</param>
/// <param name="Lost">What was acknowledged after the cut, as far as it is known: clients without a clock leave no trace.</param>
public sealed record RestoreSummary(string Name, long Rows, long Bytes, IReadOnlyList<LostIterations> Lost);
