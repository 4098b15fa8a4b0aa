using Weir.Wire;

namespace Weir.Client;

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
            if (room || (roomForDeletes && call.Operation == PartOperation.Delete) || needed(call))
            {
                _calls.RemoveAt(i);
                return call;
            }
        }

        return null;
    }
}
