using Weir.Wire;

namespace Weir.Client;

/// <summary>What a call that waits for room is cut into once it has some. The values are the caller's until the call's task ends.</summary>
internal sealed class UncutPush(WeirTable table, KeySlices slices, ReadOnlyMemory<float> values, PartOperation operation, Keys.Seq seq)
{
    private bool _kept;

    public WeirTable Table { get; } = table;

    public KeySlices Slices { get; } = slices;

    public ReadOnlyMemory<float> Values { get; private set; } = values;

    public PartOperation Operation { get; } = operation;

    public Keys.Seq Seq { get; } = seq;

    /// <summary>The caller takes its buffer back: from now on a copy stands for it.</summary>
    public void KeepValues()
    {
        if (!_kept)
        {
            _kept = true;
            Values = Values.ToArray();
        }
    }
}

/// <summary>
/// Calls to push that wait for room, in call order. Two kinds need none: deletes, which Full must not keep waiting (design R12), and calls
/// of an aggregating job's lowest iteration, for whose end everything else that is pending may be waiting (R19). Guarded by the client's gate.
/// </summary>
internal sealed class WaitingPushes
{
    private readonly List<PushCall> _calls = [];

    public void Add(PushCall call) => _calls.Add(call);

    public void Remove(PushCall call) => _calls.Remove(call);

    /// <summary>The calls of one session, in call order.</summary>
    public PushCall[] Of(PushSession session) => [.. _calls.Where(c => c.Session == session)];

    /// <summary>The next call to cut, taken out; null where all that wait need room. Calls to one table are taken in call order.</summary>
    public PushCall? TakeNext(bool room, bool roomForDeletes, Func<PushCall, bool> needed)
    {
        for (int i = 0; i < _calls.Count; i++)
        {
            PushCall call = _calls[i];
            if (room || (roomForDeletes && call.Uncut!.Operation == PartOperation.Delete) || needed(call))
            {
                _calls.RemoveAt(i);
                return call;
            }
        }

        return null;
    }
}
