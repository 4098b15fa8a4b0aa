using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// When members and processes were last heard, and what they said of themselves: what a silence is counted from. The manager keeps it and so do
/// its standbys, so that one that takes over need not wait for anybody afresh (design R3). Not thread-safe.
/// </summary>
internal sealed class HeardMembers
{
    private readonly Dictionary<(MemberRole Role, ulong Id), Instant> _heard = [];
    private readonly Dictionary<ulong, ulong> _rows = [];
    private readonly Dictionary<ulong, ulong> _read = [];

    /// <summary>A member or process was heard; of a node also its rows, and the map that it has read with all clocks it knew then.</summary>
    public void Heard(MemberRole role, ulong id, ulong rows, ulong mapVersion, Instant now)
    {
        _heard[(role, id)] = now;
        if (role == MemberRole.Node)
        {
            _rows[id] = rows;
            _read[id] = mapVersion;
        }
    }

    /// <summary>Rows that a node held when it was last heard.</summary>
    public ulong Rows(ulong node) => _rows.GetValueOrDefault(node);

    /// <summary>The newest map that a node is known to have read, with its clocks of then taken over here.</summary>
    public ulong Read(ulong node) => _read.GetValueOrDefault(node);

    /// <summary>Whether somebody has been silent for longer than the timeout; counted from the first question where it was never heard.</summary>
    public bool IsSilent(MemberRole role, ulong id, long timeoutMs, Instant now)
    {
        if (!_heard.TryGetValue((role, id), out Instant heard))
        {
            _heard[(role, id)] = now;
            return false;
        }

        return now.MsSince(heard) > timeoutMs;
    }

    /// <summary>Whether somebody was heard within the last so many milliseconds.</summary>
    public bool IsHeard(MemberRole role, ulong id, long withinMs, Instant now) => _heard.TryGetValue((role, id), out Instant heard) && now.MsSince(heard) <= withinMs;

    /// <summary>While this node was asleep or cut off it could hear nobody: that time is not the others' silence.</summary>
    public void Forgive(long gapMs, Instant now)
    {
        foreach ((MemberRole, ulong) key in _heard.Keys.ToArray())
        {
            _heard[key] = Instant.Earlier(now, _heard[key].AfterMs(gapMs));
        }
    }

    /// <summary>Since when nobody at all was heard, as of now.</summary>
    public long DeafMs(Instant now) => _heard.Count == 0 ? 0 : _heard.Values.Min(now.MsSince);

    /// <summary>Nobody tells this node anything any more: what it knows grows old, and would pass for silence later.</summary>
    public void Clear()
    {
        _heard.Clear();
        _rows.Clear();
        _read.Clear();
    }

    /// <summary>Whoever asked to come in and did not is forgotten: anybody may ask, under any number.</summary>
    public void ForgetStrangers(ClusterMap map)
    {
        if (_heard.Count <= map.Members.Length + map.Processes.Length)
        {
            return;
        }

        HashSet<(MemberRole, ulong)> known = [.. map.Members.Select(m => (MemberRole.Node, m.Node)), .. map.Processes.Select(p => (MemberRole.Process, p.Process))];
        foreach ((MemberRole Role, ulong Id) stranger in _heard.Keys.Where(k => !known.Contains(k)).ToArray())
        {
            _heard.Remove(stranger);
            if (stranger.Role == MemberRole.Node)
            {
                _rows.Remove(stranger.Id);
                _read.Remove(stranger.Id);
            }
        }
    }
}
