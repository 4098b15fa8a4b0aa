using System.Diagnostics.CodeAnalysis;
using Weir.Keys;
using Weir.World;

namespace Weir.Server;

/// <summary>One held part: its identity, the newest push answered for it (itself, or a redo answered Held), and where to acknowledge.</summary>
internal sealed class Contribution(WorkerId worker, Seq seq, ulong[] keys, float[] values)
{
    public WorkerId Worker { get; } = worker;

    public Seq Seq { get; } = seq;

    public ulong[] Keys { get; } = keys;

    public float[] Values { get; } = values;

    /// <summary>With what the object itself takes: parts without rows count as well.</summary>
    public long Bytes => 128 + (Keys.Length * 8L) + (Values.Length * 4L);

    public ulong Session { get; set; }

    public ulong N { get; set; }

    public LinkId Link { get; set; }
}

/// <summary>
/// What one (table, segment) of an aggregating table holds (design R19 to R21): contributions of open iterations, received[] (volatile,
/// beside last[]), and through which iteration each worker has sent everything.
/// </summary>
internal sealed class Aggregation
{
    private readonly SortedList<long, List<Contribution>> _open = [];
    private readonly Dictionary<WorkerId, LastPush> _received = [];
    private readonly Dictionary<WorkerId, List<(ulong Session, long Iteration, ulong N)>> _waitingSents = [];
    private long[] _through = [];

    /// <summary>The last closed iteration.</summary>
    public long Closed { get; set; }

    public long HeldBytes { get; private set; }

    /// <summary>The last iteration of which a part is held; 0 for none.</summary>
    public long LastOpen => _open.Count == 0 ? 0 : _open.GetKeyAtIndex(_open.Count - 1);

    /// <summary>The oldest iteration could close but for the node's memory limit.</summary>
    public bool IsFull { get; set; }

    /// <summary>The oldest iteration could close but for the quota of the table's namespace.</summary>
    public bool IsOverQuota { get; set; }

    public IReadOnlyDictionary<long, List<Contribution>> Open => _open;

    /// <summary>received[] of a worker: what came, applied or held; begins as last[].</summary>
    public LastPush Received(WorkerId worker, in LastPush last) => _received.TryGetValue(worker, out LastPush received) ? received : last;

    public void SetReceived(WorkerId worker, in LastPush received) => _received[worker] = received;

    public void Hold(Contribution contribution)
    {
        if (!_open.TryGetValue(contribution.Seq.Iteration, out List<Contribution>? held))
        {
            held = [];
            _open.Add(contribution.Seq.Iteration, held);
        }

        held.Add(contribution);
        HeldBytes += contribution.Bytes;
    }

    /// <summary>The worker's held contribution with the smallest identity not below <paramref name="seq"/>: it stands for a redo of it.</summary>
    public Contribution? Standing(WorkerId worker, Seq seq)
    {
        Contribution? standing = null;
        foreach (List<Contribution> held in _open.Values)
        {
            foreach (Contribution contribution in held)
            {
                if (contribution.Worker == worker && contribution.Seq >= seq && (standing is null || contribution.Seq < standing.Seq))
                {
                    standing = contribution;
                }
            }
        }

        return standing;
    }

    /// <summary>The held contribution that a push (session, n) was answered with, so that its resend learns of it.</summary>
    public Contribution? AnsweredBy(WorkerId worker, ulong session, ulong n)
    {
        foreach (List<Contribution> held in _open.Values)
        {
            foreach (Contribution contribution in held)
            {
                if (contribution.Worker == worker && contribution.Session == session && contribution.N == n)
                {
                    return contribution;
                }
            }
        }

        return null;
    }

    /// <summary>Takes note of a Sent: at once where its n has been received, else it waits (design R20). True where a worker got further.</summary>
    public bool Sent(WorkerId worker, int workers, ulong session, long iteration, ulong n, in LastPush last)
    {
        EnsureWorkers(workers);
        if (iteration <= _through[worker.Index])
        {
            return false;
        }

        LastPush received = Received(worker, last);
        if (received.NIn(session) >= n)
        {
            _through[worker.Index] = iteration;
            return true;
        }

        if (!_waitingSents.TryGetValue(worker, out List<(ulong, long, ulong)>? waiting))
        {
            waiting = [];
            _waitingSents.Add(worker, waiting);
        }

        // A worker has few iterations open; its newest words are enough.
        if (!waiting.Contains((session, iteration, n)))
        {
            if (waiting.Count >= 16)
            {
                waiting.RemoveAt(0);
            }

            waiting.Add((session, iteration, n));
        }

        return false;
    }

    /// <summary>A part was received: Sents that waited for it count now. True where the worker got further.</summary>
    public bool Advance(WorkerId worker)
    {
        if (!_waitingSents.TryGetValue(worker, out List<(ulong Session, long Iteration, ulong N)>? waiting)
            || !_received.TryGetValue(worker, out LastPush received))
        {
            return false;
        }

        bool further = false;
        for (int i = waiting.Count - 1; i >= 0; i--)
        {
            (ulong session, long iteration, ulong n) = waiting[i];
            if (received.NIn(session) >= n)
            {
                further |= iteration > _through[worker.Index];
                _through[worker.Index] = Math.Max(_through[worker.Index], iteration);
                waiting.RemoveAt(i);
            }
        }

        return further;
    }

