using System.IO.Hashing;
using Weir.Register;

namespace Weir.Sim;

/// <summary>
/// One node's view of the register, with every operation written into the cells' histories as the node saw it: those of all nodes together must be
/// linearizable (invariant 5). Not thread-safe.
/// </summary>
internal sealed class RecordedRegister(IRegister register, SimScheduler scheduler, IReadOnlyList<List<RegisterCall>> histories) : IRegister
{
    private readonly Dictionary<ulong, RegisterCall> _open = [];

    public void Read(RegisterCell cell, ulong ticket)
    {
        Begin(cell, ticket, new RegisterCall(scheduler.Now, IsSwap: false, 0, 0));
        register.Read(cell, ticket);
    }

    public void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, ulong ticket)
    {
        Begin(cell, ticket, new RegisterCall(scheduler.Now, IsSwap: true, expectedVersion, ContentOf(value)));
        register.CompareAndSwap(cell, expectedVersion, value, ticket);
    }

    public bool TryTakeResult(out RegisterResult result)
    {
        bool any = register.TryTakeResult(out result);
        if (any && _open.Remove(result.Ticket, out RegisterCall? call))
        {
            (call.To, call.Outcome, call.Version, call.Content) = (scheduler.Now, result.Outcome, result.Version, ContentOf(result.Value));
        }

        return any;
    }

    private static ulong ContentOf(ReadOnlyMemory<byte> value) => value.IsEmpty ? 0 : XxHash3.HashToUInt64(value.Span);

    private void Begin(RegisterCell cell, ulong ticket, RegisterCall call)
    {
        histories[(int)cell].Add(call);
        _open.Add(ticket, call);
    }
}
