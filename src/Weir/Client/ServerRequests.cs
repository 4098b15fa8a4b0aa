using System.Globalization;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>An operator's requests about servers: drain one, let it have segments again, forget it.</summary>
internal sealed class ServerRequests(WeirClient client)
{
    /// <summary>Between two looks at the map.</summary>
    private const long LookMs = 50;

    /// <summary>Fewer digits of an id may name another server tomorrow.</summary>
    private const int FewestDigits = 4;

    private ClientState State => client.State;

    public async Task DrainAsync(string server, IProgress<int>? progress, CancellationToken cancellation)
    {
        ulong node = await FindAsync(server, cancellation);
        int left = (int)(await client.ChangeAsync(FrameKind.Drain, new DrainBody(node, 0, false), cancellation)).First;
        progress?.Report(left);
        Instant deadline = State.Now.AfterMs(State.Options.DeadlineMs);
        ulong drained = 0;
        while (left > 0)
        {
            await State.Timers.Delay(LookMs, cancellation);
            ClusterMap map = await client.ReadMapAsync(State.Options.DeadlineMs, cancellation);
            if (map.Member(node) is { IsDraining: false } back)
            {
                if (back.Incarnation == drained)
                {
                    throw new WeirException(Status.Conflict, $"the draining of server {server} was taken back");
                }

                // It was started again meanwhile and came in like any other, with nothing (simulation seed 150).
                await client.ChangeAsync(FrameKind.Drain, new DrainBody(node, 0, false), cancellation);
            }
            else
            {
                drained = map.Member(node)?.Incarnation ?? drained;
            }

            // One that is back may hold nothing yet, and is not drained for that.
            int now = Math.Max(Held(map, node), map.Member(node) is { IsDraining: false } ? 1 : 0);
            if (now != left)
            {
                (left, deadline) = (now, State.Now.AfterMs(State.Options.DeadlineMs));
                progress?.Report(left);
            }
            else if (State.Now >= deadline)
            {
                throw new WeirException(
                    Status.DeadlineExceeded, $"server {server} still stands in the chains of {left} segments and none has moved for {State.Options.DeadlineMs / 1000.0:0.#} s; the cluster goes on trying");
            }
        }
    }

    public async Task UndrainAsync(string server, CancellationToken cancellation) =>
        await client.ChangeAsync(FrameKind.Drain, new DrainBody(await FindAsync(server, cancellation), 0, true), cancellation);

    public async Task<int> ForgetAsync(string server, bool givesUp, CancellationToken cancellation)
    {
        var body = new ForgetBody(await FindAsync(server, cancellation), givesUp);
        return (int)(await client.ChangeWhenFreeAsync(FrameKind.Forget, () => Task.FromResult(body), cancellation)).First;
    }

    private static int Held(ClusterMap map, ulong node) => map.IndexOf(node) is >= 0 and int index ? map.Chains.Count(c => c.PlaceOf(index) >= 0) : 0;

    /// <summary>The server that an operator means, a member or one that took segments along.</summary>
    private async Task<ulong> FindAsync(string server, CancellationToken cancellation)
    {
        ClusterMap map = await client.ReadMapAsync(State.Options.DeadlineMs, cancellation);
        (ulong Node, string Address)[] known = [.. map.Members.Select(m => (m.Node, m.Address)), .. map.Losses.Select(l => (l.Node, l.Address))];
        bool isId = server.Length >= FewestDigits && ulong.TryParse(server, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out _);
        ulong[] found = [.. known.Where(k => k.Address == server || (isId && k.Node.ToString("x16", CultureInfo.InvariantCulture).StartsWith(server, StringComparison.OrdinalIgnoreCase)))
            .Select(k => k.Node).Distinct()];
        if (found.Length > 1 && Array.FindAll(map.Members, m => m.Address == server) is [MapMember only])
        {
            // Another server was lost at that address before.
            return only.Node;
        }

        return found.Length == 1 ? found[0] : throw new WeirException(
            Status.Conflict,
            $"{(found.Length == 0 ? $"there is no server {server}" : $"{found.Length} servers are meant by {server}")}; the cluster has {string.Join(", ", map.Members.Select(m => $"{m.Node:x16} at {m.Address}"))}");
    }
}