    /// <summary>Through which iteration all workers of the group are: what may close.</summary>
    public long MayClose(VectorClock clocks)
    {
        EnsureWorkers(clocks.Workers);
        return clocks.MinimumOf(_through);
    }

    /// <summary>The contributions of the oldest open iteration up to <paramref name="iteration"/>, in the order of the sum: (worker, seq).</summary>
    public bool TryOldest(long iteration, out long oldest, [NotNullWhen(true)] out List<Contribution>? contributions)
    {
        if (_open.Count == 0 || _open.GetKeyAtIndex(0) > iteration)
        {
            (oldest, contributions) = (0, null);
            return false;
        }

        (oldest, contributions) = (_open.GetKeyAtIndex(0), _open.GetValueAtIndex(0));
        contributions.Sort((a, b) => a.Worker.CompareTo(b.Worker) is var order && order != 0 ? order : a.Seq.CompareTo(b.Seq));
        return true;
    }

    public void Close(long iteration)
    {
        if (_open.Remove(iteration, out List<Contribution>? held))
        {
            HeldBytes -= held.Sum(c => c.Bytes);
        }

        Closed = iteration;
    }

    /// <summary>This node is no longer the head, or has just become it: what a head keeps for itself begins anew (design R19, R20).</summary>
    public void Reset()
    {
        _open.Clear();
        _received.Clear();
        _waitingSents.Clear();
        Array.Clear(_through);
        HeldBytes = 0;
        IsFull = IsOverQuota = false;
    }

    public void Forget(Func<WorkerId, bool> ended)
    {
        foreach (WorkerId worker in _received.Keys.Where(ended).ToArray())
        {
            _received.Remove(worker);
            _waitingSents.Remove(worker);
        }

        Drop(c => ended(c.Worker));
    }

    /// <summary>Drops held contributions.</summary>
    public void Drop(Predicate<Contribution> isDropped)
    {
        foreach ((long iteration, List<Contribution> held) in _open.ToArray())
        {
            HeldBytes -= held.FindAll(isDropped).Sum(c => c.Bytes);
            held.RemoveAll(isDropped);
            if (held.Count == 0)
            {
                _open.Remove(iteration);
            }
        }
    }

    /// <summary>
    /// The left fold of contributions in the order given: ((c1 + c2) + c3) key by key (design R19). Keys of each are in Mix order and so is the
    /// result.
    /// </summary>
    public static (ulong[] Keys, float[] Values) Fold(IReadOnlyList<Contribution> contributions, int width)
    {
        ulong[] keys = contributions[0].Keys;
        float[] values = contributions[0].Values;
        for (int i = 1; i < contributions.Count; i++)
        {
            (keys, values) = Merge(keys, values, contributions[i].Keys, contributions[i].Values, width);
        }

        return (keys, values);
    }

    private static (ulong[] Keys, float[] Values) Merge(ulong[] aKeys, float[] a, ulong[] bKeys, float[] b, int width)
    {
        var keys = new ulong[aKeys.Length + bKeys.Length];
        var values = new float[keys.Length * width];
        int i = 0, j = 0, count = 0;
        while (i < aKeys.Length || j < bKeys.Length)
        {
            int order = i == aKeys.Length ? 1 : j == bKeys.Length ? -1 : Mix.Of(aKeys[i]).CompareTo(Mix.Of(bKeys[j]));
            Span<float> row = values.AsSpan(count * width, width);
            if (order <= 0)
            {
                keys[count] = aKeys[i];
                a.AsSpan(i * width, width).CopyTo(row);
                i++;
            }

            if (order >= 0)
            {
                keys[count] = bKeys[j];
                ReadOnlySpan<float> addend = b.AsSpan(j * width, width);
                for (int f = 0; f < width; f++)
                {
                    row[f] = order == 0 ? row[f] + addend[f] : addend[f];
                }

                j++;
            }

            count++;
        }

        Array.Resize(ref keys, count);
        Array.Resize(ref values, count * width);
        return (keys, values);
    }

    /// <summary>What is open and who is through, in a line for people.</summary>
    public string Describe() =>
        $"closed {Closed} open {string.Join(",", _open.Select(o => $"{o.Key}({string.Join(",", o.Value.Select(c => $"{c.Worker.Index}:{c.Session}.{c.N}"))})"))} through {string.Join(",", _through)} sents {string.Join(",", _waitingSents.SelectMany(s => s.Value.Select(v => $"{s.Key.Index}:{v.Session}.{v.N}@{v.Iteration}")))};";

    private void EnsureWorkers(int workers)
    {
        if (_through.Length < workers)
        {
            Array.Resize(ref _through, workers);
        }
    }
}
