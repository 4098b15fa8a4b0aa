using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Keeps a node's map as new as what its peers name (design R4): a frame of a newer map waits, bounded, until the map was fetched from the
/// manager or another member; else its sender hears Behind.
/// </summary>
internal sealed class MapFollower(NodeState node)
{
    private const long RetryMs = 100;

    private readonly List<Parked> _parked = [];
    private long _parkedBytes;
    private ulong _wanted;
    private LinkId _asked;
    private Instant _nextFetch;
    private int _attempts;

    internal readonly record struct Parked(LinkId Link, FrameBuffer Frame, ulong Version, Instant Deadline);

    /// <summary>Where to ask first until a map was read: the address this node was told to join, then the manager's that somebody named.</summary>
    public string? Preferred { get; set; } = node.Options.Join;

    /// <summary>
    /// Whom to ask at the given attempt, or null where nobody is known: the manager, and in between the others in turn, for it may be gone.
    /// </summary>
    public string? Source(int attempt)
    {
        ServerOptions options = node.Options;
        string? first = node.Map?.Manager.Address ?? Preferred;
        IEnumerable<string?> known = node.Map is { } map
            ? map.Members.Select(m => m.Address).Append(Preferred)
            : options.Acceptors.Append(options.Join);
        string[] others = [.. known.OfType<string>().Where(a => a != first && a != options.Address).Distinct()];
        bool asksFirst = first is not null && first != options.Address && (attempt % 2 == 0 || others.Length == 0);
        return asksFirst ? first : others.Length == 0 ? null : others[attempt / 2 % others.Length];
    }

    /// <summary>The differences that came did not lead on from this node's map: the whole one is asked for next.</summary>
    public bool ReadsWhole { get; set; }

    /// <summary>Keeps a frame until the map it names was read. False where there is no room: answer Behind at once.</summary>
    public bool Park(LinkId link, FrameBuffer frame, ulong version, Instant now)
    {
        if (_parkedBytes + frame.Capacity > node.Limits.WaitingBytes)
        {
            return false;
        }

        _parked.Add(new Parked(link, frame.Retain(), version, now.AfterMs(node.Limits.BehindWaitMs)));
        _parkedBytes += frame.Capacity;
        Want(version, now);
        return true;
    }

    /// <summary>
    /// Somebody named a map version: it is fetched if it is newer than this node's, from a node that named it at <paramref name="sender"/> first.
    /// Where a client named it before, whoever was asked then may be the manager that is gone: a node that has it is asked all the same.
    /// </summary>
    public void Want(ulong version, Instant now, LinkId sender = default)
    {
        if (version < _wanted || version <= (node.Map?.Version ?? 0) || (version == _wanted && (sender == LinkId.None || sender == _asked)))
        {
            return;
        }

        _attempts = version == _wanted ? _attempts : 0;
        (_wanted, _asked) = (version, sender);
        if (sender == LinkId.None)
        {
            Fetch(now);
        }
        else
        {
            Ask(sender, now);
        }
    }

    /// <summary>Takes the frames that may go on now, or that have waited too long.</summary>
    public List<Parked> Take(Instant now)
    {
        ulong version = node.Map?.Version ?? 0;
        List<Parked> taken = _parked.FindAll(p => p.Version <= version || p.Deadline <= now);
        if (taken.Count > 0)
        {
            _parked.RemoveAll(p => p.Version <= version || p.Deadline <= now);
            _parkedBytes -= taken.Sum(p => (long)p.Frame.Capacity);
        }

        return taken;
    }

    /// <summary>A link is gone: nobody reads the answers to what came over it. A push among it is as good as lost on the way; it comes again.</summary>
    public void LinkDown(LinkId link) => _parked.RemoveAll(parked =>
    {
        bool gone = parked.Link == link;
        if (gone)
        {
            _parkedBytes -= parked.Frame.Capacity;
            parked.Frame.Release();
        }

        return gone;
    });

    public bool HasParked => _parked.Count > 0;

    public void Tick(Instant now)
    {
        if (node.Map is null || _wanted > node.Map.Version)
        {
            if (now >= _nextFetch)
            {
                Fetch(now);
            }
        }
    }

    public void Dispose()
    {
        foreach (Parked parked in _parked)
        {
            parked.Frame.Release();
        }

        _parked.Clear();
    }

    private void Fetch(Instant now)
    {
        if (Source(_attempts++) is { } source)
        {
            Ask(node.Outbox.Open(source), now);
        }
    }

    private void Ask(LinkId link, Instant now)
    {
        _nextFetch = now.AfterMs(RetryMs);
        FrameHeader header = node.Header(FrameKind.ReadMap);
        header.MapVersion = ReadsWhole ? 0 : header.MapVersion;
        node.Outbox.Send(link, header, default(EmptyBody));
    }
}
