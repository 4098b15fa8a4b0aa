using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// When members and processes were last heard, and what they said of themselves: what a silence is counted from. The manager keeps it and so do
/// its standbys, so that one that takes over need not wait for anybody afresh (design R3). Each start of a node or process is somebody else (R5): one that
/// comes back empty and asks to be let in is no sign of life of what it was. Not thread-safe.
/// </summary>
internal sealed class HeardMembers
{
    private readonly Dictionary<(MemberRole Role, ulong Id, ulong Incarnation), Silence> _heard = [];
    private readonly Dictionary<(ulong Node, ulong Incarnation), (ulong Rows, ulong Read)> _told = [];

    /// <param name="Since">What a silence is counted from: also the first question after one that was never heard, and later where it is forgiven.</param>
    /// <param name="Heard">When it was truly heard; null for never.</param>
    private readonly record struct Silence(Instant Since, Instant? Heard);

    /// <summary>A member or process was heard, or one that asks to become one.</summary>
    public void Heard(MemberRole role, ulong id, ulong incarnation, Instant now) => _heard[(role, id, incarnation)] = new Silence(now, now);

    /// <summary>A node says how many rows it holds, and which map it has read, with all clocks it knew then.</summary>
    public void Told(ulong node, ulong incarnation, ulong rows, ulong mapVersion) => _told[(node, incarnation)] = (rows, mapVersion);

    /// <summary>Rows that a node held when it was last heard.</summary>
    public ulong Rows(in MapMember member) => _told.GetValueOrDefault((member.Node, member.Incarnation)).Rows;

    /// <summary>The newest map that a node is known to have read, with its clocks of then taken over here.</summary>
    public ulong Read(in MapMember member) => _told.GetValueOrDefault((member.Node, member.Incarnation)).Read;

    /// <summary>Whether somebody has been silent for longer than the timeout; counted from the first question where it was never heard.</summary>
    public bool IsSilent(MemberRole role, ulong id, ulong incarnation, long timeoutMs, Instant now)
    {
        if (!_heard.TryGetValue((role, id, incarnation), out Silence silence))
        {
            _heard[(role, id, incarnation)] = new Silence(now, null);
            return false;
        }

        return now.MsSince(silence.Since) > timeoutMs;
    }

    /// <summary>Whether a node was truly heard within the last so many milliseconds: not to be counted silent is not enough.</summary>
    public bool IsHeard(in MapMember member, long withinMs, Instant now) =>
        _heard.TryGetValue((MemberRole.Node, member.Node, member.Incarnation), out Silence silence) && silence.Heard is { } heard && now.MsSince(heard) <= withinMs;

    /// <summary>While this node was asleep or cut off it could hear nobody: that time is not the others' silence.</summary>
    public void Forgive(long gapMs, Instant now)
    {
        foreach ((MemberRole, ulong, ulong) key in _heard.Keys.ToArray())
        {
            _heard[key] = _heard[key] with { Since = Instant.Earlier(now, _heard[key].Since.AfterMs(gapMs)) };
        }
    }

    /// <summary>The silence of members counts as no longer than so many milliseconds, as of now.</summary>
    public void Spare(long silentMs, Instant now)
    {
        foreach ((MemberRole Role, ulong, ulong) key in _heard.Keys.Where(key => key.Role == MemberRole.Node).ToArray())
        {
            if (now.MsSince(_heard[key].Since) > silentMs)
            {
                _heard[key] = _heard[key] with { Since = now.AfterMs(-silentMs) };
            }
        }
    }

    /// <summary>Since when nobody at all was heard, as of now.</summary>
    public long DeafMs(Instant now) => _heard.Count == 0 ? 0 : _heard.Values.Min(silence => now.MsSince(silence.Since));

    /// <summary>Nobody tells this node anything any more: what it knows grows old, and would pass for silence later.</summary>
    public void Clear()
    {
        _heard.Clear();
        _told.Clear();
    }

    /// <summary>Whoever asked to come in and did not is forgotten: anybody may ask, under any number.</summary>
    public void ForgetStrangers(ClusterMap map)
    {
        if (_heard.Count > map.Members.Length + map.Processes.Length)
        {
            Forget(map);
        }
    }

    private void Forget(ClusterMap map)
    {
        HashSet<(MemberRole, ulong, ulong)> known =
        [
            .. map.Members.Select(m => (MemberRole.Node, m.Node, m.Incarnation)), .. map.Processes.Select(p => (MemberRole.Process, p.Process, p.Incarnation)),
        ];
        foreach ((MemberRole Role, ulong Id, ulong Incarnation) stranger in _heard.Keys.Where(k => !known.Contains(k)).ToArray())
        {
            _heard.Remove(stranger);
            _told.Remove((stranger.Id, stranger.Incarnation));
        }
    }
}
