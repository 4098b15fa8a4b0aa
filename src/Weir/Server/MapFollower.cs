using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Keeps a node's map as new as what its peers name (design R4): a frame of a newer map waits, bounded, until the map was fetched from the
/// register's node; else its sender hears Behind.
/// </summary>
internal sealed class MapFollower(NodeState node)
{
    private const long RetryMs = 100;

    private readonly List<Parked> _parked = [];
    private long _parkedBytes;
    private ulong _wanted;
    private Instant _nextFetch;

    internal readonly record struct Parked(LinkId Link, FrameBuffer Frame, ulong Version, Instant Deadline);

    /// <summary>Where the map is read until one was read: the address this node was told to join.</summary>
    public string? Source { get; set; } = node.Options.Join;

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

    /// <summary>Somebody named a map version: it is fetched if it is newer than this node's.</summary>
    public void Want(ulong version, Instant now)
    {
        if (version > _wanted && version > (node.Map?.Version ?? 0))
        {
            _wanted = version;
            Fetch(now);
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
        string? source = node.Map is { } map ? map.Register.Address : Source;
        if (source is not null && source != node.Options.Address)
        {
            _nextFetch = now.AfterMs(RetryMs);
            node.Outbox.Send(node.Outbox.Open(source), node.Header(FrameKind.ReadMap), default(EmptyBody));
        }
    }
}
