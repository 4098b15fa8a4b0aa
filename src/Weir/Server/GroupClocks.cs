using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// The clocks of all groups that this node knows (design R26): raised by workers, by other nodes' heartbeats and by the map, never lowered
/// within a generation.
/// </summary>
internal sealed class GroupClocks
{
    private readonly Dictionary<uint, VectorClock> _groups = [];

    public VectorClock? Group(uint group) => _groups.GetValueOrDefault(group);

    /// <summary>
    /// Groups come and go with the map, and so do their workers (design R8): one that is about to join counts for nothing until its first
    /// iteration is decided, one that is about to leave counts on until its last is. A finished worker holds nobody back.
    /// </summary>
    public void Adopt(ClusterMap map)
    {
        foreach (uint gone in _groups.Keys.Where(g => map.Job(g) is null).ToArray())
        {
            _groups.Remove(gone);
        }

        foreach (MapJob job in map.Jobs)
        {
            if (!_groups.TryGetValue(job.Group, out VectorClock? clock))
            {
                clock = new VectorClock(job.Workers.Length);
                _groups.Add(job.Group, clock);
            }

            clock.Grow(job.Workers.Length);
            for (int index = 0; index < job.Workers.Length; index++)
            {
                MapWorker worker = job.Workers[index];
                clock.Raise(index, worker.FinishedThrough);
                clock.TakesPart(index, worker.HasFirst ? worker.From : 1, !worker.HasFirst ? 0 : worker.IsFinished ? worker.FinishedThrough : worker.Last);
            }
        }
    }

    /// <summary>They were of a generation that is over.</summary>
    public void Clear() => _groups.Clear();

    /// <summary>Takes over a clock; true where it was news. A group or worker that the map does not name is ignored: it has ended.</summary>
    public bool Raise(in ClockEntry entry) =>
        _groups.TryGetValue(entry.Group, out VectorClock? clock) && entry.Worker < clock.Workers && clock.Raise((int)entry.Worker, entry.Clock);

    /// <summary>The group's largest clock; 0 for no such group.</summary>
    public long Maximum(uint group) => _groups.TryGetValue(group, out VectorClock? clock) ? clock.Maximum : 0;

    /// <summary>The group's smallest clock; -1 for no such group.</summary>
    public long Minimum(uint group) => _groups.TryGetValue(group, out VectorClock? clock) ? clock.Minimum : -1;

    /// <summary>Whom a pull of iteration <paramref name="required"/> waits for, as people read it.</summary>
    public string Waiting(uint group, long required)
    {
        if (!_groups.TryGetValue(group, out VectorClock? clock))
        {
            return $"group {group} has ended";
        }

        int slowest = clock.Slowest();
        return slowest < 0 ? "waiting for nobody" : $"waiting for worker {slowest}, at clock {clock[slowest]} of {required}";
    }

    public List<ClockEntry> Entries(ulong mapVersion)
    {
        List<ClockEntry> entries = [];
        foreach ((uint group, VectorClock clock) in _groups)
        {
            for (int worker = 0; worker < clock.Workers; worker++)
            {
                if (clock[worker] > 0)
                {
                    entries.Add(new ClockEntry(group, (uint)worker, clock[worker], mapVersion));
                }
            }
        }

        return entries;
    }
}
