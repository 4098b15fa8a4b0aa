using System.Diagnostics;
using Weir.Client;
using Weir.Placement;

namespace Weir.Cli.Bench;

/// <summary>Waiting until a cluster has nothing more to mend or move.</summary>
internal static class RepairedCluster
{
    /// <summary>So long has no chain changed: longer than one step of a move waits for the next. In milliseconds.</summary>
    public const int QuietMs = 1000;

    private const int PollMs = 50;

    private const int MostMs = 120_000;

    /// <summary>Waits until there are so many members, every segment has all of its copies complete, and no chain has changed for a second; what else the map says may, as checkpoints have it do.</summary>
    /// <exception cref="ToolException">It did not come to that in two minutes.</exception>
    public static async Task<ClusterMap> AwaitAsync(WeirClient client, int members, CancellationToken cancellation)
    {
        long begin = Stopwatch.GetTimestamp(), since = begin;
        ClusterMap? still = null;
        while (true)
        {
            ClusterStatus status = await client.GetStatusAsync(cancellation);
            ClusterMap map = client.Core.State.Map!;
            if (still is null || map.Members.Length != still.Members.Length || HasMoved(still, map))
            {
                (still, since) = (map, Stopwatch.GetTimestamp());
            }

            if (map.Members.Length == members && status.Repairing.Count == 0 && status.Down.Count == 0 && Stopwatch.GetElapsedTime(since).TotalMilliseconds > QuietMs)
            {
                return map;
            }

            if (Stopwatch.GetElapsedTime(begin).TotalMilliseconds > MostMs)
            {
                throw new ToolException(
                    $"the cluster was not whole again in {MostMs / 1000} s: map {map.Version}, {map.Members.Length} of {members} servers, {status.Repairing.Count} segments under repair, {status.Down.Count} down");
            }

            await Task.Delay(PollMs, cancellation);
        }
    }

    private static bool HasMoved(ClusterMap from, ClusterMap to) =>
        from.Chains.Where((chain, segment) => chain.Epoch != to.Chains[segment].Epoch || !chain.Members.AsSpan().SequenceEqual(to.Chains[segment].Members)).Any();
}
