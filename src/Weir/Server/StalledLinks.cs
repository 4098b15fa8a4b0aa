using Weir.World;

namespace Weir.Server;

/// <summary>
/// Which nodes cannot reach which, as heads and followers say of their successors while both reach the manager (design R6). A pair is kept apart for
/// a minute, then tried again; twice as long each time it fails. Kept by the manager alone: a new one learns it within a failure timeout. Not
/// thread-safe.
/// </summary>
internal sealed class StalledLinks(long timeoutMs)
{
    private const long ApartMs = 60_000;
    private const int MostDoublings = 6;

    /// <summary>Failure timeouts after which a newcomer that has not come yet will not.</summary>
    private const int StuckTimeouts = 4;

    private readonly Dictionary<(ulong From, ulong To), Link> _links = [];

    private readonly record struct Link(int Times, Instant Since, Instant Until, bool IsApart);

    /// <summary>Rises with every change of who is kept apart.</summary>
    public int Version { get; private set; }

    /// <summary>No two have been kept apart lately: everybody reaches everybody, as far as known.</summary>
    public bool IsEmpty => _links.Count == 0;

    /// <summary>Whether any two are kept apart.</summary>
    public bool IsAnyApart => _links.Values.Any(l => l.IsApart);

    /// <summary>A node says that its successor does not acknowledge.</summary>
    public void Stalled(ulong from, ulong to, Instant now)
    {
        if (_links.TryGetValue((from, to), out Link known) && now < known.Until)
        {
            return;
        }

        int times = known.Times + 1;
        _links[(from, to)] = new Link(times, now, now.AfterMs(ApartMs << Math.Min(times - 1, MostDoublings)), true);
        Version++;
    }

    /// <summary>Pairs whose time is over are tried again; a node that is gone is forgotten.</summary>
    public void Tick(Func<ulong, bool> isMember, Instant now)
    {
        foreach (((ulong From, ulong To) pair, Link link) in _links.ToArray())
        {
            if (!isMember(pair.From) || !isMember(pair.To) || now.MsSince(link.Until) > ApartMs << MostDoublings)
            {
                _links.Remove(pair);
                Version++;
            }
            else if (link.Until <= now && link.IsApart)
            {
                _links[pair] = link with { IsApart = false };
                Version++;
            }
        }
    }

    /// <summary>Neither is to follow the other.</summary>
    public bool AreApart(ulong one, ulong other) => IsKept((one, other)) || IsKept((other, one));

    /// <summary>It is the second successor that does not acknowledge to this node, or the same once more: the fault is the node's own.</summary>
    public bool IsAtFault(ulong node) => _links.Where(l => l.Key.From == node && l.Value.IsApart).Sum(l => l.Value.Times) > 1;

    /// <summary>Whether a newcomer for the pair's chains should have come long ago.</summary>
    public bool IsStuck(ulong from, ulong to, Instant now) =>
        _links.TryGetValue((from, to), out Link link) && link.IsApart && now.MsSince(link.Since) > StuckTimeouts * timeoutMs;

    private bool IsKept((ulong, ulong) pair) => _links.TryGetValue(pair, out Link link) && link.IsApart;
}
