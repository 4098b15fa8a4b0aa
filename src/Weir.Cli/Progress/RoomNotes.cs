using Weir.Client;

namespace Weir.Cli.Progress;

/// <summary>Says that a run's pushes wait for memory or a quota, which nobody sees from a rate that falls.</summary>
internal static class RoomNotes
{
    private const int LookMs = 1000;
    private const int LooksBetweenNotes = 30;

    /// <summary>Looks until it is cancelled, and then ends without a fault.</summary>
    public static async Task RunAsync(WeirClient client, Action<string> note, CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(LookMs));
        int waited = 0, sinceNote = LooksBetweenNotes;
        while (await TickAsync(timer, cancellation))
        {
            string? reason = client.LacksRoom;
            waited = reason is null ? 0 : waited + 1;
            sinceNote++;

            // Twice in a row: a moment's lack, before rows expire or a server has come, is nobody's business.
            if (reason is not null && waited > 1 && sinceNote >= LooksBetweenNotes)
            {
                note($"pushes wait: {reason}");
                sinceNote = 0;
            }
        }
    }

    private static async Task<bool> TickAsync(PeriodicTimer timer, CancellationToken cancellation)
    {
        try
        {
            return await timer.WaitForNextTickAsync(cancellation);
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
