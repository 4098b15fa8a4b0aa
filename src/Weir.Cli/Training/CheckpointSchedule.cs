using Weir.Checkpoints;
using Weir.Cli.Commands;
using Weir.Client;
using Weir.World;

namespace Weir.Cli.Training;

/// <summary>How often a run writes checkpoints: after so much time, or after so many clocks of its slowest worker.</summary>
/// <param name="Milliseconds">The time; 0 where clocks count.</param>
/// <param name="Clocks">The clocks; 0 where time counts.</param>
internal readonly record struct CheckpointInterval(long Milliseconds, long Clocks)
{
    /// <summary>Five minutes: what is lost with a cluster is then small against what training it took, and writing hardly shows.</summary>
    public static readonly CheckpointInterval Default = new(300_000, 0);
}

/// <summary>Writes checkpoints while a run goes on, and deletes all but the last. A checkpoint that fails is told of and does not end the run.</summary>
/// <param name="client">The cluster's client.</param>
/// <param name="store">Where they go.</param>
/// <param name="interval">How often.</param>
/// <param name="kept">How many stay.</param>
internal sealed class CheckpointSchedule(WeirClient client, ICheckpointStore store, CheckpointInterval interval, int kept)
{
    private const int LookMs = 20;

    /// <summary>Writes one at each interval, until it is cancelled.</summary>
    /// <param name="clock">The clock of the slowest worker.</param>
    /// <param name="say">Called with a line for people.</param>
    /// <param name="note">Called with a line about what failed.</param>
    /// <param name="cancellation">Ends it; a checkpoint under way is none.</param>
    public async Task RunAsync(Func<long> clock, Action<string> say, Action<string> note, CancellationToken cancellation)
    {
        long next = clock() + interval.Clocks;
        while (!cancellation.IsCancellationRequested)
        {
            await Task.Delay(interval.Milliseconds > 0 ? TimeSpan.FromMilliseconds(interval.Milliseconds) : TimeSpan.FromMilliseconds(LookMs), cancellation);
            if (interval.Clocks > 0 && clock() < next)
            {
                continue;
            }

            next = clock() + interval.Clocks;
            try
            {
                CheckpointSummary written = await client.SaveCheckpointAsync(store, CheckpointCommand.NewName(DateTimeOffset.UtcNow), cancellation);
                await new CheckpointCatalog(store).KeepAsync(kept, cancellation);
                say(CheckpointCommand.Describe(written));
            }
            catch (Exception failure) when (failure is WeirException or IOException or UnauthorizedAccessException)
            {
                note($"no checkpoint was written: {failure.Message}");
            }
        }
    }
}
