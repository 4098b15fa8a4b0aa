using Weir.Checkpoints;
using Weir.Client;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// An operator who saves checkpoints one after another while all go on, and loads the last of them: it must hold a prefix of each segment and aggregating
/// tables as of one iteration (invariant 8), and what goes on from it must end as if nothing had been. One that fails under faults is tried again;
/// once nothing fails any more one must be completed. Not thread-safe.
/// </summary>
internal sealed class CheckpointWorkload(
    SimCluster cluster, SwarmOptions options, ClusterProbe probe, IReadOnlyList<TokenWorkload> pushers, IReadOnlyList<TrainingWorkload> jobs, Func<string, Task<WeirClient>> connect, Rng rng)
{
    private const int MostSaves = 4;
    private const long MostPauseMs = 200;
    private const long MostWriteMs = 12;

    private readonly MemoryCheckpoints _store = new() { Delay = () => cluster.Scheduler.Delay(rng.Below(MostWriteMs), CancellationToken.None) };
    private TaskCompletionSource _death = new();
    private SavedCheckpoint? _last;
    private int _begun;
    private int _loadings;

    /// <summary>Who writes the checkpoints, and may die; null where nobody is there yet.</summary>
    public WeirClient? Coordinator { get; private set; }

    /// <summary>What was loaded amid the faults; null where nothing was.</summary>
    public LoadedCheckpoint? Loaded { get; private set; }

    /// <summary>What took place, for people.</summary>
    public Action<string> Trail { get; init; } = _ => { };

    /// <summary>Saves until the faults stop, and on until one checkpoint is complete; loads it where that is to be done amid the faults.</summary>
    public async Task RunAsync(Func<bool> stops)
    {
        int most = 1 + rng.Below(MostSaves), saved = 0;
        bool isToBeLoaded = options.Checkpoints == CheckpointUse.RestoredMidway;
        while (_last is null || isToBeLoaded || (saved < most && !stops()))
        {
            await cluster.Scheduler.Delay(rng.Below(MostPauseMs), CancellationToken.None);
            if (isToBeLoaded && _last is not null && (stops() || rng.Chance(1, 2)))
            {
                isToBeLoaded = false;
                await LoadMidwayAsync();
            }
            else
            {
                saved += await SaveAsync() ? 1 : 0;
            }
        }
    }

    /// <summary>A process died.</summary>
    public void Died(WeirClient process)
    {
        if (process == Coordinator)
        {
            Coordinator = null;
            _death.SetResult();
        }
    }

    /// <summary>Loads the last checkpoint through a client into the cluster that it is of, or another, and judges what is there, before anything goes on.</summary>
    /// <param name="client">Who loads and reads.</param>
    /// <param name="tokens">The table of the tokens.</param>
    /// <param name="own">The table of the pushers' own rows.</param>
    /// <param name="bitsAreSure">As for <see cref="TrainingWorkload.CheckAsync"/>.</param>
    public async Task LoadAsync(WeirClient client, WeirTable tokens, WeirTable own, bool bitsAreSure)
    {
        SavedCheckpoint saved = _last!;
        Trail($"checkpoint {saved.Name} is loaded");
        await client.RestoreCheckpointAsync(_store, saved.Name);
        Dictionary<ulong, float> tokenRows = await RowsAsync(client, tokens), ownRows = await RowsAsync(client, own);
        foreach (TokenWorkload pusher in pushers)
        {
            pusher.CheckRestored(saved, tokenRows, ownRows);
        }

        HashSet<ulong> known = [.. pushers.SelectMany(p => p.Tokens)];
        Invariant.That(tokenRows.Keys.All(known.Contains), $"checkpoint {saved.Name}: no row of the tokens' table is anybody else's");
        for (int job = 0; job < jobs.Count; job++)
        {
            await jobs[job].CheckRestoredAsync(client, saved, saved.Clocked[job], saved.Begun[job], await RowsAsync(client, jobs[job].Counts), bitsAreSure);
        }
    }

    /// <returns>Whether a checkpoint was completed.</returns>
    private async Task<bool> SaveAsync()
    {
        string name = $"c{++_begun:D3}";
        if (Coordinator is null)
        {
            _death = new TaskCompletionSource();
            Coordinator = await connect($"coordinator {_begun}");
        }

        Instant began = cluster.Scheduler.Now;
        int loadings = _loadings;
        long[][] clocked = [.. jobs.Select(j => j.Clocked)];
        Task<CheckpointSummary> saving = Coordinator.SaveCheckpointAsync(_store, name);
        await Task.WhenAny(saving, _death.Task);
        if (saving.IsFaulted && saving.Exception.InnerException is WeirException failure)
        {
            Trail($"checkpoint {name} failed: {failure.Message}");
        }
        else if (saving.IsCompleted)
        {
            await saving;
            Trail($"checkpoint {name} is complete");
        }

        // One that was written while another was loaded is of one generation or the other: nobody says which pushes it lies behind.
        if (!saving.IsCompletedSuccessfully || loadings != _loadings)
        {
            return false;
        }

        string? fault = Manifest.TryDecode(_store.Objects[$"{name}/{Manifest.Name}"], out Manifest manifest);
        Invariant.That(fault is null, $"the manifest of checkpoint {name}, just written, {fault}");
        await new CheckpointCatalog(_store).KeepAsync(1);
        _last = new SavedCheckpoint(name, manifest, began, cluster.Scheduler.Now, clocked, [.. jobs.Select(j => j.Begun)]);
        return true;
    }

    /// <summary>Loads the last checkpoint while all go on, in half of the cases while the next one is being written.</summary>
    private async Task LoadMidwayAsync()
    {
        Task<bool> saving = rng.Chance(1, 2) ? SaveAsync() : Task.FromResult(false);
        await cluster.Scheduler.Delay(rng.Below(40), CancellationToken.None);
        WeirClient client = await connect("restorer");
        while (!AreAllWell())
        {
            // The loading places all segments anew, on the dead too who were not yet missed: more of a chain might then be gone than it survives.
            await cluster.Scheduler.Delay(10, CancellationToken.None);
        }

        SavedCheckpoint saved = _last!;
        Instant began = cluster.Scheduler.Now;
        _loadings++;
        bool isLoaded = false;
        while (!isLoaded)
        {
            Trail($"checkpoint {saved.Name} is loaded while all go on");
            probe.AwaitedGeneration = probe.Newest!.Generation + 1;
            try
            {
                await client.RestoreCheckpointAsync(_store, saved.Name);
                isLoaded = true;
            }
            catch (WeirException failure)
            {
                Trail($"it failed: {failure.Message}");
                await cluster.Scheduler.Delay(50, CancellationToken.None);
            }
        }

        Loaded = new LoadedCheckpoint(saved, began, client.State.Map!.Generation);
        foreach (TrainingWorkload job in jobs)
        {
            job.HostAgain(client.State.Map);
        }

        await saving;
    }

    private bool AreAllWell() => Array.TrueForAll(probe.Newest!.Members, m => cluster.Runs((int)m.Node - 1) && cluster.Nodes[(int)m.Node - 1].Incarnation == m.Incarnation);

    private static async Task<Dictionary<ulong, float>> RowsAsync(WeirClient reader, WeirTable table)
    {
        Dictionary<ulong, float> rows = [];
        await foreach (RowBatch batch in reader.ScanAsync(table))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                rows.Add(batch.Keys.Span[i], batch.Values.Span[i * table.Width]);
            }
        }

        return rows;
    }
}
